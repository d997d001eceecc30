"""A mild second pass, for bona fide photographs that have been through a camera already."""

import dataclasses

import torch
from torch import Tensor

from spooflab.augment.device_params import DeviceParams
from spooflab.augment.view import View
from spooflab.errors import DataError

_CLEAR_CRF = 16
"""Rate factor whose loss is not seen: a gentle stream lies halfway to it."""


def gentle_shots(params: DeviceParams, rows: bool | Tensor = True) -> DeviceParams:
    """Return `params` with the chosen `rows` (all, none, or a (B,) bool mask) made mild.

    A second tone curve, sharpening and compression are what tells a recapture from a photograph. So the curve undone is
    the one applied, metering rests, lens and hand add half of their blur, noise a quarter of its variance, smoothing
    and sharpening under a third, and the codec loses at most half as much quality.
    """
    if rows is False:
        return params
    mask = torch.full((params.batch_size,), rows) if isinstance(rows, bool) else rows.to("cpu")
    if mask.shape != (params.batch_size,) or mask.dtype != torch.bool:
        raise DataError(
            f"gentle: {mask.dtype} {tuple(mask.shape)}", wanted=f"True, False or ({params.batch_size},) bool"
        )
    view = params.view
    calm_view = dataclasses.replace(
        view,
        k1=view.k1 / 4,
        k2=view.k2 / 4,
        p1=_part(view.p1, 4),
        p2=_part(view.p2, 4),
        blur_px=view.blur_px / 2,
        motion_px=view.motion_px / 2,
        skew=view.skew / 2,
    )
    calm = dataclasses.replace(
        params,
        metering=params.metering * 0,
        error_ev=params.error_ev / 2,
        red_scale=params.red_scale / 2,
        blue_scale=params.blue_scale / 2,
        corner_gain=params.corner_gain.sqrt(),
        balance_error=params.balance_error.sqrt(),
        ccm=torch.linalg.inv(params.sensor_matrix),
        noise_a=params.noise_a / 4,
        noise_b=params.noise_b / 4,
        row_std=params.row_std / 2,
        smear=params.smear / 4,
        beautify=params.beautify * 0,
        source_tone=params.tone,
        source_gamma=params.gamma,
        halo=params.halo / 4,
        quality=torch.where(params.quality > 0, (params.quality + 101) // 2, 0),
        crf=None if params.crf is None else torch.minimum(params.crf, (params.crf + _CLEAR_CRF) // 2),
        awb_strength=None if params.awb_strength is None else params.awb_strength * 0,
        corner_blur_px=_part(params.corner_blur_px, 2),
    )
    mixed = {
        field.name: _choose(mask, getattr(calm, field.name), getattr(params, field.name))
        for field in dataclasses.fields(params)
        if field.name != "view" and getattr(params, field.name) is not None
    }
    views = {
        field.name: _choose(mask, getattr(calm_view, field.name), getattr(view, field.name))
        for field in dataclasses.fields(view)
        if getattr(view, field.name) is not None
    }
    return DeviceParams(view=View(**views), **mixed)


def _part(value: Tensor | None, divisor: float) -> Tensor | None:
    return None if value is None else value / divisor


def _choose(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *([1] * (yes.ndim - 1))), yes, no)
