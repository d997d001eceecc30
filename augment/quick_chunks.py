"""The quick camera on the CPU: `quick_batch` rearranged for caches and cores.

Four pictures at a time pass through the whole chain in buffers that are reused; curves are tables; the point spread
function runs over their planes as interleaved channels, which is several times faster than plane by plane; and libjpeg
reads pixels that one multiplication packed. Chunks are dealt to as many threads as torch has.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.beautify import beautify
from spooflab.augment.box import box_mean
from spooflab.augment.color import LUMA
from spooflab.augment.noise_bank import bank_side, noise_bank, row_bank
from spooflab.augment.quick_batch import stride, with_frame
from spooflab.augment.quick_table import TAPS, QuickTable, horner
from spooflab.augment.tone import inverse_tone_curve, srgb_decode, srgb_encode, tone_curve

LANES = 4
"""Pictures per chunk."""
_TONE_STEPS = 8192
_SOURCE_STEPS = 4
"""Entries per code value of the table that a floating-point photograph is read through."""


def quick_cpu(photo: Tensor, table: QuickTable) -> Tensor:
    """Return the photograph (B, 3, H, W) taken again, uint8.

    Args:
        photo: uint8, or float32 in [0, 1] (read to a quarter of a code value).
        table: of the same B, H, W.
    """
    out = torch.empty(photo.shape, dtype=torch.uint8)
    curve, table = _light_curve(photo, table)
    starts = range(0, len(photo), LANES)
    threads = min(torch.get_num_threads(), len(starts))

    def work(first: int) -> None:
        if threads > 1:
            torch.set_num_threads(1)
        with torch.inference_mode():
            room = _Room(min(LANES, len(photo)), *photo.shape[-2:])
            for start in starts[first::threads]:
                rows = slice(start, min(start + LANES, len(photo)))
                _chunk(photo[rows], table.rows(rows), curve[rows], room, out[rows])

    if threads < 2:
        work(0)
    else:
        allowed = torch.get_num_threads()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        torch.set_num_threads(allowed)  # the workers' own limit is what later threads would inherit
    return out


class _Room:
    """Buffers of one thread, for up to `LANES` pictures: fresh memory would cost as much as the arithmetic."""

    def __init__(self, lanes: int, height: int, width: int) -> None:
        shape = (lanes, 3, height, width)
        rows, columns = height + TAPS - 1, width + TAPS - 1
        self.index = torch.empty(shape, dtype=torch.int32)
        self.planes, self.other = torch.empty(shape), torch.empty(shape)
        self.rays = torch.empty(lanes, 2, rows, columns)
        self.radius = torch.empty(lanes, rows, columns)
        self.woven = torch.empty(rows * columns * 3 * lanes)
        self.luma = torch.empty(lanes, 1, rows, columns)
        self.strips = torch.empty(2, lanes, 1, rows, width)
        self.calm, self.detail = torch.empty(2, lanes, 1, height, width).unbind(0)


def _chunk(photo: Tensor, t: QuickTable, curve: Tensor, room: _Room, out: Tensor) -> None:
    count = len(photo)
    index, planes, other = room.index[:count], room.planes[:count], room.other[:count]
    _look_up(_source_index(photo, index, other), curve, planes)
    signal = _optics(planes, t, room, other)
    _sense(signal, t, planes)
    torch.bmm(t.ccm * (_TONE_STEPS - 1), signal.flatten(2), out=planes.flatten(2))
    index.copy_(planes.clamp_(0, _TONE_STEPS - 1))
    _look_up(index, [_tone_table(*pair) for pair in zip(t.tone.tolist(), t.gamma.tolist(), strict=True)], planes)
    codes = beautify(planes, strength=t.beautify) if bool((t.beautify > 0).any()) else planes
    _finish(codes, t, room)
    _code(codes.mul_(255).round_().clamp_(0, 255), t, out)


def _light_curve(photo: Tensor, t: QuickTable) -> tuple[Tensor, QuickTable]:
    """Return each row's curve from codes to light (B, N), and the table with what the frame decides."""
    count = 256 if photo.dtype == torch.uint8 else 255 * _SOURCE_STEPS + 1
    levels = torch.linspace(0, 1, count).expand(len(photo), 1, 1, -1)
    curve = srgb_decode(inverse_tone_curve(levels, tone=t.source_tone, gamma=t.source_gamma))[:, 0, 0]
    few = photo[..., :: stride(photo.shape[-2]), :: stride(photo.shape[-1])]
    codes = few.long() if photo.dtype == torch.uint8 else (few * (count - 1) + 0.5).long()
    light = torch.gather(curve, 1, codes.flatten(1)).reshape(few.shape)
    return curve, with_frame(t, light)


def _source_index(photo: Tensor, index: Tensor, spare: Tensor) -> Tensor:
    if photo.dtype == torch.uint8:
        return index.copy_(photo)
    return index.copy_(torch.mul(photo, 255.0 * _SOURCE_STEPS, out=spare).add_(0.5))


def _look_up(index: Tensor, tables: Tensor | list[Tensor], out: Tensor) -> None:
    for row, table, values in zip(index, tables, out, strict=True):
        torch.index_select(table, 0, row.view(-1), out=values.view(-1))


def _optics(light: Tensor, t: QuickTable, room: _Room, out: Tensor) -> Tensor:
    """Return balanced sensor colours behind lens and shutter, in `out`."""
    count, _, height, width = light.shape
    seen = F.grid_sample(light, _rays(t, room, height, width), padding_mode="border", align_corners=False)
    planes, rows, columns = 3 * count, *seen.shape[-2:]
    mixing = torch.block_diag(*t.response)  # type: ignore[no-untyped-call]  # torch's own
    woven = torch.mm(seen.view(planes, -1).T, mixing.T, out=room.woven[: rows * columns * planes].view(-1, planes))
    weight = t.spread.repeat_interleave(3, 0)[:, None]
    blurred = F.conv2d(woven.view(1, rows, columns, planes).permute(0, 3, 1, 2), weight, groups=planes)
    torch.mm(torch.eye(planes), blurred.permute(0, 2, 3, 1).reshape(-1, planes).T, out=out.view(planes, -1))
    return out


def _rays(t: QuickTable, room: _Room, height: int, width: int) -> Tensor:
    """Return `quick_rays`, x and y each in a plane of its own, which `grid_sample` reads as fast as pairs."""
    rays, squared = room.rays[: t.batch_size], room.radius[: t.batch_size]
    rows, columns = squared.shape[-2:]
    margin = TAPS // 2
    x = (torch.arange(columns) - margin + 0.5) * (2 / width) - 1
    y = ((torch.arange(rows) - margin + 0.5) * (2 / height) - 1)[:, None]
    half_diagonal2 = height**2 + width**2
    across = torch.addcmul(x, y, t.shear[:, None, None], value=-height / width, out=rays[:, 0])
    torch.addcmul(y * y * (height**2 / half_diagonal2), across, across, value=width**2 / half_diagonal2, out=squared)
    terms = t.rays[:, :, None, None].unbind(1)
    factor = torch.addcmul(terms[-2], squared, terms[-1], out=rays[:, 1])
    for term in reversed(terms[:-2]):
        torch.addcmul(term, factor, squared, out=factor)
    across.mul_(factor)
    factor.mul_(y)
    return rays.permute(0, 2, 3, 1)


def _sense(signal: Tensor, t: QuickTable, spare: Tensor) -> None:
    """Shade, add noise and clip, in place."""
    count, _, height, width = signal.shape
    side = bank_side(height, width)
    for row, place in zip(signal, t.gain_row.tolist(), strict=True):
        row.mul_(t.gain[place])
    deviation = torch.mul(signal.clamp_(min=0), t.slope[:, :, None, None], out=spare)
    deviation.add_(t.floor[:, :, None, None]).sqrt_()
    bank = t.bank
    fields = (bank.mosaic, bank.top, bank.left, bank.line, bank.sign)
    places = zip(*(field.tolist() for field in fields), strict=True)
    lines = row_bank(side)
    offsets = torch.empty(count, height)
    mixed = bool((t.smear != 0).any())
    for i, (mosaic, top, left, line, sign) in enumerate(places):
        unit = noise_bank(mosaic, side)[:, top : top + height, left : left + width]
        if mixed:
            signal[i].flatten(1).addmm_(t.noise_mix[i], deviation[i].mul_(unit).flatten(1), alpha=sign)
        else:
            signal[i].addcmul_(deviation[i], unit, value=sign)
        offsets[i] = lines[line : line + height]
    signal.add_(offsets[:, None, :, None] * t.row_std[:, :, None, None]).clamp_(max=1)


def _finish(encoded: Tensor, t: QuickTable, room: _Room) -> None:
    """Smear and sharpen in place, as `finish_luma`."""
    count, _, height, width = encoded.shape
    margin = TAPS // 2
    padded, calm, detail = room.luma[:count], room.calm[:count], room.detail[:count]
    plane = padded[..., margin : margin + height, margin : margin + width]
    torch.mul(encoded[:, :1], LUMA[0], out=plane)
    plane.add_(encoded[:, 1:2], alpha=LUMA[1]).add_(encoded[:, 2:3], alpha=LUMA[2])
    _blur(padded, t.halo_radius_px, room.strips[:, :count], calm, detail)
    torch.sub(plane, calm, out=detail)
    gain = 1 + t.halo[:, None, None, None]
    if bool((t.smear != 0).any()):
        power = box_mean(detail * detail, 1).add_(1e-9)
        sought = horner(t.smear[:, :, None, None, None], calm).clamp_(min=0)
        gain = power.mul(gain).div_(sought.add_(power))
    encoded.add_(detail.mul_(gain.sub_(1)))


def _blur(padded: Tensor, radius_px: Tensor, strips: Tensor, out: Tensor, spare: Tensor) -> None:
    """Blur the middle of `padded`, whose borders are filled here, as `gaussian_blur` does."""
    margin = TAPS // 2
    height, width = out.shape[-2:]
    padded[..., :margin, :] = padded[..., margin : margin + 1, :]
    padded[..., margin + height :, :] = padded[..., margin + height - 1 : margin + height, :]
    padded[..., :margin] = padded[..., margin : margin + 1]
    padded[..., margin + width :] = padded[..., margin + width - 1 : margin + width]
    taps = torch.exp(-0.5 * (torch.arange(margin + 1) / radius_px[:, None]) ** 2)
    weights = (taps / (2 * taps.sum(1, keepdim=True) - 1))[:, :, None, None, None].unbind(1)
    across, pair = strips.unbind(0)
    torch.mul(padded[..., margin : margin + width], weights[0], out=across)
    for k in range(1, margin + 1):
        torch.add(padded[..., margin - k :][..., :width], padded[..., margin + k :][..., :width], out=pair)
        across.addcmul_(pair, weights[k])
    torch.mul(across[..., margin : margin + height, :], weights[0], out=out)
    for k in range(1, margin + 1):
        above, below = across[..., margin - k :, :][..., :height, :], across[..., margin + k :, :][..., :height, :]
        out.addcmul_(torch.add(above, below, out=spare), weights[k])


@lru_cache(maxsize=128)
def _tone_table(tone: float, gamma: float) -> Tensor:
    """Return code values in [0, 1] for linear light at the middle of 8192 steps; the last holds what is clipped."""
    light = ((torch.arange(_TONE_STEPS) + 0.5) / (_TONE_STEPS - 1)).clamp(max=1)[None, None, None]
    return tone_curve(srgb_encode(light), tone=torch.tensor([tone]), gamma=torch.tensor([gamma])).flatten()


def _code(codes: Tensor, t: QuickTable, out: Tensor) -> None:
    """Pass whole code values (n, 3, H, W), float32, through libjpeg into uint8 `out`."""
    count, _, height, width = codes.shape
    # Three bytes fit float32's 24 bits: one product packs a pixel as libjpeg's RGBX.
    weights = codes.new_tensor([1.0, 256.0, 65536.0]).expand(count, 1, 3)
    pixels = torch.bmm(weights, codes.flatten(2)).to(torch.int32).numpy()
    for i, (quality, subsampling) in enumerate(zip(t.quality.tolist(), t.subsampling.tolist(), strict=True)):
        if not quality:
            out[i] = codes[i]
            continue
        buffer = io.BytesIO()
        image = Image.frombuffer("RGBX", (width, height), pixels[i], "raw", "RGBX", 0, 1)
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        decoded = Image.open(buffer, formats=("JPEG",))
        for plane, band in zip(out[i], "RGB", strict=True):  # three times as fast as unweaving pixels afterwards
            plane.copy_(
                torch.frombuffer(bytearray(decoded.tobytes("raw", band)), dtype=torch.uint8).view(height, width)
            )
