"""Everything that decides how a clip looks: one shot of a unit that lasts, and what changes from frame to frame."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.device_params import DeviceParams
from spooflab.augment.shake import Shake
from spooflab.params import Params

_MOTION_LIMIT_PX = 4.0


@dataclass(frozen=True)
class ClipParams(Params):
    """One clip of T frames.

    Attributes:
        shot: lens, sensor pattern, colours, processing and codec, the same in every frame.
        fps: (B,) frames per second.
        noise_seed: (B, T) int64, of each frame's own noise.
        start_ev: (B,) stops by which the exposure of the first frame is off what the camera will settle at.
        settle_ms: (B,) time constant at which auto-exposure follows what it meters.
        shake: path of the picture over the sensor; time 0 is when the middle of the first frame's exposure passes.
        lamp_hz, lamp_depth: (B,) pulsation of the scene's light, see `lamp_flicker`.
    """

    shot: DeviceParams
    fps: Tensor
    noise_seed: Tensor
    start_ev: Tensor
    settle_ms: Tensor
    shake: Shake
    lamp_hz: Tensor
    lamp_depth: Tensor

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.noise_seed.shape[1])

    def start_ms(self, frame: int) -> Tensor:
        """Return (B,) when a frame starts, milliseconds after the first one."""
        return frame * 1000 / self.fps

    def frame(self, frame: int) -> DeviceParams:
        """Return the shot that a frame is: what an attack is rendered through, and the light developed with.

        The light's clock has run on (`view.phase_ms`), so that bands travel as they do; noise is the frame's own;
        motion during the exposure and the shear of the rolling shutter follow the shake's velocity. Exposure is that of
        the shot: `develop_clip` lets it settle.
        """
        view, start = self.shot.view, self.start_ms(frame)
        speed = self.shake.velocity(start[:, None])[:, 0]
        moved = view.exposure_ms[:, None] * speed
        scale = (_MOTION_LIMIT_PX / moved.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1)
        seen = dataclasses.replace(
            view,
            phase_ms=view.phase_ms + start,
            motion_px=moved * scale,
            skew=speed[:, 0] * view.readout_ms / max(1, view.height - 1),
        )
        return dataclasses.replace(self.shot, view=seen, noise_seed=self.noise_seed[:, frame])

    def row_offsets(self, frame: int) -> Tensor:
        """Return (B, H, 2): how far (x, y) the picture has moved when the middle of each row's exposure passes."""
        view = self.shot.view
        rows = torch.arange(view.height, device=self.fps.device) / max(1, view.height - 1) - 0.5
        return self.shake.position(self.start_ms(frame)[:, None] + view.readout_ms[:, None] * rows)
