"""Finished studies whose scores follow a known law: effects of subjects, images, trainings and their meetings."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from spooflab.experiments.results import Cell, Results


@dataclass(frozen=True)
class Law:
    """Standard deviations of what moves a score, and the size of the study.

    Attributes:
        subject, image: shared by all algorithms and trainings.
        training: how much one training differs in how far apart it holds the classes.
        on_subject, on_image: what one training does differently to single people and images.
        skill: distance of the classes, by algorithm.
    """

    skill: tuple[float, ...] = (2.5, 2.5)
    subjects: int = 24
    dev_subjects: int = 16
    images: int = 6
    folds: int = 2
    seeds: int = 3
    subject: float = 0.7
    image: float = 0.5
    training: float = 0.2
    on_subject: float = 0.3
    on_image: float = 0.5

    def widened(self, subjects: int) -> "Law":
        """The same law with so many subjects."""
        return replace(self, subjects=subjects)


def simulated(law: Law, seed: int, *, bootstrap: int = 400) -> Results:
    """Draw one study: algorithms named a, b, … of equal law but for their skill."""
    rng = np.random.default_rng(seed)
    people = law.subjects + law.dev_subjects
    subject = np.repeat(np.arange(people), law.images)
    attack = np.tile(np.arange(law.images) % 2 == 1, people)
    split = np.where(subject < law.subjects, "test", "dev")
    cells = []
    shared = [rng.normal(0, law.subject, people)[subject] for _ in range(law.folds)]
    shared = [s + rng.normal(0, law.image, len(subject)) for s in shared]
    for name, skill in zip("abcdefgh", law.skill, strict=False):
        for fold in range(law.folds):
            for training in range(law.seeds):
                apart = skill + rng.normal(0, law.training)
                score = shared[fold] + np.where(attack, -apart / 2, apart / 2)
                score = score + rng.normal(0, law.on_subject, people)[subject]
                score = score + rng.normal(0, law.on_image, len(subject))
                table = pa.table(
                    {
                        "key": [f"{fold}-{row}" for row in range(len(subject))],
                        "score": 1 / (1 + np.exp(-score)),
                        "label": np.where(attack, "attack", "bonafide"),
                        "species": np.where(attack, f"attack{fold}", "bonafide"),
                        "device": np.where(np.arange(len(subject)) % 3 == 0, "phone", "webcam"),
                        "subject": [f"s{number}" for number in subject],
                        "split": split,
                    }
                )
                record = {"code_version": "1"}
                cells.append(Cell(f"{name}{fold}{training}", name, f"attack{fold}", training, "done", record, table))
    config = {"metric": "acer", "bootstrap": bootstrap, "protocol": {"by": "species"}}
    return Results(tuple(cells), {"config": config, "settings": {}})
