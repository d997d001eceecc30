"""Attacks inside a training loop: a share of a batch of bona fide pictures becomes attacks, with ground truth."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spooflab.augment import CaptureDevice, DeviceParams, DeviceShift
from spooflab.augment.ablate import DEVICE_EFFECTS, ablated
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.photograph import from_photograph, scene_light, to_photograph
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.catalogue import build_attack, effects_of
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import box_of, pose_mean_head
from spooflab.generators.faces.photo import tight_points
from spooflab.generators.spoof_taken import Taken, runs_together, take
from spooflab.params import check_generator
from spooflab.seeds import generator as named_generator

Finder = Callable[[Tensor], Tensor]
_SLACK = 0.25
"""How far beyond the picture points may lie, in its longer side."""
_LEAST_SPAN, _LEAST_SPAN_PX = 0.02, 2.0
"""Least extent of a face's points, in the picture's longer side and in pixels: shares of it span one pixel at most."""
_LEAST_BREADTH = 0.05
"""Least extent across the longest, in the longest: in profile, too, the nose stands out by several times as much."""


@dataclass(frozen=True, eq=False)
class SpoofBatch:
    """What `SpoofAugment` returns.

    Attributes:
        images: (B, 3, H, W) in the dtype and on the device of the input: bona fide and attacks by the same cameras.
        labels: (B,) int64, 1 for bona fide, 0 for an attack.
        species: what each row is.
        species_index: (B,) int64 into `SpoofAugment.species` (0 is bona fide).
        masks: (B, 1, H, W) float32 in [0, 1]: share of each pixel that the attack covers; 0 for bona fide.
        landmarks: (B, 68, 2) where the face's landmarks have moved to, pixels.
        device_id: the simulated camera of each row.
        instrument_id: the instrument of each row, "" where there is none.
        skipped: row and reason of every attack that could not be made; such a row stays bona fide and is labelled so.
    """

    images: Tensor
    labels: Tensor
    species: tuple[str, ...]
    species_index: Tensor
    masks: Tensor
    landmarks: Tensor
    device_id: tuple[str, ...]
    instrument_id: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


class SpoofAugment(nn.Module):
    """Turn a share of a batch of bona fide face pictures into attacks.

    Every row passes a simulated camera, bona fide or not, so that "was processed" is not the label. Row i depends on
    the generator, on its own picture and on `i`; not on the batch's size or on the other rows' species. A species that
    wants a second face takes it from the batch: such a row depends also on whom the other rows show, and so on how
    many there are.

    A batch may lie on the CPU or on an accelerator, and the results lie where it does. There, screens (`replay_*`) and
    bona fide rows are rendered, developed and reduced on the accelerator, rows of one species together; the parameters
    are drawn on the CPU, so one generator chooses the same rows, cameras, panels and scenes everywhere, and the
    pictures agree to rounding (not to the bit). Three steps stay with the host for any batch: reading the pictures'
    range and their landmarks, drawing the sensor's noise (whose numbers must not depend on the device), and the JPEG
    codec; they bound the rate, whatever the accelerator does. All other species - prints, masks, makeup, digital
    attacks, chains - are made on the CPU, row by row, and sent back.

    Args:
        species: names, or weights by name; chains too. See `spooflab list attacks`.
        share: probability that a row becomes an attack.
        devices: profiles of the cameras, drawn with equal probability.
        units: units of each profile.
        sensor_px: longer side of the sensor window in which the physics happens; None for twice the picture's.
        instruments: ids that may be used; empty for all.
        ablate: physical effects to switch off, in attacks and cameras.
        diffusion: models of the species that a diffusion model paints; None for the one that comes with the package.
        at_once: rows that an accelerator computes together at most; bounds its memory.
        gentle: bona fide pictures take a mild second pass (right for photographs, which have been through a camera
            once already); False treats them as the attack's scene light, as stored data sets do.
        find: maps (B, 3, H, W) float sRGB pictures, where the batch lies, to (B, 68, 2) landmarks; None lays a mean
            head on the picture, as detectors' tight crops have it.

    Raises:
        ConfigError: an unknown species, device, instrument or effect, or a number out of its range.

    >>> augment = SpoofAugment(["print_a4", "replay_phone"], share=0.5)
    >>> batch = augment(torch.rand(2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    >>> batch.images.shape, batch.labels.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2]))
    """

    def __init__(
        self,
        species: Sequence[str] | Mapping[str, float],
        *,
        share: float = 0.5,
        devices: Sequence[str] = ("front_phone", "webcam_720p", "kiosk", "dslr", "old_phone"),
        units: int = 2,
        sensor_px: int | None = None,
        instruments: Sequence[str] = (),
        ablate: Sequence[str] = (),
        diffusion: DiffusionConfig | None = None,
        at_once: int = 64,
        gentle: bool = True,
        find: Finder | None = None,
    ) -> None:
        super().__init__()
        for option, value in (("species", species), ("devices", devices), ("ablate", ablate)):
            if isinstance(value, str):
                raise ConfigError(f"SpoofAugment: {option} {value!r}", wanted=f"a list of names, such as [{value!r}]")
        weights = dict(species) if isinstance(species, Mapping) else dict.fromkeys(species, 1.0)
        if not weights or "bonafide" in weights or not all(0 < w < math.inf for w in weights.values()):
            raise ConfigError(
                f"SpoofAugment: species {weights}", wanted="one attack or more, each with a finite weight above 0"
            )
        if not 0 <= share <= 1 or units < 1 or at_once < 1:
            raise ConfigError(
                f"SpoofAugment: share {share}, units {units}, at_once {at_once}",
                wanted="share in 0...1, units >= 1, at_once >= 1",
            )
        known = {*DEVICE_EFFECTS, *(e for name in weights for e in effects_of(name))}
        if strange := sorted(set(ablate) - known):
            raise ConfigError(f"SpoofAugment: ablate {strange}", wanted=f"some of {', '.join(sorted(known))}")
        self.species = ("bonafide", *weights)
        self.weights = torch.tensor([0.0, *weights.values()])
        self.share, self.sensor_px, self.gentle, self.find = share, sensor_px, gentle, find
        self.at_once = at_once
        self.device_off = tuple(e for e in DEVICE_EFFECTS if e in ablate)
        self.attacks = {
            name: build_attack(
                name,
                instruments=instruments,
                ablate=[e for e in effects_of(name) if e in ablate],
                diffusion=diffusion,
            )
            for name in self.species
        }
        self.cameras = DeviceShift([CaptureDevice(name, unit=u) for name in devices for u in range(units)])

    def forward(
        self,
        images: Tensor,
        *,
        generator: torch.Generator,
        landmarks: Tensor | None = None,
        subjects: Sequence[str] | None = None,
    ) -> SpoofBatch:
        """Return the batch with some of its rows attacked.

        Args:
            images: (B, 3, H, W) bona fide sRGB pictures, uint8 or floating point in [0, 1].
            generator: CPU generator; it is drawn from once. `torch.autocast` is left: the physics is in float32.
            landmarks: (B, 68, 2) or (B, 5, 2) pixels of `images` (five points: eye at the image's left, other eye,
                nose, mouth corners left and right); None for `find`.
            subjects: who each row shows, so that a second face is another person's; None takes every row for another.

        Raises:
            DataError: pictures or landmarks of a wrong shape, type or range.
            ConfigError: what is no CPU generator.
        """
        check_generator(generator)
        with torch.autocast(images.device.type, enabled=False):
            return self._forward(images, generator, landmarks, subjects)

    def _forward(
        self, images: Tensor, generator: torch.Generator, landmarks: Tensor | None, subjects: Sequence[str] | None
    ) -> SpoofBatch:
        photo = from_photograph(images)
        count, (height, width) = len(photo), photo.shape[-2:]
        names = tuple(subjects) if subjects is not None else tuple(str(i) for i in range(count))
        if len(names) != count:
            raise DataError(f"{len(names)} subjects for {count} pictures", wanted="one each")
        root = int(torch.randint(0, 2**62, (1,), generator=generator))
        points = self._points(photo, landmarks)
        faces = _Faces(scene_light(photo), points, names)
        chosen = [self.species[self._choose(root, i)] for i in range(count)]
        window = self._window(height, width)
        shots = [self._shot(root, i, window) for i in range(count)]
        taken = self._take(root, faces, chosen, [shot for _, shot in shots], (height, width))
        index = torch.tensor([self.species.index(name) for name in taken.species])
        there = images.device
        return SpoofBatch(
            images=to_photograph((taken.photo * 255).round().clamp(0, 255).div(255), images.dtype),
            labels=(index == 0).long().to(there),
            species=taken.species,
            species_index=index.to(there),
            masks=taken.mask.clamp(0, 1),
            landmarks=taken.landmarks,
            device_id=tuple(name for name, _ in shots),
            instrument_id=taken.instrument_id,
            skipped=tuple((i, reason) for i, reason in enumerate(taken.reason) if reason),
        )

    def _take(
        self, root: int, faces: "_Faces", chosen: list[str], shots: list[DeviceParams], size: tuple[int, int]
    ) -> Taken:
        """Return all rows: on an accelerator those that can be together, the others one by one on the CPU."""
        groups: dict[tuple[str, bool], list[int]] = {}
        parts = []
        for row, name in enumerate(chosen):
            if faces.light.is_cpu or not runs_together(self.attacks[name]):
                parts.append(self._row(root, row, faces, name, shots[row], size).to(faces.light.device))
            else:
                groups.setdefault((name, bool(shots[row].cfa)), []).append(row)
        for (name, _), rows in groups.items():
            for first in range(0, len(rows), self.at_once):
                some = rows[first : first + self.at_once]
                shot = DeviceParams.stack([shots[row] for row in some])
                parts.append(self._live_or_shown(root, some, faces.together(some), name, shot, size))
        return Taken.in_order(parts)

    def _choose(self, root: int, row: int) -> int:
        draw = named_generator(root, "species", row)
        if float(torch.rand(1, generator=draw)) >= self.share:
            return 0
        return int(torch.multinomial(self.weights, 1, generator=draw))

    def _window(self, height: int, width: int) -> tuple[int, int]:
        factor = 2.0 if self.sensor_px is None else self.sensor_px / max(height, width)
        if factor < 1:
            raise ConfigError(
                f"SpoofAugment: sensor_px {self.sensor_px} for pictures of {height} x {width}",
                wanted="a sensor at least as large: resizing is the last step and only reduces",
            )
        return round(height * factor), round(width * factor)

    def _shot(self, root: int, row: int, window: tuple[int, int]) -> tuple[str, DeviceParams]:
        draw = named_generator(root, "device", row)
        picked = self.cameras.pick(1, draw)
        shot = self.cameras.sample(1, draw, size=window, picked=picked)
        return self.cameras.device_ids[int(picked)], ablated(shot, self.device_off)

    def _points(self, photo: Tensor, landmarks: Tensor | None) -> Tensor:
        count, (height, width) = len(photo), photo.shape[-2:]
        if landmarks is None and self.find is not None:
            landmarks = self.find(photo)
        if landmarks is None:
            mean = torch.tensor(tight_points(width, height).dense(), dtype=torch.float32)
            return mean.expand(count, 68, 2).contiguous()
        points = landmarks.detach().to("cpu", torch.float32)
        _check_points(points, count, height, width)
        if points.shape[1] == 68:
            return points
        return torch.stack([torch.tensor(pose_mean_head(p.double().numpy()), dtype=torch.float32) for p in points])

    def _row(self, root: int, row: int, faces: "_Faces", name: str, shot: DeviceParams, size: tuple[int, int]) -> Taken:
        """Take one row on the CPU; an attack that cannot be made leaves it bona fide, with the reason."""
        reason = ""
        if name != "bonafide":
            attack = self.attacks[name]
            try:
                donor = _donor(root, row, faces) if attack.needs_donor else None
                params = attack.sample(1, named_generator(root, "attack", row, name))
                return take(attack, faces.alone(row), shot, params, donor, rows=(row,), size=size)
            except SkipSample as skip:
                reason = skip.reason
        return self._live_or_shown(root, [row], faces.alone(row), "bonafide", shot, size, reason)

    def _live_or_shown(
        self,
        root: int,
        rows: list[int],
        face: Face,
        name: str,
        shot: DeviceParams,
        size: tuple[int, int],
        reason: str = "",
    ) -> Taken:
        """Take rows of one species, each with its own draw, where `face` lies."""
        attack = self.attacks[name]
        drawn = [attack.sample(1, named_generator(root, "attack", row, name)) for row in rows]
        params = type(drawn[0]).stack(drawn)
        shot = gentle_shots(shot) if self.gentle and name == "bonafide" else shot
        return take(attack, face, shot, params, None, rows=tuple(rows), size=size, reason=reason)


class _Faces:
    """The batch's faces: scene light where the pictures lie, landmarks on the CPU.

    Args:
        light: (B, 3, H, W).
        points: (B, 68, 2) on the CPU.
        names: who each row shows.
    """

    def __init__(self, light: Tensor, points: Tensor, names: tuple[str, ...]) -> None:
        self.light, self.points, self.names = light, points, names
        self.boxes = torch.tensor([box_of(p.double().numpy()) for p in points], dtype=torch.float32)

    def alone(self, row: int) -> Face:
        """Return one face, on the CPU."""
        return self._face([row], self.light[row : row + 1].to("cpu"))

    def together(self, rows: list[int]) -> Face:
        """Return some faces, where the pictures lie."""
        index = torch.tensor(rows).to(self.light.device, non_blocking=True)
        return self._face(rows, self.light[index])

    def _face(self, rows: list[int], light: Tensor) -> Face:
        there = light.device
        return Face(
            radiance=light,
            landmarks=self.points[rows].to(there, non_blocking=True),
            box=self.boxes[rows].to(there, non_blocking=True),
            subject_id=tuple(self.names[row] for row in rows),
            source_id=tuple(f"{self.names[row]}/{row}" for row in rows),
            synthetic=False,
        )


def _check_points(points: Tensor, count: int, height: int, width: int) -> None:
    """Raise `DataError`, which names the first row at fault, unless (B, 68 or 5, 2) can be a face's points."""
    if points.shape not in ((count, 68, 2), (count, 5, 2)):
        raise DataError(f"landmarks of shape {tuple(points.shape)}", wanted=f"({count}, 68 or 5, 2) pixels")
    side = max(height, width)
    for row, own in enumerate(points):
        low, high = float(own.min()), float(own.max())
        if not (-_SLACK * side <= low and high <= (1 + _SLACK) * side):  # also catches NaN
            raise DataError(
                f"landmarks of row {row} from {low:g} to {high:g} on pictures of {height} x {width}",
                wanted="finite pixels of the pictures given, not pixels of others",
            )
        centred = (own - own.mean(0)).double()
        across = centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors  # the narrower direction comes first
        narrow, wide = (across.amax(0) - across.amin(0)).tolist()
        least = max(_LEAST_SPAN * side, _LEAST_SPAN_PX)
        if wide < least or narrow < _LEAST_BREADTH * wide:
            raise DataError(
                f"landmarks of row {row} lie within {wide:.3g} x {narrow:.3g} pixels on pictures of {height} x {width}",
                wanted=f"a face's points in pixels, over {least:g} across and on no line, not shares of the picture",
            )


def _donor(root: int, row: int, faces: _Faces) -> Face:
    names = faces.names
    others = [i for i, name in enumerate(names) if name != names[row]]
    if not others:
        raise SkipSample("no_donor", f"no other subject than {names[row]} in the batch")
    place = int(torch.randint(len(others), (1,), generator=named_generator(root, "donor", row)))
    return faces.alone(others[place])
