"""What a picture's caption says: for rendered people what was drawn of them, for others only that it is a face."""

import torch

from spooflab.generators.diffusion.materials import FACE_PROMPT, MATERIALS, prompt_of
from spooflab.generators.face import FaceRef, FaceSource
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.params import BEARDS, GLASSES, IdentityParams, NuisanceParams

_SAID = 0.5
"""Probability that a caption says a thing: a model that was always told would need to be told always."""
_BEARD_WORDS = {"stubble": "stubble", "moustache": "a moustache", "goatee": "a goatee", "full": "a full beard"}
_OLD, _YOUNG = 55, 32


def caption(source: FaceSource, ref: FaceRef, generator: torch.Generator) -> str:
    """Return a caption; which of the known things it says is drawn from `generator`."""
    said = torch.rand(6, generator=generator) < _SAID
    if not isinstance(source, ProceduralFaces) or float(torch.rand(1, generator=generator)) < _SAID:
        return FACE_PROMPT
    identity, nuisance = source.params(ref)
    person, with_words = _person(identity, said.tolist()), _with(identity, said.tolist())
    words = f"a photo of {person}"
    if with_words:
        words += " with " + " and ".join(with_words)
    mood = _mood(nuisance)
    return f"{words}, {mood}" if mood and bool(said[5]) else words


def _person(identity: IdentityParams, said: list[bool]) -> str:
    age = float(identity.age_years[0])
    grown = "old " if age > _OLD else "young " if age < _YOUNG else "middle aged "
    sex = ("man" if float(identity.masculinity[0]) > 0.5 else "woman") if said[1] else "person"
    words = (grown if said[0] else "") + sex
    return f"an {words}" if words.startswith("old") else f"a {words}"


def _with(identity: IdentityParams, said: list[bool]) -> list[str]:
    words = []
    beard = BEARDS[int(identity.beard_style[0])]
    if beard in _BEARD_WORDS and said[2]:
        words.append(_BEARD_WORDS[beard])
    if GLASSES[int(identity.glasses_style[0])] != "none" and said[3]:
        words.append("glasses")
    if float(identity.wrinkles[0]) > 0.6 and said[4]:
        words.append("wrinkles")
    return words


def _mood(nuisance: NuisanceParams) -> str:
    weights = dict(zip(EXPRESSIONS, nuisance.expression[0].tolist(), strict=True))
    if weights["mouth-part-later"] > 0.3:
        return "laughing"
    if weights["mouth-corner-puller"] > 0.25:
        return "smiling"
    if weights["eyebrows-*-up"] > 0.4:
        return "surprised"
    if weights["eyebrows-*-down"] > 0.4:
        return "frowning"
    return ""


def vocabulary() -> tuple[str, ...]:
    """Return every word that captions and prompts of masks use."""
    sentences = [
        FACE_PROMPT,
        *(prompt_of(name) for name in MATERIALS),
        "an old young middle aged man woman person with and wrinkles glasses , laughing smiling surprised frowning",
        *_BEARD_WORDS.values(),
        "the swapped bona fide live attack without no skin hair eyes mouth nose blurry",
    ]
    return tuple(sorted({word for sentence in sentences for word in sentence.replace(",", " ,").split()}))
