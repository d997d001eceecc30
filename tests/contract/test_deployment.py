"""The container, the Ray cluster and the SLURM script of the docs: nothing that they name is missing or misspelt."""

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from spooflab.cli.main import COMMANDS, run

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docs" / "docker" / "Dockerfile"
CLUSTER = ROOT / "docs" / "ray" / "cluster.yaml"
SBATCH = ROOT / "docs" / "slurm" / "generate.sbatch"
INSTRUCTIONS = {"FROM", "ARG", "WORKDIR", "RUN", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continuation lines joined, comments dropped."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in joined)]


def told(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        run([command, "--help"])
    return capsys.readouterr().out


def test_the_containers_sources_exist_and_reach_the_build() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [source for rest in told("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]]
    assert len(copied) > 5
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is kept out by .dockerignore"
    for link in (ROOT / "src" / "spooflab").iterdir():
        if link.is_symlink():
            assert link.resolve().relative_to(ROOT).as_posix() in copied
    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {files["readme"], *files["license-files"]} <= set(copied)


def test_the_container_has_a_pinned_base_no_root_and_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert {word for word, _ in instructions()} <= INSTRUCTIONS
    assert all(re.match(r"\S+:\d+\.\d+\.\d+\S*( AS \w+)?$", base) for base in told("FROM")), told("FROM")
    last = [word for word, _ in instructions()]
    after = instructions()[len(last) - last[::-1].index("FROM") :]
    assert [rest for word, rest in after if word == "USER"] == ["spooflab"]
    assert "useradd" in " ".join(rest for word, rest in after if word == "RUN")
    assert [word for word, _ in after][-2:] == ["ENTRYPOINT", "CMD"]
    assert told("ENTRYPOINT") == ['["spooflab"]']
    assert yaml.safe_load(told("CMD")[0])[0] in COMMANDS
    assert all("--no-cache-dir" in rest for rest in told("RUN") if "pip install" in rest)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert next(rest for rest in told("ARG") if rest.startswith("EXTRAS")).split("=")[1] in extras
    example = next(line for line in DOCKERFILE.read_text().splitlines() if "generate --out" in line)
    options = options_of("generate", capsys)
    assert all(option in options for option in re.findall(r"--[a-z-]+", example))


def test_docker_itself_finds_nothing_wrong() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker daemon here: the file is only parsed")
    if subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode:
        pytest.skip("Docker without buildx has no --check")
    command = ["docker", "buildx", "build", "--check", "-f", str(DOCKERFILE), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ray_accepts_the_cluster() -> None:
    pytest.importorskip("ray")
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    wrong = {**config, "worker_start_ray_comands": []}
    with pytest.raises(Exception, match="worker_start_ray_comands"):
        validate_config(prepare_config(wrong))


def test_the_cluster_is_closed_to_others_and_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    starts = [c for role in ("head", "worker") for c in config[f"{role}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in c for c in starts)
    assert "--include-dashboard=false" in starts[0]
    example = re.sub(r"\\\n#", "", CLUSTER.read_text(encoding="utf-8"))
    named = re.findall(r"--[a-z-]+", re.search(r"spooflab generate ([^']*)'", example)[1])  # type: ignore[index]
    assert named == ["--out", "--executor", "--ray-address", "--workers"]
    options = options_of("generate", capsys)
    assert all(option in options for option in named)


def test_the_array_script_is_bash_and_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert subprocess.run(["bash", "-n", str(SBATCH)], check=False).returncode == 0
    named = set(re.findall(r"--[a-z-]+(?= \")", SBATCH.read_text()))
    assert {"--out", "--shard", "--workers", "--metrics"} <= named
    options = options_of("generate", capsys)
    assert [option for option in named if option not in options] == []


def test_shellcheck_finds_nothing_wrong() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: the script is only parsed by bash")
    done = subprocess.run(["shellcheck", str(SBATCH)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
