"""pytorch-adapt's layers and losses, imported on use."""

import warnings
from types import ModuleType

from spooflab.errors import ConfigError


def adapt_layers(algorithm: str) -> ModuleType:
    """Return `pytorch_adapt.layers` for the algorithm of that name.

    Imported on use: it pulls in torchmetrics, which takes a second, and is part of an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # torchmetrics 0.9.3 reads versions through setuptools' old module, and setuptools says so.
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            from pytorch_adapt import layers
    except ImportError as error:
        raise ConfigError(f"{algorithm}: {error}", next_step="pip install 'spooflab[adapt]'") from error
    module: ModuleType = layers
    return module
