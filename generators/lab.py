"""The lab: sources, attacks and devices built from a configuration, and one sample made from its plan or its record."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice, DeviceParams, develop, load_profile
from spooflab.augment.ablate import DEVICE_EFFECTS, ablated
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attack import Attack, Rendered
from spooflab.generators.catalogue import build_attack, effects_of, paints
from spooflab.generators.config import GenerationConfig
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.studio import check_models
from spooflab.generators.face import Face, FaceRef, FaceSource
from spooflab.generators.face_check import landmark_error
from spooflab.generators.faces.configured import configured_faces
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.hf import HFFaces
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.loaded_faces import LoadedFaces
from spooflab.generators.plan import PlannedFace, SampleSpec
from spooflab.generators.qc import check, measure
from spooflab.images import encode_depth, encode_mask, encode_png
from spooflab.params import Params
from spooflab.provenance import code_version, source_type
from spooflab.regions import attacked_share, draw_regions
from spooflab.sample import Sample
from spooflab.seeds import generator


@dataclass(frozen=True)
class Picture:
    """One finished picture with its ground truth, at the output size.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        mask: (H, W) uint8, 255 where the instrument or the manipulation covers the pixel.
        depth_mm: (H, W) uint16 millimetres, 0 for unknown or beyond 65 m.
        landmarks: (68, 2) float32 pixels.
        box: (4,) float32 x, y, width, height in pixels.
        facts: derived physical figures.
        instrument_id: empty where there is no instrument.
        models: ids of the trained models that had a part in it.
    """

    image: np.ndarray
    mask: np.ndarray
    depth_mm: np.ndarray
    landmarks: np.ndarray
    box: np.ndarray
    facts: dict[str, float]
    instrument_id: str
    models: tuple[str, ...]


class Lab:
    """Everything that `config` names, ready to make samples one at a time.

    Samples are rendered singly and on the CPU, so their bytes depend on nothing but their own parameters.

    Raises:
        ConfigError: an unknown species, device or instrument, or a source that cannot be opened.
    """

    def __init__(self, config: GenerationConfig) -> None:
        self.config = config
        self.sources: dict[str, FaceSource] = {}
        for entry in config.faces:
            source = configured_faces(entry, size=config.face_px, seed=config.seed)
            if source.name in self.sources:
                raise ConfigError(f"faces: two sources are named {source.name!r}", wanted="one entry for each source")
            self.sources[source.name] = source
        species = ("bonafide", *config.attacks)
        _check_effects(config.ablate, species)
        self._off = {s: tuple(e for e in effects_of(s) if e in config.ablate) for s in species}
        self._licences = check_models(config.diffusion) if any(paints(s) for s in species) else {}
        self.attacks = {
            s: build_attack(s, instruments=config.instruments, ablate=self._off[s], diffusion=config.diffusion)
            for s in species
        }
        self._faces = LoadedFaces()
        self._devices: dict[str, CaptureDevice] = {}
        self.device_ids = tuple(
            device.device_id for name in config.devices for device in self._units(name, config.units_per_device)
        )

    def _units(self, name: str, count: int) -> list[CaptureDevice]:
        profile = load_profile(name)
        units = [CaptureDevice(profile, unit=number) for number in range(count)]
        self._devices.update({unit.device_id: unit for unit in units})
        return units

    def refs(self) -> dict[str, tuple[FaceRef, ...]]:
        """List every face by source."""
        return {name: tuple(source.refs()) for name, source in self.sources.items()}

    def make(self, spec: SampleSpec) -> Sample:
        """Draw, render, photograph and record one planned sample.

        Raises:
            SkipSample: the sample cannot be made, with the reason.
        """
        attack_params = self.attacks[spec.species].sample(1, generator(spec.seed, "attack"))
        device_params = self.draw_shot(spec.device_id, generator(spec.seed, "device"))
        return self.shoot(spec, attack_params, device_params)

    def draw_shot(self, device_id: str, draw: torch.Generator) -> DeviceParams:
        """Draw one shot of a device, without the effects that the configuration switches off."""
        size = (self.config.sensor_px, self.config.sensor_px)
        params = self._devices[device_id].sample(1, draw, size=size)
        return ablated(params, [name for name in DEVICE_EFFECTS if name in self.config.ablate])

    def shoot(self, spec: SampleSpec, attack_params: Params, device_params: DeviceParams) -> Sample:
        """Render, photograph and record one planned sample with these parameters.

        Raises:
            SkipSample: the sample cannot be made, with the reason.
        """
        attack, device = self.attacks[spec.species], self._devices[spec.device_id]
        if attack.needs_donor and spec.donor is None:
            raise SkipSample("no_donor", f"{spec.face.subject_id} is alone in its group; donors are other subjects")
        face = self._load(spec.face)
        donor = self._load(spec.donor) if attack.needs_donor and spec.donor is not None else None
        picture = photograph(attack, face, donor, attack_params, device_params, self.config.output_px)
        return self._record(spec, attack_params, device_params, device, face, donor, picture)

    def _load(self, planned: PlannedFace) -> Face:
        return self._faces.load(self.sources[planned.source], planned.ref)

    def _record(
        self,
        spec: SampleSpec,
        attack_params: Params,
        device_params: Params,
        device: CaptureDevice,
        face: Face,
        donor: Face | None,
        picture: Picture,
    ) -> Sample:
        used = spec.donor if donor is not None else None
        figures = measure(picture.image, picture.box)
        check(figures, picture.box, self.config.output_px, self.config.qc)
        found = self._find_again(picture)
        regions = draw_regions(picture.landmarks, self.config.output_px, self.config.output_px)
        params = {
            "attack": attack_params.to_json(),
            "device": device_params.to_json(),
            "faces": {
                "target": _face_record(self.sources[spec.face.source], spec.face),
                "donor": _face_record(self.sources[used.source], used) if used else None,
            },
            "facts": picture.facts,
            "attacked_share": attacked_share(regions, picture.mask),
            "qc": found,
            "output": {
                "output_px": self.config.output_px,
                "sensor_px": self.config.sensor_px,
                "resize": "bilinear_antialias",
            },
        }
        if paints(spec.species):
            params["diffusion"] = {
                "settings": self.config.diffusion.model_dump(mode="json"),
                "licences": self._licences,
            }
        synthetic_pixels = face.synthetic and (donor is None or donor.synthetic)
        return Sample.create(
            key=spec.key,
            species=spec.species,
            ablated=(*self._off[spec.species], *(e for e in DEVICE_EFFECTS if e in self.config.ablate)),
            instrument_id=picture.instrument_id,
            device_id=device.device_id,
            device_profile=device.profile_name,
            subject_id=spec.face.subject_id,
            subject_group=spec.face.group,
            source_id=spec.face.source_id,
            donor_id=used.subject_id if used else "",
            face_source=spec.face.source,
            seed=spec.seed,
            landmarks=picture.landmarks,
            box=picture.box,
            params=params,
            image=encode_png(picture.image),
            mask=encode_mask(picture.mask),
            depth=encode_depth(picture.depth_mm),
            regions=encode_mask(regions),
            qc=figures,
            model_ids=picture.models,
            digital_source_type=source_type(rendered=synthetic_pixels, learned=paints(spec.species)),
            licence=_licence(spec.face, used),
            code_version=code_version(),
        )

    def _find_again(self, picture: Picture) -> dict[str, float]:
        """Look for the face in the finished picture where the configuration asks for it."""
        limit = self.config.qc.face_error
        if limit is None:
            return {}
        error = landmark_error(picture.image, picture.landmarks)
        if error > limit:
            raise SkipSample("qc_face_error", f"landmarks found {error:.3f} eye distances off, allowed {limit:g}")
        return {"face_error": error}


def photograph(
    attack: Attack,
    face: Face,
    donor: Face | None,
    attack_params: Params,
    device_params: DeviceParams,
    output_px: int,
) -> Picture:
    """Render one attack through one shot of a device and reduce it to the output size: a pure function."""
    with torch.inference_mode():
        rendered = attack.render(face, device_params.view, attack_params, donor)
        photo = develop(rendered.irradiance, device_params)
        return _reduce(photo, rendered, output_px)


def replay(sample: Sample) -> Picture:
    """Render a sample again from its record alone.

    Args:
        sample: a stored sample; photographs must still lie where the record says, unchanged.

    Raises:
        DataError: the record names a species or face that this version cannot rebuild.
    """
    record: dict[str, Any] = json.loads(sample.params)
    try:
        painted = DiffusionConfig.model_validate(record["diffusion"]["settings"]) if paints(sample.species) else None
        attack = build_attack(sample.species, diffusion=painted)
        attack_params = attack.parse(record["attack"])
        device_params = DeviceParams.from_json(record["device"])
        faces = {role: _rebuild(entry) for role, entry in record["faces"].items() if entry is not None}
    except (KeyError, ValueError) as error:
        raise DataError(
            f"sample {sample.key}: its record does not fit this version: {error}",
            wanted=f"a record written by code version {code_version()}, seen {sample.code_version}",
        ) from error
    picture = photograph(
        attack,
        faces["target"],
        faces.get("donor"),
        attack_params,
        device_params,
        int(record["output"]["output_px"]),
    )
    if painted is not None and set(picture.models) != set(sample.model_ids):
        raise DataError(
            f"sample {sample.key}: painted by {', '.join(picture.models)}",
            wanted=f"the models of its record, {', '.join(sample.model_ids)}",
        )
    return picture


def _face_record(source: FaceSource, planned: PlannedFace) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "source": source.settings(),
        "subject_id": planned.ref.subject_id,
        "source_id": planned.ref.source_id,
        "licence": planned.ref.licence,
        "record": planned.ref.record,
    }
    if isinstance(source, ProceduralFaces):
        entry["physics"] = source.describe(planned.ref)
    return entry


def _rebuild(entry: dict[str, Any]) -> Face:
    settings = dict(entry["source"])
    kind = settings.pop("kind")
    if kind not in _SOURCES:
        raise KeyError(f"face source kind {kind!r}, known: {', '.join(_SOURCES)}")
    source: FaceSource = _SOURCES[kind](**settings)
    return source.load(FaceRef(entry["subject_id"], entry["source_id"], entry["licence"], entry["record"]))


_SOURCES: dict[str, Any] = {"procedural": ProceduralFaces, "folder": FolderFaces, "hf": HFFaces}


def _check_effects(ablate: tuple[str, ...], species: tuple[str, ...]) -> None:
    """Refuse an effect that neither a camera nor one of the attacks has: a misspelt control would control nothing."""
    known = {*DEVICE_EFFECTS, *(effect for name in species for effect in effects_of(name))}
    if strange := sorted(set(ablate) - known):
        raise ConfigError(
            f"ablate: {', '.join(strange)} is an effect of no camera and of none of the attacks",
            wanted=f"some of {', '.join(sorted(known))}",
        )


def _licence(face: PlannedFace, donor: PlannedFace | None) -> str:
    names = {face.ref.licence} | ({donor.ref.licence} if donor else set())
    return " AND ".join(sorted(names))


def _reduce(photo: Tensor, rendered: Rendered, output_px: int) -> Picture:
    scale = output_px / photo.shape[-1]

    def shrink(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(output_px, output_px), mode="bilinear", antialias=True, align_corners=False)

    depth = F.interpolate(rendered.depth_mm, size=(output_px, output_px), mode="nearest-exact")
    known = torch.isfinite(depth) & (depth > 0) & (depth < 65_535)
    return Picture(
        image=(shrink(photo)[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy(),
        mask=(shrink(rendered.mask)[0, 0] * 255).round().clamp(0, 255).to(torch.uint8).numpy(),
        depth_mm=torch.where(known, depth.round(), 0.0)[0, 0].to(torch.int32).numpy().astype(np.uint16),
        landmarks=(rendered.landmarks[0] * scale).numpy(),
        box=(rendered.box[0] * scale).numpy(),
        facts={name: float(value[0]) for name, value in sorted(rendered.facts.items())},
        instrument_id=rendered.instrument_id[0] if rendered.instrument_id else "",
        models=rendered.models,
    )
