"""One eye on a canvas: its frame evaluated on the blocks in which smooth layers are laid."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.instruments.makeup_regions import EyeFields, EyeFrame, Window, signed_distance, soft_step
from spooflab.generators.instruments.skin_chart import Array

STEP = 2
"""Smooth layers are computed for blocks of so many pixels a side."""


@dataclass(frozen=True)
class EyePatch:
    """One eye on the half-resolution planes of a canvas.

    Attributes:
        frame: its axes and curves.
        window: rectangle on the picture, on the canvas's blocks; may be empty.
        within: the canvas's.
        fields: where its blocks lie in the frame.
        opening: (h, w) share of the eyeball.
        brow: (h, w) soft band of the brow's hair.
        brow_line: (h, w) height of the brow's landmarks in eye widths.
    """

    frame: EyeFrame
    window: Window
    within: Window
    fields: EyeFields
    opening: Tensor
    brow: Tensor
    brow_line: Tensor

    @classmethod
    def of(cls, marks: Array, image_left: bool, within: Window) -> "EyePatch":
        """Read one eye of a canvas over the window `within`."""
        frame = EyeFrame.of(marks, image_left)
        window = aligned(frame.window(frame_of(within), below=0.45, above=0.15, beyond=0.5), within)
        f = frame.fields(window, STEP)
        blank = f.s + f.h
        opening = blank if window.empty else soft_step(signed_distance(frame.lids, window, STEP) + 0.4, 1.2)
        line = torch.where(f.lid > 0.3, f.h - f.above + f.above / f.lid.clamp(min=1e-3), 9.0)
        ends = soft_step(f.s + 0.12, 0.06) * soft_step(float(frame.tail[0]) + 0.1 - f.s, 0.06)
        brow = soft_step(0.15 - (f.h - line + 0.05).abs(), 0.06) * ends
        return cls(frame, window, within, f, opening, brow, line)

    @property
    def lids(self) -> Tensor:
        """(h, w) skin around the eye, opening included."""
        f = self.fields
        sides = soft_step(f.s + 0.25, 0.1) * soft_step(1.3 - f.s, 0.1)
        return sides * soft_step(f.below + 0.4, 0.1) * soft_step(1.0 - f.lid, 0.15)

    def part(self, plane: Tensor) -> Tensor:
        """Return the part of a half-resolution plane (..., h, w) of the canvas, as a view."""
        return half_of(self.within, self.window, plane)

    def add(self, plane: Tensor, values: Tensor) -> None:
        """Raise a plane of the canvas to `values` where they are higher."""
        part = self.part(plane)
        torch.maximum(part, values, out=part)


def frame_of(window: Window) -> tuple[int, int]:
    """Return the size of the smallest picture that holds a window."""
    return window.bottom, window.right


def aligned(here: Window, window: Window) -> Window:
    """Return the part of `here` inside `window` whose edges fall on its blocks."""
    top = max(here.top - window.top, 0) // STEP * STEP + window.top
    left = max(here.left - window.left, 0) // STEP * STEP + window.left
    bottom = (min(here.bottom, window.bottom) - window.top) // STEP * STEP + window.top
    right = (min(here.right, window.right) - window.left) // STEP * STEP + window.left
    return Window(top, left, max(bottom, top), max(right, left))


def half_of(window: Window, here: Window, plane: Tensor) -> Tensor:
    """Return the part of a half-resolution plane of `window` that `here` covers, as a view."""
    top, left = (here.top - window.top) // STEP, (here.left - window.left) // STEP
    return plane[..., top : top + here.shape[0] // STEP, left : left + here.shape[1] // STEP]
