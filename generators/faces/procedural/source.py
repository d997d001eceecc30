"""The embedded default source of faces: every subject and session follows from one seed."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from spooflab.errors import ConfigError, DataError
from spooflab.generators.face import Face, FaceRef
from spooflab.generators.faces.procedural.params import IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.render import render
from spooflab.generators.faces.procedural.sample import sample_identity, sample_nuisance
from spooflab.seeds import generator

LICENCE = "CC0-1.0"


class ProceduralFaces:
    """Rendered people in rendered sessions; the same subject looks the same in all of its sessions.

    Args:
        n_subjects: number of people, at least 1.
        sessions: sessions per person, at least 1.
        size: side of the square image in pixels, at least 32.
        seed: root of all draws; subject k of a seed is the same person whatever the other arguments.

    Raises:
        ConfigError: an argument out of its range.
    """

    name = "procedural"

    def __init__(self, *, n_subjects: int, sessions: int, size: int = 384, seed: int) -> None:
        for key, value, least in (("n_subjects", n_subjects, 1), ("sessions", sessions, 1), ("size", size, 32)):
            if value < least:
                raise ConfigError(f"{key} is {value}", wanted=f"an integer ≥ {least}")
        self.n_subjects, self.sessions, self.size, self.seed = n_subjects, sessions, size, seed

    def refs(self) -> Sequence[FaceRef]:
        """List all sessions of subject 0, then of subject 1, and so on."""
        return [self._ref(k, s) for k in range(self.n_subjects) for s in range(self.sessions)]

    def load(self, ref: FaceRef) -> Face:
        """Draw one reference as a batch of one.

        Raises:
            DataError: the record does not name a subject and a session of this source.
        """
        identity, nuisance = self.params(ref)
        face = render(identity, nuisance, self.size)
        return face.replace(subject_id=(ref.subject_id,), source_id=(ref.source_id,))

    def describe(self, ref: FaceRef) -> dict[str, Any]:
        """Return the JSON of everything that was drawn for a reference: `identity` and `nuisance`."""
        return dict(json.loads(_described(self.seed, *self._numbers(ref))))

    def params(self, ref: FaceRef) -> tuple[IdentityParams, NuisanceParams]:
        """Return who and what `ref` names, each a batch of one."""
        return _drawn(self.seed, *self._numbers(ref))

    def settings(self) -> dict[str, Any]:
        """Return the arguments, and `kind`."""
        return {
            "kind": "procedural",
            "n_subjects": self.n_subjects,
            "sessions": self.sessions,
            "size": self.size,
            "seed": self.seed,
        }

    def _numbers(self, ref: FaceRef) -> tuple[int, int]:
        return _number(ref, "subject", self.n_subjects), _number(ref, "session", self.sessions)

    def _ref(self, subject: int, session: int) -> FaceRef:
        who = f"procedural-{self.seed}-{subject:05d}"
        return FaceRef(who, f"{who}-{session:03d}", LICENCE, {"subject": subject, "session": session})


def _drawn(root: int, subject: int, session: int) -> tuple[IdentityParams, NuisanceParams]:
    identity = sample_identity(1, generator(root, "identity", subject))
    nuisance = sample_nuisance(1, generator(root, "session", subject, session))
    return identity, nuisance


@lru_cache(maxsize=256)
def _described(root: int, subject: int, session: int) -> str:
    """JSON as text, which no caller can change: every sample's record holds it, and drawing it takes longer."""
    identity, nuisance = _drawn(root, subject, session)
    return json.dumps({"identity": identity.to_json(), "nuisance": nuisance.to_json()})


def _number(ref: FaceRef, key: str, count: int) -> int:
    value = ref.record.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise DataError(f"record of {ref.source_id!r} has {key} {value!r}", wanted=f"an integer in 0…{count - 1}")
    return value
