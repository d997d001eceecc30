"""Ray for as long as something runs on it: a running cluster, or Ray started on this machine and stopped after."""

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spooflab.errors import ConfigError

_STORE_BYTES = 100 << 20
"""Of Ray's shared memory where it is started here: tasks read and write files and return a few words."""


@contextmanager
def ray_session(address: str | None, cores: int) -> Iterator[Any]:
    """Lend the module `ray`, connected; what the caller had connected itself stays so.

    Args:
        address: of a running cluster, or `auto`; None starts Ray here.
        cores: that a Ray started here may use.

    Raises:
        ConfigError: Ray is not installed, or the cluster is out of reach.
    """
    if address is None:
        _keep_to_ourselves()
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"executor ray: {error}", wanted="Ray", next_step="pip install 'spooflab[ray]'") from error
    if ray.is_initialized():  # the caller's own; it stays as it is
        yield ray
        return
    try:
        if address is None:
            _start(ray, cores)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"executor ray, address {address}: {str(error).splitlines()[0]}",
            wanted="a running cluster (ray start --head), or no address",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, cores: int) -> None:
    """Start Ray for this run alone, without dashboard; it needs no other network than the loopback interface."""
    ray.init(
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        object_store_memory=_STORE_BYTES,
        _node_ip_address="127.0.0.1",
    )


def _keep_to_ourselves() -> None:
    """Let nobody else in, for whoever reaches Ray's ports may run code, and report nothing about its use.

    Ray reads these once, as it is imported; so they stay set in this process. What the caller set is kept.
    """
    if "ray" in sys.modules:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
