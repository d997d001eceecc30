"""All readers by the name that the command line takes."""

from collections.abc import Callable, Iterator
from pathlib import Path

from spooflab.errors import ConfigError
from spooflab.experiments.readers import (
    casia_fasd,
    celeba_spoof,
    folder,
    hf_parquet,
    hifimask,
    hq_wmca,
    manifest,
    msu_mfsd,
    oulu_npu,
    replay_attack,
    replay_mobile,
    siw,
    siw_mv2,
    synthaspoof,
    three_dmad,
    uniattack,
    wmca,
)
from spooflab.experiments.readers.item import Broken, RealItem

Reader = Callable[[Path], Iterator[RealItem | Broken]]

READERS: dict[str, Reader] = {
    "oulu_npu": oulu_npu.read,
    "casia_fasd": casia_fasd.read,
    "replay_attack": replay_attack.read,
    "replay_mobile": replay_mobile.read,
    "msu_mfsd": msu_mfsd.read,
    "siw": siw.read,
    "siw_mv2": siw_mv2.read,
    "celeba_spoof": celeba_spoof.read,
    "wmca": wmca.read,
    "hq_wmca": hq_wmca.read,
    "hifimask": hifimask.read,
    "three_dmad": three_dmad.read,
    "uniattack": uniattack.read,
    "synthaspoof": synthaspoof.read,
    "folder": folder.read,
    "manifest": manifest.read,
    "hf_parquet": hf_parquet.read,
}


def reader_of(name: str) -> Reader:
    """Return a reader.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in READERS:
        raise ConfigError(f"data set {name!r} is not known", wanted=f"one of {', '.join(READERS)}")
    return READERS[name]
