"""A loader as a user of the Albumentations bridge writes it."""

import albumentations
import numpy as np
from torch.utils.data import DataLoader, Dataset

from spooflab.augment import CaptureDevice
from spooflab.augment.bridges.albumentations import AlbumentationsDevice


class Faces(Dataset):
    def __init__(self):
        device = AlbumentationsDevice(CaptureDevice("front_phone"), seed=1, p=0.9)
        self.transform = albumentations.Compose([device])

    def __len__(self):
        return 8

    def __getitem__(self, index):
        image = np.full((32, 32, 3), 20 * index, np.uint8)
        return self.transform(image=image, key=index)["image"]


loader = DataLoader(Faces(), batch_size=2, num_workers=2, persistent_workers=True)
