"""Freed memory is kept where the C library can, and nothing breaks where it cannot."""

import platform
import subprocess
import sys

import pytest

from spooflab.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_large_temporaries_stop_costing_page_faults() -> None:
    script = (
        "import resource, sys, numpy as np\n"
        "from spooflab.allocator import keep_freed_memory\n"
        "assert sys.argv[1] == 'no' or keep_freed_memory()\n"
        "for _ in range(4): np.ones(6_000_000).sum()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): np.ones(6_000_000).sum()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = {
        keep: int(
            subprocess.run([sys.executable, "-c", script, keep], capture_output=True, text=True, check=True).stdout
        )
        for keep in ("no", "yes")
    }
    assert faults["yes"] < 0.1 * faults["no"]


def test_elsewhere_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
