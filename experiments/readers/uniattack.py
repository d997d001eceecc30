"""UniAttackData (Fang et al., IJCAI 2024, arXiv:2401.17699), in three forms; the first that is found is read.

* UniAttackData+ (ICCV 2025): `Protocol-train.txt`, `Protocol-val.txt`, `Protocol-test.txt` of lines
  `Data-train/20445.png 2_1_0`. The label is class, kind and sort: 0_0_0 live; 1_0_x print, replay, cut-out; 1_1_x
  transparent, plaster, resin mask; 2_0_x attribute edit, face swap, video-driven; 2_1_x pixel-level, semantic
  adversarial; 2_2_x generation by identity, style, prompt.
* By class: `Data/{live,spoof,adv-attacks,DaGAN,FaceDancer,InsightFace,OneShotTH,SAFA,simswap}/...` with lists
  `protocol/UniAttackData@p1_image_train.txt` and so on.
* The challenge of CVPR 2024: `p1`, `p2.1`, `p2.2`, each with `train_label.txt` and `dev_label.txt` of lines
  `path 0|1` (1 live). Attacks of p2.1 are digital in training, of p2.2 physical. Those of p1 are of both, and nothing
  tells which: they are listed as `unknown_class`, as no species could be true of all.

Digital forgeries are marked as edited by a trained model (`compositeWithTrainedAlgorithmicMedia`), generated ones as
made by one.

Checked against the author's page on layouts (second form), public readers (first and third) and the labels' names in
one (first). Not verified: that 1 is live in the challenge (the reader refuses a list without both labels), what is
held out in its p2.1 and p2.2 but by a paper of its winners, who is seen (`subjects_known` is 0), and the lists of the
second form, whose lines are taken as `path label` below `Data`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spooflab.errors import DataError
from spooflab.experiments.readers.item import Broken, Part, RealItem
from spooflab.experiments.readers.walk import IMAGES, files, need, read_list
from spooflab.provenance import COMPOSITE_WITH_TRAINED, DIGITAL_CAPTURE, TRAINED_ALGORITHMIC_MEDIA
from spooflab.taxonomy import species_of

LABELS = {
    "0_0_0": ("bonafide", "live face"),
    "1_0_0": ("print_unspecified", "print"),
    "1_0_1": ("replay_unspecified", "replay"),
    "1_0_2": ("print_cut", "cutouts"),
    "1_1_0": ("mask_transparent", "transparent"),
    "1_1_1": ("mask_rigid", "plaster"),
    "1_1_2": ("mask_rigid", "resin"),
    "2_0_0": ("attribute_edit", "attribute edit"),
    "2_0_1": ("swap_unspecified", "face swap"),
    "2_0_2": ("reenact", "video-driven"),
    "2_1_0": ("adversarial_pixel", "pixel-level"),
    "2_1_1": ("adversarial_unspecified", "semantic-level"),
    "2_2_0": ("generated_unspecified", "id-consistent"),
    "2_2_1": ("generated_unspecified", "style"),
    "2_2_2": ("generated_unspecified", "prompt"),
}
"""Our species and the data set's words of each label of UniAttackData+."""
_FOLDERS = {
    "live": "bonafide",
    "spoof": "physical_unspecified",
    "adv-attacks": "adversarial_unspecified",
    "DaGAN": "reenact",
    "FaceDancer": "swap_unspecified",
    "InsightFace": "swap_unspecified",
    "OneShotTH": "reenact",
    "SAFA": "reenact",
    "simswap": "swap_unspecified",
}
_PLUS: dict[str, Part] = {"Protocol-train.txt": "train", "Protocol-val.txt": "dev", "Protocol-test.txt": "test"}
_LIST = re.compile(r"UniAttackData@(p[\d.]+)_image_(train|dev|test)\.txt")
_CHALLENGE = {"p1": "", "p2.1": "digital_unspecified", "p2.2": "physical_unspecified"}


def read(root: Path) -> Iterator[RealItem | Broken]:
    """Yield every labelled picture; see the module for the three forms."""
    need(root, *_PLUS, "Data", *_CHALLENGE, what="UniAttackData")
    if any((root / name).is_file() for name in _PLUS):
        yield from _plus(root)
    elif (root / "Data").is_dir():
        yield from _by_folder(root)
    else:
        yield from _challenge(root)


def _plus(root: Path) -> Iterator[RealItem | Broken]:
    for name, part in _PLUS.items():
        for line in read_list(root, name) if (root / name).is_file() else ():
            path, _, label = line.rpartition(" ")
            if not path:
                yield Broken(line, "no_label", f"{name} tells none, as is usual of a hidden test part")
            elif label not in LABELS:
                yield Broken(path, "unknown_class", f"{name}: label {label!r}")
            elif not (root / path).is_file():
                yield Broken(path, "missing", f"named by {name}, not on disk")
            else:
                yield _item(path, *LABELS[label], {"uniattack_plus": part})


def _by_folder(root: Path) -> Iterator[RealItem | Broken]:
    splits: dict[str, dict[str, Part]] = defaultdict(dict)
    parts: dict[str, Part] = {"train": "train", "dev": "dev", "test": "test"}
    for path in files(root, (".txt",), under="protocol") if (root / "protocol").is_dir() else ():
        match = _LIST.fullmatch(PurePosixPath(path).name)
        for line in read_list(root, path) if match is not None else ():
            if match is not None:
                splits[line.split()[0].removeprefix("Data/")][f"uniattack_{match[1]}"] = parts[match[2]]
    for path in files(root, IMAGES, under="Data"):
        own = PurePosixPath(path).parts[1]
        if own not in _FOLDERS:
            yield Broken(path, "unknown_class", f"folder {own!r}, known are {', '.join(_FOLDERS)}")
        else:
            yield _item(path, _FOLDERS[own], own, splits.get(path.removeprefix("Data/"), {}))


def _challenge(root: Path) -> Iterator[RealItem | Broken]:
    parts: dict[str, Part] = {"train_label.txt": "train", "dev_label.txt": "dev"}
    for protocol, attack in _CHALLENGE.items():
        for name, part in parts.items():
            lists = f"{protocol}/{name}"
            lines = [line.rpartition(" ") for line in read_list(root, lists)] if (root / lists).is_file() else []
            if lines and {label for _, _, label in lines} != {"0", "1"}:
                raise DataError(f"{root / lists}: labels {sorted({x for _, _, x in lines})[:4]}", wanted="both 0 and 1")
            for path, _, label in lines:
                if label == "0" and not attack:
                    yield Broken(path, "unknown_class", "an attack of p1, physical or digital: nothing tells which")
                elif not (root / path).is_file():
                    yield Broken(path, "missing", f"named by {lists}, not on disk")
                else:
                    species = "bonafide" if label == "1" else attack
                    yield _item(path, species, f"label {label}", {f"uniattack_challenge_{protocol}": part})


def _item(path: str, species: str, own: str, splits: dict[str, Part]) -> RealItem:
    kind = species_of(species)
    source = DIGITAL_CAPTURE
    if kind.channel == "injection":
        source = TRAINED_ALGORITHMIC_MEDIA if kind.family == "generated" else COMPOSITE_WITH_TRAINED
    return RealItem(
        path=path,
        kind="image",
        species=species,
        own_class=own,
        subject=f"of_{path}",
        device="unknown",
        splits=splits,
        source_type=source,
        facts={"subjects_known": 0},
    )
