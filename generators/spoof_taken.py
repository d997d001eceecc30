"""Rows of a training batch, attacked and photographed: one by one on the CPU, or rows of one species together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import DeviceParams, develop
from spooflab.generators.attack import Attack
from spooflab.generators.attacks.replays.replay import Replay
from spooflab.generators.bonafide import Bonafide
from spooflab.generators.face import Face
from spooflab.generators.pose import sent
from spooflab.params import Params


@dataclass(frozen=True, eq=False)
class Taken:
    """Finished rows.

    Attributes:
        rows: their places in the batch.
        species: what they are.
        photo: (N, 3, H, W) float32, at the pictures' size.
        mask: (N, 1, H, W) float32.
        landmarks: (N, 68, 2) pixels of `photo`.
        instrument_id: one each, "" where there is none.
        reason: why an attack could not be made; "" where it could.
    """

    rows: tuple[int, ...]
    species: tuple[str, ...]
    photo: Tensor
    mask: Tensor
    landmarks: Tensor
    instrument_id: tuple[str, ...]
    reason: tuple[str, ...]

    def to(self, device: torch.device) -> "Taken":
        """Return a copy whose pictures lie on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("photo", "mask", "landmarks")}
        return replace(self, **moved)

    @classmethod
    def in_order(cls, parts: Sequence["Taken"]) -> "Taken":
        """Join parts, which lie on one device, in the order of their rows."""
        rows = [row for part in parts for row in part.rows]
        order = sorted(range(len(rows)), key=rows.__getitem__)

        def names(field: str) -> tuple[str, ...]:
            values = [value for part in parts for value in getattr(part, field)]
            return tuple(values[k] for k in order)

        photo, mask, landmarks = (
            torch.cat([getattr(part, field) for part in parts]) for field in ("photo", "mask", "landmarks")
        )
        if order != list(range(len(rows))):
            index = torch.tensor(order).to(photo.device, non_blocking=True)
            photo, mask, landmarks = photo[index], mask[index], landmarks[index]
        return cls(tuple(sorted(rows)), names("species"), photo, mask, landmarks, names("instrument_id"),
                   names("reason"))  # fmt: skip


def runs_together(attack: Attack) -> bool:
    """Return whether a whole batch of it is computed where its faces lie: screens and live faces."""
    return isinstance(attack, Replay | Bonafide)


def take(
    attack: Attack,
    face: Face,
    shot: DeviceParams,
    params: Params,
    donor: Face | None,
    *,
    rows: tuple[int, ...],
    size: tuple[int, int],
    reason: str = "",
) -> Taken:
    """Render rows of one species where their faces lie, photograph them, and reduce them to `size`.

    Args:
        attack: what to render; one that `runs_together` unless the faces lie on the CPU.
        face: (N) faces.
        shot: N shots, on the CPU; all with colour filters or all without.
        params: of the attack, on the CPU.
        donor: other subjects' faces, where the attack needs them.
        rows: the N places in the batch.
        size: height and width.
        reason: why another attack could not be made.

    Raises:
        SkipSample: the attack cannot be made.
    """
    device = face.radiance.device
    view = sent(shot.view, device)
    params = params if isinstance(attack, Replay) else params.to(device)  # a screen's reads names on the host
    with torch.inference_mode():
        rendered = attack.render(face, view, params, donor)
        photo = develop(rendered.irradiance, _sent(shot, device))
    height, width = rendered.irradiance.shape[-2:]
    scale = torch.tensor([size[1] / width, size[0] / height]).to(device, non_blocking=True)
    return Taken(
        rows=rows,
        species=(attack.species,) * len(rows),
        photo=_shrink(photo.clone(), size),
        mask=_shrink(rendered.mask, size),
        landmarks=rendered.landmarks * scale,
        instrument_id=rendered.instrument_id or ("",) * len(rows),
        reason=(reason,) * len(rows),
    )


def _sent(shot: DeviceParams, device: torch.device) -> DeviceParams:
    """Return the shots on `device`, but for what developing reads on the host: size, filters, seeds and codec."""
    return replace(
        shot.to(device),
        view=shot.view,
        cfa=shot.cfa,
        noise_seed=shot.noise_seed,
        prnu_seed=shot.prnu_seed,
        defect_seed=shot.defect_seed,
        quality=shot.quality,
        subsampling=shot.subsampling,
    )


def _shrink(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
