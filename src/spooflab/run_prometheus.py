"""A run's figures for Prometheus, served on this machine's loopback interface and nowhere else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spooflab.errors import ConfigError
from spooflab.process_tree import process_tree
from spooflab.run_metrics import RunMetrics
from spooflab.shard_runs import ShardDone

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Endpoint:
    """Where the figures of a run are served.

    Attributes:
        url: the page that a Prometheus scrapes.
        exporter: what counts.
    """

    url: str
    exporter: "Exporter"


@contextmanager
def serve(meter: RunMetrics, port: int) -> Iterator[Endpoint]:
    """Serve the figures of `meter` while the context lasts.

    Args:
        meter: the run's.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        ConfigError: prometheus-client is not installed, or the port cannot be had.
    """
    if not 0 <= port < 2**16:
        raise ConfigError(f"--prometheus {port}", wanted="a port, 1 to 65535, or 0 for a free one")
    try:
        import prometheus_client
    except ImportError as error:
        raise ConfigError(
            f"--prometheus: {error}", wanted="prometheus-client", next_step="pip install 'spooflab[metrics]'"
        ) from error
    exporter = Exporter(prometheus_client, meter)
    try:
        server, thread = prometheus_client.start_http_server(port, addr=LOOPBACK, registry=exporter.registry)
    except OSError as error:
        raise ConfigError(
            f"--prometheus {port}: {error.strerror}", wanted="a port that is free and above 1023, or 0"
        ) from error
    try:
        yield Endpoint(f"http://{LOOPBACK}:{server.server_port}/metrics", exporter)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Exporter:
    """Counters of one run, in a registry of their own.

    Attributes:
        registry: of prometheus-client.
    """

    def __init__(self, prometheus: Any, meter: RunMetrics) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._shards = prometheus.Counter("spooflab_shards", "Shards committed by this run.", registry=self.registry)
        self._rows = prometheus.Counter("spooflab_rows", "Samples made by this run.", registry=self.registry)
        self._bytes = prometheus.Counter("spooflab_bytes", "Bytes of its committed shards.", registry=self.registry)
        self._skips = prometheus.Counter(
            "spooflab_skips", "Planned samples that it could not make.", ["reason"], registry=self.registry
        )

        def gauge(name: str, told: str) -> Any:
            return prometheus.Gauge(f"spooflab_{name}", told, registry=self.registry)

        gauge("shards_planned", "Shards that this run is to make.").set_function(lambda: meter.shards)
        gauge("eta_seconds", "Remaining time at the mean rate so far; NaN before the first shard.").set_function(
            lambda: _number(meter.figures()["eta_s"])
        )
        gauge("rows_per_second", "Mean rate so far.").set_function(lambda: _number(meter.figures()["rows_per_s"]))
        resident = prometheus.Gauge(
            "spooflab_resident_bytes", "Memory of the driver, and of all its workers.", ["of"], registry=self.registry
        )
        resident.labels("driver").set_function(lambda: _resident(slice(0, 1)))
        resident.labels("workers").set_function(lambda: _resident(slice(1, None)))

    def count(self, done: ShardDone) -> None:
        """Take a shard in."""
        self._shards.inc()
        self._rows.inc(done.rows)
        self._bytes.inc(done.size)
        for reason, times in done.reasons.items():
            self._skips.labels(reason).inc(times)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _resident(which: slice) -> float:
    return float(sum(use.resident_bytes for use in process_tree(os.getpid())[which]))
