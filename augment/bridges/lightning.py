"""Lightning: the hook that photographs a batch once it is on the accelerator. Lightning itself is not needed here."""

from typing import Any

from spooflab.augment.bridges.batches import BatchDevice


class DeviceHook:
    """Mixin for a LightningModule or LightningDataModule: `class Model(DeviceHook, LightningModule)`.

    Training batches are photographed by `batch_device`; validation, test and prediction batches pass. The trainer's
    epoch is the epoch of the shots.

    Attributes:
        batch_device: set it in the class or in `__init__`.
    """

    batch_device: BatchDevice
    trainer: Any
    _epoch_seen: int | None = None

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Return the batch, photographed while training."""
        before = getattr(super(), "on_after_batch_transfer", None)
        if before is not None:
            batch = before(batch, dataloader_idx)
        if not self.trainer.training:
            return batch
        if self._epoch_seen != self.trainer.current_epoch:
            self._epoch_seen = self.trainer.current_epoch
            self.batch_device.set_epoch(self.trainer.current_epoch)
        return self.batch_device(batch)
