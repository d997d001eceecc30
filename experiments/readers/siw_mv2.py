"""SiW-Mv2 (Guo, Liu, Jain, Liu, ECCV 2022, arXiv:2208.11148; https://github.com/CHELSEA234/Multi-domain-learning-FAS).

Layout: `Live/` with videos, `Spoof/` with fourteen folders of videos (`Makeup_Cosmetic`, `Mask_HalfMask`, `Print`
...). The protocols are lists of names without extension (`Live_891`, `Mask_Trans_11`, `Paper_27`) in the folder
`pro_3_text/` of the repository; put it into the root.

Protocols: `siw_mv2_p1` (known attacks), `siw_mv2_p2.TYPE` (one of fourteen types unknown: all its videos are tested,
the others train as in I, live as in I), `siw_mv2_p3.A` to `.E` (train `train_A_pretrain.txt`; test of source A and of
targets B spoof, C race, D age, E illumination). There is no dev part.

Checked against the repository's read-me, `config_siwm.py` and one list. Not verified: that a video's file name is its
name in the lists (as the authors' loader builds paths), and extensions. Names tell no person, so each video is its
own subject here: people may be in several parts unnoticed, and `subjects_known` is 0 in every record.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import VIDEOS, files, need, read_list

_LISTS = "pro_3_text"
_FOLDERS = {  # folder: our species, type in the authors' configuration, names in the lists begin with
    "Makeup_Cosmetic": ("makeup_cosmetic", "Co", "Makeup_Co"),
    "Makeup_Impersonation": ("makeup_impersonation", "Im", "Makeup_Im"),
    "Makeup_Obfuscation": ("makeup_obfuscation", "Ob", "Makeup_Ob"),
    "Mannequin": ("mannequin", "Mann", "Mask_Mann"),
    "Silicone": ("mask_silicone", "Sil", "Mask_Silicone"),
    "Print": ("print_unspecified", "Print", "Paper"),
    "Replay": ("replay_unspecified", "Replay", "Replay"),
    "Partial_FunnyeyeGlasses": ("partial_funny_eye", "Funnyeye", "Partial_Funnyeye"),
    "Partial_PaperGlasses": ("partial_paper_glasses", "Paperglass", "Partial_Paperglass"),
    "Partial_Eye": ("partial_eye", "Eye", "Partial_Eye"),
    "Partial_Mouth": ("partial_mouth", "Mouth", "Partial_Mouth"),
    "Mask_HalfMask": ("mask_half", "Half", "Mask_Half"),
    "Mask_PaperMask": ("mask_paper", "Paper", "Mask_Paper"),
    "Mask_TransparentMask": ("mask_transparent", "Trans", "Mask_Trans"),
}
_BEGINNINGS = tuple(beginning for _, _, beginning in _FOLDERS.values())
_FIRST: dict[str, Part] = {
    "trainlist_all.txt": "train",
    "trainlist_live.txt": "train",
    "testlist_all.txt": "test",
    "testlist_live.txt": "test",
}
_THIRD = re.compile(r"(train|test)_([A-E])_\w+\.txt")


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every video, in order of path; see the module for the layout."""
    need(root, "Live", "Spoof", what="SiW-Mv2")
    listed = _lists(root)
    if not listed:
        yield Broken(_LISTS, "missing", "the folder of the protocols' lists; no protocol is recorded without it")
    present = set()
    for path in (*files(root, VIDEOS, under="Live"), *files(root, VIDEOS, under="Spoof")):
        item = _item(path, listed)
        present.add(PurePosixPath(path).stem)
        yield item
    for name in sorted(set(listed) - present):
        yield Broken(name, "missing", f"named by {', '.join(sorted(listed[name]))}, not on disk")


def _item(path: str, listed: dict[str, dict[str, Part]]) -> RealItem | Broken:
    pure = PurePosixPath(path)
    if pure.parts[0] == "Live":
        species, own, kind, beginning = "bonafide", "Live", "", "Live"
    elif len(pure.parts) == 3 and pure.parts[1] in _FOLDERS:
        own = pure.parts[1]
        species, kind, beginning = _FOLDERS[own]
    else:
        return Broken(path, "wrong_folder", f"wanted Live/ or Spoof/ with one of {', '.join(_FOLDERS)}")
    told = next((b for b in ("Live", *_BEGINNINGS) if pure.stem.startswith(f"{b}_")), beginning)
    if told != beginning:
        return Broken(path, "label_conflict", f"its name begins with {told}, its folder is {own}")
    return RealItem(
        path=path,
        kind="video",
        species=species,
        own_class=own,
        subject=f"of_{pure.stem}",
        device="unknown",
        splits=_splits(kind, listed.get(pure.stem, {})),
        facts={"subjects_known": 0},
    )


def _splits(kind: str, told: dict[str, Part]) -> dict[str, Part]:
    found = dict(told)
    first = told.get("siw_mv2_p1")
    for _, left_out, _ in _FOLDERS.values():
        if kind == left_out:
            found[f"siw_mv2_p2.{left_out}"] = "test"
        elif first == "train" or (first == "test" and not kind):
            found[f"siw_mv2_p2.{left_out}"] = first
    return found


def _lists(root: Path) -> dict[str, dict[str, Part]]:
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    for path in files(root, (".txt",), under=_LISTS) if (root / _LISTS).is_dir() else ():
        name = PurePosixPath(path).name
        if name in _FIRST:
            for line in read_list(root, path):
                found[line]["siw_mv2_p1"] = _FIRST[name]
        elif match := _THIRD.fullmatch(name):
            _third(found, match, read_list(root, path))
    return found


def _third(found: dict[str, dict[str, Part]], match: re.Match[str], lines: list[str]) -> None:
    """Enter one list of protocol III: the source trains for every target, each target is tested by itself."""
    part: Part = "train" if match[1] == "train" else "test"
    if part == "train" and match[2] != "A":
        return  # what a target domain offers to models that are updated with it; no part of a plain study
    for target in "ABCDE" if part == "train" else match[2]:
        for line in lines:
            found[line][f"siw_mv2_p3.{target}"] = part
