"""Words that captions use are single tokens, everything else is spelt; what a caption says of a person is true."""

from pathlib import Path
from typing import Any

import pytest

from spooflab.generators.config import FolderFacesConfig
from spooflab.generators.diffusion.materials import FACE_PROMPT, MATERIALS, prompt_of
from spooflab.generators.diffusion.training.captions import caption, vocabulary
from spooflab.generators.diffusion.training.words import LENGTH, word_tokenizer
from spooflab.generators.face import FaceRef
from spooflab.generators.faces.configured import configured_faces
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.params import BEARDS, GLASSES
from spooflab.seeds import generator


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return word_tokenizer(vocabulary(), tmp_path_factory.mktemp("words"))


def _inner(tokenizer: Any, text: str) -> list[int]:
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return list(ids[1:-1])


def test_each_word_is_one_token(tokenizer: Any) -> None:
    ids = [_inner(tokenizer, word) for word in vocabulary()]
    assert {len(one) for one in ids} == {1}
    assert len({one[0] for one in ids}) == len(vocabulary())


def test_other_words_are_spelt(tokenizer: Any) -> None:
    ids = _inner(tokenizer, "zyx9")
    assert tokenizer.convert_ids_to_tokens(ids) == ["z", "y", "x</w>", "9</w>"]  # CLIP parts figures from letters
    assert tokenizer.unk_token_id not in ids


def test_every_prompt_fits(tokenizer: Any) -> None:
    longest = "a photo of an old man with a full beard and glasses and wrinkles, surprised"
    for text in (longest, *map(prompt_of, MATERIALS)):
        assert len(tokenizer(text).input_ids) <= LENGTH
        assert len(_inner(tokenizer, text)) == len(text.replace(",", " ,").split())


def test_the_same_words_give_the_same_files(tmp_path: Path) -> None:
    for name, words in (("one", vocabulary()), ("two", vocabulary()), ("three", vocabulary()[::-1])):
        word_tokenizer(words, tmp_path / name)
    for file in ("vocab.json", "merges.txt"):
        assert len({(tmp_path / name / file).read_bytes() for name in ("one", "two", "three")}) == 1


_MOODS = {
    "laughing": lambda w: w["mouth-part-later"] > 0.3,
    "smiling": lambda w: w["mouth-corner-puller"] > 0.25,
    "surprised": lambda w: w["eyebrows-*-up"] > 0.4,
    "frowning": lambda w: w["eyebrows-*-down"] > 0.4,
}


@pytest.mark.slow
def test_what_is_said_is_true() -> None:
    """Words are read back and held against what was drawn, for many people and several captions of each."""
    source, heard = ProceduralFaces(n_subjects=60, sessions=2, size=64, seed=5), set[str]()
    for number, ref in enumerate(source.refs()):
        identity, nuisance = source.params(ref)
        age, beard = float(identity.age_years[0]), BEARDS[int(identity.beard_style[0])]
        weights = dict(zip(EXPRESSIONS, nuisance.expression[0].tolist(), strict=True))
        for k in range(6):
            text = caption(source, ref, generator(1, "caption", number, k))
            words = set(text.replace(",", " ,").split())
            heard |= words
            assert words <= set(vocabulary()), text
            assert " an old" in text or "old" not in words, text
            facts = {
                "old": age > 55, "young": age < 32, "middle": 32 <= age <= 55,
                "man": float(identity.masculinity[0]) > 0.5, "woman": float(identity.masculinity[0]) < 0.5,
                "moustache": beard == "moustache", "goatee": beard == "goatee", "beard": beard == "full",
                "stubble": beard == "stubble", "glasses": GLASSES[int(identity.glasses_style[0])] != "none",
                "wrinkles": float(identity.wrinkles[0]) > 0.6,
                **{mood: holds(weights) for mood, holds in _MOODS.items()},
            }  # fmt: skip
            for word, true in facts.items():
                assert true or word not in words, (text, word)
    wanted = {"old", "young", "man", "woman", "person", "beard", "glasses", "wrinkles", "smiling", "face"}
    assert wanted <= heard


def test_captions_are_a_function_of_the_generator() -> None:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=64, seed=5)
    texts = [[caption(source, source.refs()[0], generator(1, k)) for k in range(20)] for _ in range(2)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 3


def test_of_a_photograph_nothing_is_said(tmp_path: Path) -> None:
    source = configured_faces(FolderFacesConfig(root=tmp_path), size=64, seed=1)
    ref = FaceRef("anna", "anna/1.png", "CC0", {})
    assert {caption(source, ref, generator(1, k)) for k in range(20)} == {FACE_PROMPT}
