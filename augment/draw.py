"""One shot's parameters: every figure follows one latent, the light of the scene."""

import math

import torch
from torch import Tensor

from spooflab.augment.camera_codec import stream_code
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.identity import Identity, balance_shift
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.ranges import between, log_between
from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.params import check_generator

_COLUMNS = (
    "dark", "a", "b", "row", "exposure", "focus", "speed", "heading", "phase", "metering", "target", "highlight",
    "error", "warm", "magenta", "smear", "beautify", "halo", "quality", "source_tone", "source_gamma", "seed_high",
    "seed_low",
)  # fmt: skip
_MOTION_LIMIT_PX = 4.0
_PHASE_MS = 100.0


def draw_shots(
    profile: DeviceProfile,
    identity: Identity,
    unit: int,
    batch_size: int,
    generator: torch.Generator,
    size: tuple[int, int],
) -> DeviceParams:
    """Draw `batch_size` shots of one unit from uniforms taken row by row, so that row i is the same in any batch."""
    return shots_of(profile, identity, unit, draw_table(batch_size, generator), size)


def check_draw(batch_size: int, size: tuple[int, int]) -> None:
    """Raise `DataError` unless shots can be drawn for these."""
    if batch_size < 1 or min(size) < 8:
        raise DataError(f"sample: batch_size {batch_size}, size {size}", wanted="batch_size >= 1, sides >= 8")


def draw_table(batch_size: int, generator: torch.Generator) -> Tensor:
    """Return the uniforms (B, N) that shots are made of; whichever camera takes a row, it uses as many."""
    check_generator(generator)
    return torch.rand(batch_size, len(_COLUMNS), generator=generator)


def shots_of(
    profile: DeviceProfile, identity: Identity, unit: int, table: Tensor, size: tuple[int, int]
) -> DeviceParams:
    """Return the shots that the rows of `table` stand for.

    Darkness in [0, 1] moves a, b, exposure time, smear, quality and the errors of exposure, focus and white balance
    together, each with its own scatter.
    """
    batch_size = len(table)
    share: dict[str, Tensor] = dict(zip(_COLUMNS, table.unbind(1), strict=True))
    dark = share["dark"]
    exposure_ms = log_between(profile.timing.exposure_ms, dark + 0.12 * _normal(share["exposure"]))
    noise_a, noise_b, row_std = _noise(profile, identity, share)
    balance_ev = profile.colour.shot_balance_ev * (0.5 + dark)[:, None]
    axes = torch.stack([_normal(share["warm"]), _normal(share["magenta"])], 1)
    processing, exposure = profile.processing, profile.exposure
    noise_seed = _integer(share["seed_high"]) * 2**24 + _integer(share["seed_low"])
    return DeviceParams(
        view=_view(profile, identity, share, exposure_ms, size),
        unit=torch.full((batch_size,), unit, dtype=torch.int64),
        lux=log_between(profile.noise.lux, 1 - dark),
        corner_gain=_same(dark, identity.corner_gain),
        red_scale=_same(dark, identity.red_scale),
        blue_scale=_same(dark, identity.blue_scale),
        prnu_seed=torch.full((batch_size,), identity.prnu_seed, dtype=torch.int64),
        prnu_std=_same(dark, identity.prnu_std),
        metering=between(exposure.metering, share["metering"]),
        target=between(exposure.target, share["target"]),
        highlight=between(exposure.highlight, share["highlight"]),
        error_ev=exposure.error_ev * (0.5 + dark) * _normal(share["error"]),
        sensor_matrix=identity.sensor_matrix.repeat(batch_size, 1, 1),
        balance=identity.balance.repeat(batch_size, 1),
        balance_error=torch.exp2(identity.balance_error_ev + balance_ev * balance_shift(axes)),
        ccm=identity.ccm.repeat(batch_size, 1, 1),
        cfa=torch.full((batch_size,), profile.sensor.cfa == "rggb"),
        noise_a=noise_a,
        noise_b=noise_b,
        row_std=row_std,
        noise_seed=noise_seed,
        bits=torch.full((batch_size,), profile.sensor.bits, dtype=torch.int64),
        black_level=_same(dark, profile.sensor.black_level),
        smear=between(processing.smear, 0.65 * dark + 0.35 * share["smear"]),
        beautify=between(processing.beautify, share["beautify"]),
        tone=_same(dark, identity.tone),
        gamma=_same(dark, identity.gamma),
        source_tone=between(processing.tone, share["source_tone"]),
        source_gamma=between(processing.gamma, share["source_gamma"]),
        halo=between(processing.halo, share["halo"]),
        halo_radius_px=_same(dark, identity.halo_radius_px),
        quality=_quality(profile, 1 - 0.5 * dark - 0.5 * share["quality"]),
        subsampling=torch.full((batch_size,), identity.subsampling, dtype=torch.int64),
        stream=torch.full((batch_size,), stream_code(profile.codec.kind), dtype=torch.int64),
        crf=torch.round(between(profile.codec.crf, 0.5 * dark + 0.5 * share["quality"])).to(torch.int64),
        gop=torch.full((batch_size,), profile.codec.gop, dtype=torch.int64),
        awb_strength=between(profile.colour.awb_strength, later_share(noise_seed, 1)),
        corner_blur_px=_same(dark, identity.corner_blur_px),
        defect_seed=torch.full((batch_size,), identity.defect_seed, dtype=torch.int64),
        defect_share=_same(dark, identity.defect_share),
        defect_left=_same(dark, identity.defect_left),
    )


def _noise(profile: DeviceProfile, identity: Identity, share: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    sensitivity = share["dark"] + identity.speed
    a = log_between(profile.noise.a, sensitivity + 0.06 * _normal(share["a"]))
    b = log_between(profile.noise.b, sensitivity + 0.06 * _normal(share["b"]))
    return a, b, between(profile.noise.row_share, share["row"]) * b.sqrt()


def _view(
    profile: DeviceProfile,
    identity: Identity,
    share: dict[str, Tensor],
    exposure_ms: Tensor,
    size: tuple[int, int],
) -> View:
    dark = share["dark"]
    focus_px = between(profile.lens.focus_error_px, share["focus"] * (0.5 + 0.5 * dark))
    readout_ms = identity.readout_ms * min(1.0, size[0] / profile.timing.frame_rows)
    # A turning camera sweeps the scene over the sensor: f times the angular rate, in pixels per millisecond.
    deg_per_s = between(profile.timing.shake_deg_per_s, share["speed"] ** 2)
    px_per_ms = deg_per_s * (math.pi / 180 / 1000) * identity.focal_mm * 1000 / identity.pitch_um
    heading = 2 * math.pi * share["heading"]
    motion_px = (px_per_ms * exposure_ms).clamp(max=_MOTION_LIMIT_PX)  # what the 9-tap spread function can hold
    return View(
        size_px=torch.tensor([list(size)]).repeat(len(dark), 1),
        focal_mm=_same(dark, identity.focal_mm),
        pitch_um=_same(dark, identity.pitch_um),
        binning=torch.ones(len(dark), dtype=torch.int64),
        f_number=_same(dark, identity.f_number),
        k1=_same(dark, identity.k1),
        k2=_same(dark, identity.k2),
        blur_px=torch.hypot(_same(dark, identity.blur_px), focus_px),
        motion_px=torch.stack([motion_px * heading.cos(), motion_px * heading.sin()], 1),
        skew=px_per_ms * heading.cos() * (readout_ms / size[0]),
        exposure_ms=exposure_ms,
        readout_ms=_same(dark, readout_ms),
        phase_ms=_PHASE_MS * share["phase"],
        p1=_same(dark, identity.p1),
        p2=_same(dark, identity.p2),
        aperture=torch.tensor([profile.sensor.aperture]).repeat(len(dark), 1),
    )


def _quality(profile: DeviceProfile, share: Tensor) -> Tensor:
    if profile.codec.kind == "none":
        return torch.zeros(len(share), dtype=torch.int64)
    low, high = profile.codec.quality
    return torch.round(between((low, high), share)).to(torch.int64)


def _same(like: Tensor, value: float) -> Tensor:
    return torch.full_like(like, value)


def _integer(share: Tensor) -> Tensor:
    """Return the 24 random bits of a float32 uniform."""
    return (share * 2**24).to(torch.int64)


def later_share(noise_seed: Tensor, trait: int) -> Tensor:
    """Return (B,) uniforms for a trait that was added later, by a hash of the shot's noise seed and the trait's number.

    Another column of the table would move every draw after it, and so change every shot of a seed.
    """
    mixed = (noise_seed + trait) * 0x1E3779B97F4A7C15  # overflow wraps
    mixed = (mixed ^ (mixed >> 29)) * 0x3F58476D1CE4E5B9
    return ((mixed >> 32) & 0xFFFFFF).float() / 2**24


def _normal(share: Tensor) -> Tensor:
    """Return standard normals, clipped at 2.5, by inversion."""
    quantile: Tensor = torch.special.ndtri(share)
    return quantile.clamp(-2.5, 2.5)
