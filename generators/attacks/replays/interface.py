"""The graphics of the application that shows a photograph: bars, buttons, text, thumbnails, a call's controls.

Drawn as plain shapes in device-independent pixels, so that a button has its size in millimetres on any panel. A shape
may stand over the photograph (a call's buttons, a player's bar, a camera hole) or only around it.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.constant import constant
from spooflab.generators.hashed import hashed
from spooflab.generators.some import some

HANDHELD = ("viewer", "gallery", "call", "player", "chat")
"""Applications of phones and tablets; `ReplayParams.ui_kind` indexes them."""
DESKTOP = ("window", "browser", "call", "player", "document")
"""Applications of monitors and laptops."""
TELEVISION = ("still", "player", "news", "menu", "call")
"""What a television shows."""

_NUMBERS = 96
_AT_ONCE = 16
"""Shapes that an accelerator compares with every pixel together."""
_RED, _GREEN, _BLUE = (220, 48, 44), (46, 170, 80), (36, 120, 225)

Value = Tensor | float


class Sheet:
    """Shapes of a batch of screens, later ones over earlier ones.

    Args:
        size: (B, 2) width and height in device-independent pixels.
        dark: (B,) bool theme.
        seed: (B,) int64.
    """

    def __init__(self, size: Tensor, dark: Tensor, seed: Tensor) -> None:
        self.width, self.height = size.float().unbind(1)
        self.number = hashed(seed, "interface", _NUMBERS)
        self.dark = dark
        self.shapes: list[Tensor] = []

    def u(self, place: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return (B,) the row's own number `place`, uniform in [low, high)."""
        return low + (high - low) * self.number[:, place]

    def many(self, start: int, count: int) -> Tensor:
        """Return (B, count) of the row's own numbers, uniform in [0, 1); they wrap around."""
        return self.number[:, (torch.arange(start, start + count, device=self.number.device)) % _NUMBERS]

    def ink(self, dark: int, light: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a grey for either theme."""
        grey = torch.where(self.dark, float(dark), float(light))
        return grey, grey, grey

    def add(
        self,
        left: Value,
        top: Value,
        width: Value,
        height: Value,
        rgb: tuple[Value, Value, Value],
        *,
        round_: bool = False,
        over: float = 0.0,
        shown: Tensor | None = None,
    ) -> None:
        """Add shapes; every value is a number, (B,) or (B, n).

        Args:
            left, top, width, height: in device-independent pixels.
            rgb: code values.
            round_: an ellipse instead of a rectangle.
            over: opacity over the photograph, 0-1.
            shown: (B,) or (B, n) bool; others are left out.
        """
        visible: Value = 1.0 if shown is None else shown.float()
        values = (left, top, width, height, *rgb, float(round_), over, visible)
        wide = [self._wide(v) for v in values]
        count = max(v.shape[1] for v in wide)
        self.shapes.append(torch.stack([v.expand(-1, count) for v in wide], -1))

    def words(self, left: Value, top: Value, reach: Value, lines: int, place: int, *, size: float = 9.0) -> None:
        """Add lines of text as words: blocks of grey, as a camera at some distance sees print."""
        count = 6
        long = (0.4 + self.many(place, lines * count).reshape(-1, lines, count)) * 4.6 * size
        start = torch.cumsum(long + 0.5 * size, -1) - long
        limit = self._wide(reach)[:, :, None] * (0.45 + 0.55 * self.many(place + 7, lines)[:, :, None])
        down = torch.arange(lines, device=long.device)[None, :, None] * 1.7 * size
        fits = start + long < limit
        across = self._wide(left)[:, :, None] + start
        rows = (self._wide(top)[:, :, None] + down).expand_as(across)
        self.add(
            across.flatten(1), rows.flatten(1), long.flatten(1), 0.62 * size, self.ink(150, 120), shown=fits.flatten(1)
        )

    def table(self) -> Tensor:
        """Return (B, N, 10): left, top, width, height, r, g, b, round, over, shown."""
        return torch.cat(self.shapes, 1)

    def _wide(self, value: Value) -> Tensor:
        if isinstance(value, Tensor):
            return value if value.ndim == 2 else value[:, None]
        return torch.full((len(self.number), 1), float(value), device=self.number.device)


def handheld(sheet: Sheet, kind: Tensor) -> None:
    """Add what a phone's or tablet's application draws; `kind` (B,) indexes `HANDHELD`."""
    w, h = sheet.width, sheet.height
    viewer, gallery, call, player, chat = (kind == k for k in range(len(HANDHELD)))
    black = viewer | call | player
    ground = torch.where(black, 0.0, sheet.ink(10, 250)[0])
    sheet.add(0, 0, w, h, (ground, ground, ground))
    ink = torch.where(black, 235.0, sheet.ink(232, 34)[0])
    grey = (ink, ink, ink)
    bar = ~(viewer & (sheet.u(0) < 0.6)) & ~(player & (sheet.u(0) < 0.5))
    sheet.add(20, 9, 30, 9, grey, shown=bar)  # clock
    spots = torch.arange(3, device=w.device)[None] * 17.0
    sheet.add(w[:, None] - 66 + spots, 9, 12, 9, grey, shown=bar)
    sheet.add(w / 2 - 54, h - 10, 108, 4, grey, over=0.9, shown=bar & (sheet.u(1) < 0.6))
    hole = (sheet.u(2) < 0.35) & (w < h)
    sheet.add(w / 2 - 7, 7, 14, 14, (0, 0, 0), round_=True, over=1.0, shown=hole)
    if some(gallery):
        _gallery(sheet, gallery, grey)
    if some(call):
        _call(sheet, call)
    if some(player):
        _player(sheet, player)
    if some(chat):
        _chat(sheet, chat, grey)


def _gallery(sheet: Sheet, shown: Tensor, grey: tuple[Tensor, Tensor, Tensor]) -> None:
    w, h = sheet.width, sheet.height
    five = torch.arange(5, device=w.device)[None]
    sheet.add(18, 42, 12, 12, grey, round_=True, shown=shown)
    sheet.add(w / 2 - 40, 40, 80, 8, grey, shown=shown)
    sheet.add(w / 2 - 28, 53, 56, 6, sheet.ink(130, 140), shown=shown)
    sheet.add((five + 0.5) * w[:, None] / 5 - 9, h[:, None] - 52, 18, 18, grey, round_=True, shown=shown)
    inner = sheet.ink(10, 250)
    sheet.add((five + 0.5) * w[:, None] / 5 - 6, h[:, None] - 49, 12, 12, inner, round_=True, shown=shown)
    strip = shown & (sheet.u(3) < 0.6)
    count = 12
    tile = w[:, None] / count
    rgb = 40 + 190 * sheet.many(20, 3 * count).reshape(-1, 3, count)
    at = torch.arange(count, device=w.device)[None] * tile
    sheet.add(at + 1, h[:, None] - 100, tile - 2, 36, (rgb[:, 0], rgb[:, 1], rgb[:, 2]), shown=strip[:, None])


def _call(sheet: Sheet, shown: Tensor) -> None:
    w, h = sheet.width, sheet.height
    down = h - 78 - sheet.u(4, 0, 30)
    gap = torch.minimum(w / 5, torch.full_like(w, 84.0))
    for place, rgb in enumerate(((70, 72, 78), (70, 72, 78), (70, 72, 78), _RED)):
        at = w / 2 + (place - 1.5) * gap
        sheet.add(at - 24, down, 48, 48, rgb, round_=True, over=0.92, shown=shown)
        sheet.add(at - 8, down + 16, 16, 16, (238, 238, 238), round_=place != 3, over=0.95, shown=shown)
    sheet.add(w / 2 - 46, 46, 92, 10, (240, 240, 240), over=0.9, shown=shown & (sheet.u(5) < 0.7))
    sheet.add(w / 2 - 20, 62, 40, 7, (200, 200, 200), over=0.8, shown=shown & (sheet.u(5) < 0.7))
    # The caller's own picture in a corner: wall, hair, face and shirt.
    tall = torch.minimum(w, h) * 0.27
    wide = tall * 0.72
    left = torch.where(sheet.u(6) < 0.7, w - wide - 14, torch.full_like(w, 14.0))
    top = torch.where(sheet.u(7) < 0.6, torch.full_like(w, 34.0), down - tall - 16)
    skin, wall = sheet.u(8, 0.35, 1.0), sheet.u(9, 60, 220)
    here = shown & (sheet.u(10) < 0.85)
    sheet.add(left, top, wide, tall, (wall, wall * sheet.u(11, 0.85, 1.05), wall * sheet.u(12, 0.75, 1.1)),
              over=1.0, shown=here)  # fmt: skip
    sheet.add(left + 0.18 * wide, top + 0.66 * tall, 0.64 * wide, 0.34 * tall,
              (sheet.u(13, 20, 200), sheet.u(14, 20, 200), sheet.u(15, 20, 200)), over=1.0, shown=here)  # fmt: skip
    sheet.add(left + 0.26 * wide, top + 0.16 * tall, 0.48 * wide, 0.42 * tall, (40, 30, 26), round_=True, over=1.0,
              shown=here)  # fmt: skip
    sheet.add(left + 0.3 * wide, top + 0.24 * tall, 0.4 * wide, 0.46 * tall, (225 * skin, 178 * skin, 150 * skin),
              round_=True, over=1.0, shown=here)  # fmt: skip


def _player(sheet: Sheet, shown: Tensor) -> None:
    w, h = sheet.width, sheet.height
    sheet.add(0, h - 64, w, 64, (0, 0, 0), over=0.45, shown=shown)
    done = sheet.u(16, 0.05, 0.95)
    red = sheet.u(17) < 0.5
    rgb = (torch.where(red, 235.0, 240.0), torch.where(red, 40.0, 240.0), torch.where(red, 40.0, 240.0))
    sheet.add(18, h - 40, w - 36, 4, (150, 150, 150), over=0.75, shown=shown)
    sheet.add(18, h - 40, (w - 36) * done, 4, rgb, over=1.0, shown=shown)
    sheet.add(12 + (w - 36) * done, h - 44, 12, 12, rgb, round_=True, over=1.0, shown=shown)
    sheet.add(18, h - 24, 64, 9, (230, 230, 230), over=0.9, shown=shown)
    sheet.add(w - 40, h - 27, 18, 14, (230, 230, 230), over=0.9, shown=shown)
    paused = shown & (sheet.u(18) < 0.3)
    for side in (-14, 5):
        sheet.add(w / 2 + side, h / 2 - 17, 10, 34, (245, 245, 245), over=0.85, shown=paused)


def _chat(sheet: Sheet, shown: Tensor, grey: tuple[Tensor, Tensor, Tensor]) -> None:
    w, h = sheet.width, sheet.height
    rgb = (sheet.u(20, 40, 230), sheet.u(21, 40, 230), sheet.u(22, 40, 230))
    sheet.add(16, 36, 34, 34, rgb, round_=True, shown=shown)
    sheet.add(60, 42, 20 + 70 * sheet.u(23), 9, grey, shown=shown)
    sheet.add(60, 57, 30 + 60 * sheet.u(24), 7, sheet.ink(130, 140), shown=shown)
    for place, spot in enumerate((18, 56, 94)):
        heart = (float(_RED[0]), float(_RED[1]), float(_RED[2])) if place == 0 else grey
        sheet.add(spot, h - 128, 22, 20, heart, round_=True, shown=shown & (sheet.u(25) < 0.7))
    before = len(sheet.shapes)
    sheet.words(18, h - 98, w - 40, 3, 40)
    for place in range(before, len(sheet.shapes)):
        sheet.shapes[place][..., 9] *= shown[:, None]
    bubble = shown & (sheet.u(26) < 0.5)
    sheet.add(w * 0.4, h - 46, w * 0.55, 30, (_BLUE[0], _BLUE[1], _BLUE[2]), shown=bubble)


def desktop(sheet: Sheet, kind: Tensor) -> None:
    """Add what a desktop shows; `kind` (B,) indexes `DESKTOP`."""
    w, h = sheet.width, sheet.height
    _, browser, call, player, document = (kind == k for k in range(len(DESKTOP)))
    wall = 20 + 150 * sheet.many(0, 3)
    bands = 14
    level = 0.6 + 0.65 * torch.arange(bands, device=w.device)[None] / bands
    sheet.add(0, torch.arange(bands, device=w.device)[None] * h[:, None] / bands, w[:, None], h[:, None] / bands + 1,
              (wall[:, :1] * level, wall[:, 1:2] * level, wall[:, 2:] * level))  # fmt: skip
    full = player | (call & (sheet.u(4) < 0.5))
    left = torch.where(full, 0.0, w * sheet.u(5, 0, 0.1))
    top = torch.where(full, 0.0, h * sheet.u(6, 0, 0.08))
    wide = torch.where(full, w, (w - left) * sheet.u(7, 0.85, 1.0))
    tall = torch.where(full, h, h - 40 - top)
    inside = torch.where(player, 0.0, torch.where(call, 24.0, torch.where(document, 252.0, sheet.ink(32, 246)[0])))
    sheet.add(left, top, wide, tall, (inside, inside, inside + 2))
    framed = ~full
    title = sheet.ink(46, 222)
    sheet.add(left, top, wide, 32, title, shown=framed)
    marks = torch.arange(3, device=w.device)[None] * 34.0
    sheet.add((left + wide)[:, None] - 116 + marks, top[:, None] + 11, 11, 11, sheet.ink(200, 70), round_=True,
              shown=framed[:, None])  # fmt: skip
    sheet.add(left + 14, top + 11, 40 + 150 * sheet.u(8), 10, sheet.ink(190, 90), shown=framed)
    sheet.add(left, top + 32, wide, 40, sheet.ink(40, 238), shown=browser)
    sheet.add(left + 130, top + 40, wide - 320, 24, sheet.ink(24, 255), shown=browser)
    before = len(sheet.shapes)
    sheet.words(left + 18, top + 92, wide * 0.2, 18, 40, size=11)
    sheet.words(left + wide * 0.8, top + 92, wide * 0.17, 14, 60, size=11)
    for place in range(before, len(sheet.shapes)):
        sheet.shapes[place][..., 9] *= (~player & ~call)[:, None]
    if some(call):
        _desk_call(sheet, call)
    if some(player):
        _player(sheet, player)
    _taskbar(sheet, framed)


def _desk_call(sheet: Sheet, shown: Tensor) -> None:
    w, h = sheet.width, sheet.height
    sheet.add(0, h - 92, w, 92, (26, 27, 31), over=1.0, shown=shown)
    buttons = torch.arange(6, device=w.device)[None] * 64.0 - 192
    sheet.add(w[:, None] / 2 + buttons, h[:, None] - 72, 44, 44, (66, 68, 74), round_=True, over=1.0,
              shown=shown[:, None])  # fmt: skip
    sheet.add(w / 2 + 200, h - 72, 64, 44, _RED, over=1.0, shown=shown)
    tiles = 3
    rgb = 40 + 120 * sheet.many(70, 3 * tiles).reshape(-1, 3, tiles)
    down = torch.arange(tiles, device=w.device)[None] * (h[:, None] * 0.26) + h[:, None] * 0.06
    side = h[:, None] * 0.3
    sheet.add(w[:, None] - side - 24, down, side, side * 0.75, (rgb[:, 0], rgb[:, 1], rgb[:, 2]), over=0.0,
              shown=shown[:, None])  # fmt: skip
    sheet.add(w[:, None] - 0.64 * side - 24, down + 0.18 * side, side * 0.28, side * 0.36, (196, 150, 124), round_=True,
              shown=shown[:, None])  # fmt: skip
    sheet.add(24, h - 128, 110, 22, (20, 20, 22), over=0.7, shown=shown)
    sheet.add(34, h - 121, 80, 9, (235, 235, 235), over=0.9, shown=shown)


def _taskbar(sheet: Sheet, shown: Tensor) -> None:
    w, h = sheet.width, sheet.height
    sheet.add(0, h - 40, w, 40, sheet.ink(24, 216), over=1.0, shown=shown)
    count = 9
    rgb = 60 + 190 * sheet.many(10, 3 * count).reshape(-1, 3, count)
    start = torch.where(sheet.u(9) < 0.5, w / 2 - 200, torch.full_like(w, 16.0))
    at = start[:, None] + 44.0 * torch.arange(count, device=w.device)[None]
    sheet.add(at, h[:, None] - 32, 24, 24, (rgb[:, 0], rgb[:, 1], rgb[:, 2]), over=1.0, shown=shown[:, None])
    sheet.add(w - 84, h - 30, 62, 8, sheet.ink(220, 50), over=1.0, shown=shown)
    sheet.add(w - 76, h - 18, 54, 7, sheet.ink(220, 50), over=1.0, shown=shown)


def television(sheet: Sheet, kind: Tensor) -> None:
    """Add what a television shows; `kind` (B,) indexes `TELEVISION`."""
    w, h = sheet.width, sheet.height
    _, player, news, menu, call = (kind == k for k in range(len(TELEVISION)))
    dim = torch.where(news | menu, 1.0, 0.0)
    sheet.add(0, 0, w, h, (26 * dim * sheet.u(0), 28 * dim, 46 * dim * sheet.u(1, 0.5, 1.5)))
    if some(player):
        _player(sheet, player)
    if some(call):
        _call(sheet, call)
    if some(news):
        rgb = (sheet.u(30, 10, 210), sheet.u(31, 10, 120), sheet.u(32, 20, 200))
        sheet.add(w * 0.04, h - 92, w * 0.92, 48, rgb, over=0.92, shown=news)
        sheet.add(w * 0.04 + 18, h - 84, w * sheet.u(33, 0.3, 0.75), 12, (245, 245, 245), over=1.0, shown=news)
        sheet.add(w * 0.04 + 18, h - 64, w * sheet.u(34, 0.2, 0.6), 10, (225, 225, 225), over=1.0, shown=news)
        sheet.add(0, h - 40, w, 40, (238, 238, 240), over=1.0, shown=news)
        sheet.add(w - 110, 22, 80, 30, rgb, over=0.8, shown=news)
    if some(menu):
        count = 7
        tile = (w[:, None] - 60) / count
        tint = 40 + 190 * sheet.many(40, 3 * count).reshape(-1, 3, count)
        at = 30 + torch.arange(count, device=w.device)[None] * tile
        sheet.add(at, h[:, None] - 74, tile - 10, 56, (tint[:, 0], tint[:, 1], tint[:, 2]), over=1.0,
                  shown=menu[:, None])  # fmt: skip


DRAW: dict[str, Callable[[Sheet, Tensor], None]] = {
    "handheld": handheld,
    "desktop": desktop,
    "television": television,
}
"""How each family's screens are drawn."""


def paint(table: Tensor, light: Tensor, unit: Tensor, rows: int, columns: int) -> Tensor:
    """Return (B, C + 1, rows, columns): the shapes as light, and in the last channel how far they cover a photograph.

    Args:
        table: (B, N, 10) from `Sheet.table`.
        light: (B, C, N + 1) each shape's panel light, and last that of black, which lies under them.
        unit: (B, 2) columns and rows to a device-independent pixel.
        rows, columns: of the result.
    """
    scale = unit.repeat(1, 2)[:, None]
    corner = torch.cat([table[..., :2], table[..., :2] + table[..., 2:4]], -1) * scale
    limit = constant((columns, rows, columns, rows), table.device, corner.dtype)
    box = torch.minimum(corner.round().clamp(min=0), limit)
    box = torch.where(table[..., 9:] > 0, box, 0.0)
    colour = torch.cat([light, F.pad(table[..., 8], (0, 1))[:, None]], 1)
    canvas = colour[:, :, -1:, None].repeat(1, 1, rows, columns)
    draw = _paint_rows if table.is_cpu else _paint_together
    draw(canvas, box, corner, table[..., 7], colour)
    return canvas


def _paint_rows(canvas: Tensor, box: Tensor, corner: Tensor, round_: Tensor, colour: Tensor) -> None:
    """Fill each shape's own rectangle."""
    for row, shapes in enumerate(box.long().tolist()):
        oval = round_[row].tolist()
        for n, (left, top, right, bottom) in enumerate(shapes):
            if left >= right or top >= bottom:
                continue
            window = canvas[row, :, top:bottom, left:right]
            value = colour[row, :, n, None, None]
            if oval[n]:
                inside = _inside(corner[row, n], torch.arange(left, right), torch.arange(top, bottom))
                value = torch.where(inside, value, window)
            window.copy_(value.expand_as(window))


def _paint_together(canvas: Tensor, box: Tensor, corner: Tensor, round_: Tensor, colour: Tensor) -> None:
    """Find for every pixel the last shape that covers it, some shapes at a time, and take that shape's colour."""
    rows, columns = canvas.shape[-2:]
    x, y = (torch.arange(count, device=canvas.device) for count in (columns, rows))
    count = box.shape[1]
    last = torch.full((len(box), rows, columns), -1, dtype=torch.int32, device=canvas.device)
    number = torch.arange(count, dtype=torch.int32, device=canvas.device)[:, None, None]
    for first in range(0, count, _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        left, top, right, bottom = (side[..., None, None] for side in box[:, some].unbind(-1))
        inside = ((x >= left) & (x < right)) & ((y[:, None] >= top) & (y[:, None] < bottom))
        inside &= _inside(corner[:, some], x, y) | (round_[:, some] == 0)[..., None, None]
        last = torch.maximum(last, torch.where(inside, number[some], -1).amax(1))
    place = torch.where(last < 0, count, last).long().flatten(1)[:, None].expand(-1, canvas.shape[1], -1)
    canvas.copy_(colour.gather(2, place).reshape(canvas.shape))


def _inside(corner: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return whether pixels lie within the ellipse of a rectangle (..., 4)."""
    left, top, right, bottom = (side[..., None, None] for side in corner.unbind(-1))
    across = (2 * x + 1 - left - right) / (right - left).clamp(min=1e-6)
    down = (2 * y[:, None] + 1 - top - bottom) / (bottom - top).clamp(min=1e-6)
    return across.square() + down.square() <= 1
