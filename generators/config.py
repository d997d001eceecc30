"""The configuration of a generated data set: faces, attacks, devices, and how many of each."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.faces.detect.onnx import OnnxSettings
from spooflab.generators.faces.detect.reader import Dense, DetectorName, Geometry
from spooflab.generators.qc import QCLimits

UNSTATED = "unstated"
"""A licence or consent that nobody has stated: enough to look at photographs, not to make a data set of them."""


class ProceduralFacesConfig(Config):
    """Rendered heads.

    Attributes:
        subjects: number of identities.
        sessions: how often each identity is drawn again with another pose, light and background.
        share: weight of this source among all samples.
    """

    kind: Literal["procedural"] = "procedural"
    subjects: int = Field(default=40, ge=1, le=10_000_000)
    sessions: int = Field(default=8, ge=1, le=1_000_000)
    share: float = Field(default=1.0, gt=0)


class FolderFacesConfig(Config):
    """Photographs in a folder.

    Attributes:
        root: the folder; relative paths are taken from the working directory.
        landmarks: sidecar file (CSV or JSON), or None where a detector finds the faces.
        detector: who finds the face in a photograph without points: `sidecar` (nobody: it is skipped), `network`,
            `mediapipe`, `onnx` or `template`; None for `sidecar` where `landmarks` is given, else `network`.
        model: model file of the detectors `mediapipe` and `onnx`.
        onnx: what an ONNX model takes and gives; see `OnnxSettings`.
        dense: who makes 68 points of five: `network` or `mean_head`.
        geometry: `network` reads classes, depth and normals of photographs, `none` leaves them unknown.
        weights: file of the network's weights, None for the shipped ones.
        subjects: `folder` (a photograph's subject is its folder), `file` (each file is a subject), or a CSV path.
        licence: the photographs' licence, written into every record.
        consent: on what basis the people in them agreed to this use, in a sentence; part of the plan and the card.
        share: weight of this source among all samples.
    """

    kind: Literal["folder"] = "folder"
    root: Path
    landmarks: Path | None = None
    detector: DetectorName | None = None
    model: Path | None = None
    onnx: OnnxSettings | None = None
    dense: Dense = "network"
    geometry: Geometry = "network"
    weights: Path | None = None
    subjects: str = "folder"
    licence: str = UNSTATED
    consent: str = UNSTATED
    share: float = Field(default=1.0, gt=0)


class HFFacesConfig(Config):
    """Rows of a Hugging Face data set that was saved with `save_to_disk`; nothing is downloaded.

    Attributes:
        dataset: the saved data set's folder.
        image_column, subject_column, landmarks_column, box_column: names of columns; see `HFFaces`.
        detector, model, onnx, dense, geometry, weights: as for photographs in a folder.
        licence, consent: as for photographs in a folder.
        share: weight of this source among all samples.
    """

    kind: Literal["hf"] = "hf"
    dataset: Path
    image_column: str = "image"
    subject_column: str | None = None
    landmarks_column: str | None = None
    box_column: str | None = None
    detector: DetectorName | None = None
    model: Path | None = None
    onnx: OnnxSettings | None = None
    dense: Dense = "network"
    geometry: Geometry = "network"
    weights: Path | None = None
    licence: str = UNSTATED
    consent: str = UNSTATED
    share: float = Field(default=1.0, gt=0)


Photographs = FolderFacesConfig | HFFacesConfig
FacesConfig = Annotated[ProceduralFacesConfig | FolderFacesConfig | HFFacesConfig, Field(discriminator="kind")]


class GenerationConfig(Config):
    """Everything that decides the bytes of a data set.

    Attributes:
        n: number of planned samples (made or recorded as skipped).
        seed: root of all named seeds.
        faces: where bona fide faces come from.
        attacks: species to make, beside `bonafide`.
        bonafide_share: share of bona fide samples.
        ablate: physical effects to switch off wherever they exist, in attacks (`spooflab list attacks --json` names
            each one's) and in cameras (`cfa`, `noise`, `jpeg` ...; bona fide samples lose those too).
        qc: limits that a finished sample must hold.
        instruments: ids that may be used, over all banks; empty for every instrument.
        diffusion: models and sampling of the attacks that a diffusion model paints.
        devices: device profiles (names or YAML paths).
        units_per_device: physical units drawn of each profile.
        sensor_px: side of the sensor window in which optics, noise and JPEG happen.
        face_px: side at which faces are rendered or photographs aligned.
        output_px: side of the stored image; resizing is the last step.
        group_size: subjects per group; donors come from the same group, so that a split by group leaks nobody.
        shard_size: samples per shard, the unit of commit.
    """

    n: int = Field(default=200, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    faces: tuple[FacesConfig, ...] = (ProceduralFacesConfig(),)
    attacks: tuple[str, ...] = (
        "print_a4",
        "print_photo",
        "print_cut",
        "replay_phone",
        "replay_monitor",
        "swap_blend",
        "swap_blend+replay_phone",
    )
    bonafide_share: float = Field(default=0.3, ge=0, le=1)
    ablate: tuple[str, ...] = ()
    qc: QCLimits = QCLimits()
    instruments: tuple[str, ...] = ()
    diffusion: DiffusionConfig = DiffusionConfig()
    devices: tuple[str, ...] = ("front_phone", "webcam_720p", "kiosk", "dslr", "old_phone")
    units_per_device: int = Field(default=3, ge=1, le=10_000)
    sensor_px: int = Field(default=512, ge=128, le=4096)
    face_px: int = Field(default=384, ge=96, le=2048)
    output_px: int = Field(default=256, ge=32, le=4096)
    group_size: int = Field(default=4, ge=2, le=1000)
    shard_size: int = Field(default=50, ge=1, le=100_000)

    @model_validator(mode="after")
    def _check(self) -> "GenerationConfig":
        if self.output_px > self.sensor_px:
            raise ValueError(f"output_px {self.output_px} exceeds sensor_px {self.sensor_px}: resizing only reduces")
        for name in ("faces", "devices"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: name at least one")
        if not self.attacks and self.bonafide_share < 1:
            raise ValueError("attacks is empty: name at least one species, or set bonafide_share to 1")
        if len(set(self.attacks)) != len(self.attacks) or len(set(self.devices)) != len(self.devices):
            raise ValueError("attacks and devices must not repeat a name")
        for place, entry in enumerate(self.faces):
            if isinstance(entry, Photographs) and (missing := unstated(entry)):
                raise ValueError(
                    f"faces.{place} are photographs of people with {' and '.join(missing)} unstated: a data set is "
                    "made of them only where both are told, in that entry as `licence:` (of the photographs) "
                    "and `consent:` (on what basis the people agreed to this use), or with --faces by --licence "
                    "and --consent"
                )
        return self


def unstated(entry: Photographs) -> list[str]:
    """Return which of `licence` and `consent` an entry does not state."""
    return [name for name in ("licence", "consent") if getattr(entry, name).strip().lower() in ("", UNSTATED)]
