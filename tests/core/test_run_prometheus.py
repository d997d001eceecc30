"""A run's figures over HTTP: right, complete, on loopback alone, and gone with the run."""

import os
import socket
import urllib.request
from pathlib import Path

import pytest

from spooflab.errors import ConfigError
from spooflab.process_tree import process_tree
from spooflab.run_metrics import RunMetrics
from spooflab.shard_runs import ShardDone

prometheus_client = pytest.importorskip("prometheus_client")
from spooflab.run_prometheus import serve  # noqa: E402


def scraped(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as page:
        text = page.read().decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_what_is_scraped_is_what_was_counted() -> None:
    now = [0.0]
    meter = RunMetrics(0, clock=lambda: now[0])
    with serve(meter, 0) as endpoint:
        meter.begin(4)
        assert scraped(endpoint.url)["spooflab_eta_seconds"] != scraped(endpoint.url)["spooflab_eta_seconds"]  # NaN
        for done in (
            ShardDone(0, 20, 3, "ab", 1000, 4.0, {"qc_moire": 2, "hung": 1}),
            ShardDone(1, 22, 1, "cd", 500, 4.0, {"qc_moire": 1}),
        ):
            now[0] += 5.0
            endpoint.exporter.count(done)
            meter.count(done)
        page = scraped(endpoint.url)
    counted = {name: page[f"spooflab_{name}_total"] for name in ("shards", "rows", "bytes")}
    assert counted == {"shards": 2, "rows": 42, "bytes": 1500}
    assert (page['spooflab_skips_total{reason="qc_moire"}'], page['spooflab_skips_total{reason="hung"}']) == (3, 1)
    assert (page["spooflab_shards_planned"], page["spooflab_eta_seconds"]) == (4, 10.0)
    assert page["spooflab_rows_per_second"] == 4.2
    own = next(iter(process_tree(os.getpid()))).resident_bytes
    assert page['spooflab_resident_bytes{of="driver"}'] == pytest.approx(own, rel=0.2)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(endpoint.url, timeout=10)


def test_nobody_else_can_reach_it() -> None:
    with serve(RunMetrics(1), 0) as endpoint:
        port = int(endpoint.url.rsplit(":", 1)[1].split("/")[0])
        assert endpoint.url == f"http://127.0.0.1:{port}/metrics"
        listening = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            if Path(f"/proc/net/{name}").exists()
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]
        assert listening in ([f"0100007F:{port:04X}"], [])  # 127.0.0.1, where the system tells


def test_a_port_that_cannot_be_had_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--prometheus {port}"), serve(RunMetrics(1), port):
            pass
    with pytest.raises(ConfigError, match="1 to 65535"), serve(RunMetrics(1), 70_000):
        pass


def test_a_tree_holds_a_process_and_its_children() -> None:
    if not Path("/proc/self/stat").exists():
        assert process_tree(os.getpid()) == []
        return
    child = os.fork()
    if child == 0:
        import time

        time.sleep(30)
        os._exit(0)
    try:
        tree = process_tree(os.getpid())
        assert tree[0].pid == os.getpid()
        assert tree[0].resident_bytes > 10e6
        assert tree[0].cpu_s > 0
        assert child in {use.pid for use in tree}
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert process_tree(child) == []
