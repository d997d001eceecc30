"""Without the library, a bridge's import says what to install."""

import importlib
import sys

import pytest

from spooflab.errors import ConfigError


@pytest.mark.parametrize("library", ["albumentations", "torchvision"])
def test_the_error_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = f"spooflab.augment.bridges.{library}"
    monkeypatch.delitem(sys.modules, bridge, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"pip install 'spooflab\[interop\]'"):
        importlib.import_module(bridge)
    sys.modules.pop(bridge, None)


@pytest.mark.slow
def test_the_package_itself_needs_none_of_them() -> None:
    import subprocess

    code = (
        "import sys; import spooflab.augment.bridges.lightning, spooflab.augment.bridges.datasets;"
        "names = ('albumentations', 'torchvision', 'datasets', 'accelerate', 'lightning');"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
