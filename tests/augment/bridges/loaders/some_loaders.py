"""Data loaders with sound and unsound randomness, for the tests of `spooflab doctor-loader`."""

import hashlib
import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, get_worker_info

N = 20


class Numbers(Dataset):
    """Sample i is i and noise."""

    epoch = 0

    def __len__(self):
        return N

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return index, self.noise(index)

    def noise(self, index):
        return np.float64(0)


def seeded(*names):
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big"))


class Keyed(Numbers):
    def noise(self, index):
        return seeded(self.epoch, index).random()


class NumpyGlobal(Numbers):
    def noise(self, index):
        return np.random.rand()  # noqa: NPY002  # the fault


class TorchGlobal(Numbers):
    def noise(self, index):
        return torch.rand(3)


class OwnGenerator(Numbers):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def noise(self, index):
        return self.rng.random()


class OwnFlips(OwnGenerator):
    def noise(self, index):
        return self.rng.random() < 0.5


class BlindToTheFirst(OwnGenerator):
    """Multiplies: sample 0 is 0 whatever is drawn."""

    def noise(self, index):
        return index * self.rng.random()


class WorkerCount(Numbers):
    def noise(self, index):
        info = get_worker_info()
        return seeded(self.epoch, index, 1 if info is None else info.num_workers).random()


class ByWorker(Numbers):
    """Every worker but the first has a stream of its own."""

    def noise(self, index):
        info = get_worker_info()
        return seeded(self.epoch, index, 0 if info is None else info.id).random()


class SameEveryEpoch(Numbers):
    def noise(self, index):
        return seeded(index).random()


class SameEveryEpochPython(Numbers):
    def noise(self, index):
        return random.Random(index).random()


class ByBatch(Numbers):
    def __getitems__(self, indices):
        rng = seeded(self.epoch, indices[0])
        return [(i, rng.random()) for i in indices]


class NestedTransform(Numbers):
    """The epoch is known to a transform inside a list inside the data set."""

    def __init__(self):
        self.transforms = [{"inner": Keyed()}]

    def set_epoch(self, epoch):
        pass

    def noise(self, index):
        return self.transforms[0]["inner"].noise(index)


class Broken(Numbers):
    def noise(self, index):
        raise ValueError("no such picture")


class Leaving(Numbers):
    def noise(self, index):
        raise SystemExit(0)


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(N)


def init_same(worker):
    np.random.seed(0)  # noqa: NPY002  # the fault


def init_by_data(worker):
    np.random.seed(len(get_worker_info().dataset) + worker)  # noqa: NPY002  # as people do


def noisy_collate(samples):
    return torch.tensor([i for i, _ in samples]) + torch.rand(())


keyed = DataLoader(Keyed(), batch_size=4)
shuffled = DataLoader(Keyed(), batch_size=4, shuffle=True, num_workers=2, persistent_workers=False)
batch_sampled = DataLoader(Keyed(), batch_sampler=torch.utils.data.BatchSampler(RandomSampler(range(N)), 3, True))
unbatched = DataLoader(Keyed(), batch_size=None)
nested = DataLoader(NestedTransform(), batch_size=4)
constant = DataLoader(Numbers(), batch_size=4)
numpy_global = DataLoader(NumpyGlobal(), batch_size=4)
torch_global = DataLoader(TorchGlobal(), batch_size=4, generator=torch.Generator().manual_seed(1))
own_generator = DataLoader(OwnGenerator(), batch_size=4)
blind_to_the_first = DataLoader(BlindToTheFirst(), batch_size=4)
own_flips = DataLoader(OwnFlips(), batch_size=4)
same_workers = DataLoader(NumpyGlobal(), batch_size=4, worker_init_fn=init_same)
init_with_data = DataLoader(Keyed(), batch_size=4, worker_init_fn=init_by_data)
worker_count = DataLoader(WorkerCount(), batch_size=4)
same_epochs = DataLoader(SameEveryEpoch(), batch_size=4)
same_epochs_python = DataLoader(SameEveryEpochPython(), batch_size=4)
stuck_workers = DataLoader(Keyed(), batch_size=4, num_workers=2, persistent_workers=True)  # never see set_epoch
by_batch = DataLoader(ByBatch(), batch_size=4)
collated = DataLoader(Numbers(), batch_size=4, collate_fn=noisy_collate)
broken = DataLoader(Broken(), batch_size=4)
leaving = DataLoader(Leaving(), batch_size=4)
by_worker_large_batches = DataLoader(ByWorker(), batch_size=32)
keyed_pair = DataLoader(torch.utils.data.Subset(Keyed(), range(2)), batch_size=4)
stream = DataLoader(Stream(), batch_size=4)
nothing = 3


def make_keyed():
    print("a stranger's words")
    return DataLoader(Keyed(), batch_size=4)


def make_nothing():
    return None


def make_error():
    raise RuntimeError("no data here")


def make_exit():
    raise SystemExit(0)
