"""Tell glibc to keep freed memory: rendering makes and drops megabyte temporaries by the hundred."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEEP_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Make this process reuse large blocks instead of returning them to the system, and say whether it could.

    By default glibc maps and unmaps each large temporary, and touching its fresh pages can cost as much as the
    computation. Results do not change; the process keeps its high-water mark of memory. Only glibc has the setting:
    elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))
