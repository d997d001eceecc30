"""Device shift: every image of a batch goes through another camera."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spooflab.augment.capture import CaptureDevice, retake
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.draw import check_draw, draw_table, shots_of
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.photograph import check_photograph
from spooflab.augment.quick import Fidelity, check_fidelity
from spooflab.errors import ConfigError, DataError
from spooflab.params import choice


class DeviceShift(nn.Module):
    """Pick a device per image, and take the image with it. Light is developed by `develop(irradiance, params)`.

    Args:
        devices: the cameras, picked with equal probability.
        fidelity: as in `CaptureDevice`, for all of them.
    """

    def __init__(self, devices: Sequence[CaptureDevice], *, fidelity: Fidelity = "full") -> None:
        super().__init__()
        if not devices:
            raise ConfigError("DeviceShift without devices", wanted="at least one CaptureDevice")
        self.devices = nn.ModuleList(devices)
        self.fidelity = check_fidelity(fidelity)

    @property
    def device_ids(self) -> list[str]:
        """The cameras' ids, in the order that `pick` counts in."""
        return [device.device_id for device in self._cameras()]

    def pick(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw (B,) int64 positions in `device_ids`."""
        return choice(batch_size, len(self.devices), generator)

    def sample(
        self,
        batch_size: int,
        generator: torch.Generator,
        *,
        size: tuple[int, int] = (512, 512),
        picked: Tensor | None = None,
    ) -> DeviceParams:
        """Draw one shot per image, each of the device `picked` for it (drawn where not given)."""
        chosen = self.pick(batch_size, generator) if picked is None else picked
        check_draw(batch_size, size)
        if chosen.shape != (batch_size,):
            raise DataError(f"picked of shape {tuple(chosen.shape)}", wanted=f"({batch_size},) positions")
        if int(chosen.min()) < 0 or int(chosen.max()) >= len(self.devices):
            raise DataError(f"picked {chosen.tolist()}", wanted=f"positions 0 to {len(self.devices) - 1}")
        cameras, table = self._cameras(), draw_table(batch_size, generator)
        groups, places = [], []
        for place in sorted(set(chosen.tolist())):  # one camera after the other: as the rows would be drawn one by one
            camera, rows = cameras[place], (chosen == place).nonzero()[:, 0]
            groups.append(shots_of(camera.profile, camera.identity, camera.unit, table[rows], size))
            places.append(rows)
        order = torch.cat(places).argsort()
        return DeviceParams.stack(groups)._map(lambda value: value[order])

    def forward(self, x: Tensor, *, generator: torch.Generator, gentle: bool | Tensor = False) -> Tensor:
        """Photograph each photograph with another device, as `CaptureDevice.forward`."""
        check_photograph(x)
        params = self.sample(x.shape[0], generator, size=(x.shape[-2], x.shape[-1]))
        return retake(x, gentle_shots(params, gentle), self.fidelity)

    def _cameras(self) -> list[CaptureDevice]:
        return [device for device in self.devices if isinstance(device, CaptureDevice)]
