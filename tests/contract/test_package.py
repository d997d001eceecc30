"""The package as others get it: wheel equals tree, arrows hold, the light part needs no extra, no foreign code runs."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import spooflab
from spooflab.provenance import source_sha256

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "spooflab"
FOLDERS = ("adapters", "augment", "configs", "experiments", "generators")
EXTRAS = (
    "accelerate",
    "albumentations",
    "av",
    "cv2",
    "datasets",
    "diffusers",
    "jinja2",
    "matplotlib",
    "optuna",
    "pandas",
    "pytorch_adapt",
    "pytorch_metric_learning",
    "ray",
    "scipy",
    "skimage",
    "sklearn",
    "tensorboard",
    "torchvision",
    "transformers",
)
DEPENDENCIES = {
    "kornia": "kornia",
    "numpy": "numpy",
    "pillow": "PIL",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "rich": "rich",
    "safetensors": "safetensors",
    "torch": "torch",
    "tyro": "tyro",
}


def sources(*places: str) -> Iterator[Path]:
    """Python files of the named places under the package; "" is the core itself."""
    for place in places:
        yield from sorted(PACKAGE.glob("*.py") if place == "" else (PACKAGE / place).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, also inside functions, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_are_relative_and_committed(folder: str) -> None:
    link = PACKAGE / folder
    assert os.readlink(link) == f"../../{folder}"
    assert link.resolve() == ROOT / folder
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout to ask")
    told = subprocess.run(
        ["git", "ls-files", "-s", f"src/spooflab/{folder}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("120000 "), "the link is not committed as a link"


def make_lines(*arguments: str) -> list[str]:
    """What make would run, without running it."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    # A stamp that is newer than all: what would be installed is not of interest.
    quiet = ("-o", ".venv/.dev", "-o", ".venv/bin/python")
    # The tests may be run by make themselves, whose flags and depth would be told to this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-n", *quiet, *arguments]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if line]


def test_the_audit_looks_at_what_is_installed_and_nothing_calls_it() -> None:
    assert any(line.startswith("pip-audit") for line in project()["optional-dependencies"]["dev"])  # type: ignore[index]  # TOML
    command = ".venv/bin/pip-audit --skip-editable --progress-spinner off"
    assert [line.strip() for line in make_lines("audit")] == [command]
    assert [line.strip() for line in make_lines("audit", "AUDIT=--dry-run")] == [f"{command} --dry-run"]
    assert "make audit" in " ".join(make_lines("help"))
    for target in ("check", "test", "lint", "quickstart", "torture"):
        assert not any("pip-audit" in line for line in make_lines(target))
    for path in (path for path in (ROOT / ".ci").rglob("*") if path.is_file()):
        assert "audit" not in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_audit_collects_what_is_installed_without_a_network() -> None:
    pytest.importorskip("pip_audit")
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--dry-run"]
    # A proxy that nobody serves: whatever would be asked for over the network fails.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    told = subprocess.run(command, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    counted = [line for line in told.stderr.splitlines() if "would have audited" in line]
    assert counted, told.stderr
    assert int(counted[0].rpartition("audited ")[2].split()[0]) >= len(DEPENDENCIES)


def test_versions_agree() -> None:
    assert project()["version"] == spooflab.__version__


def test_the_light_part_names_only_the_dependencies() -> None:
    listed = {str(d).split(">")[0].split("[")[0] for d in project()["dependencies"]}  # type: ignore[attr-defined]  # TOML
    assert listed == set(DEPENDENCIES)
    allowed = {*DEPENDENCIES.values(), *sys.stdlib_module_names, "spooflab"}
    # Packages of extras, imported where they are used and told of if missing.
    asked_for = {
        "video_stream.py": {"av"},
        "ray_session.py": {"ray"},
        "object_files.py": {"fsspec"},
        "run_prometheus.py": {"prometheus_client"},
    }
    for path in sources("", "augment", "configs"):
        own = {path.stem} if path.parent.name == "bridges" else set()  # a bridge is named after what it leads to
        for line, name in imports(path):
            assert name.split(".")[0] in allowed | own | asked_for.get(path.name, set()), (
                f"{path}:{line} imports {name}, which no dependency brings"
            )


def test_core_imports_no_folder_of_the_package() -> None:
    above = {"cli", *FOLDERS}
    for path in sources(""):
        for line, name in imports(path):
            parts = name.split(".")
            assert parts[0] != "spooflab" or len(parts) == 1 or parts[1] not in above, f"{path}:{line} imports {name}"


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("augment", ("generators", "adapters", "experiments", "cli")),
        ("generators", ("adapters", "experiments", "cli")),
        ("adapters", ("generators", "experiments", "cli")),
        ("experiments", ("cli",)),
        ("configs", ("augment", "generators", "adapters", "experiments", "cli")),
    ],
)
def test_arrows_go_one_way(folder: str, forbidden: tuple[str, ...]) -> None:
    paths = list(sources(folder))
    assert paths
    for path in paths:
        for line, name in imports(path):
            for other in forbidden:
                assert not f"{name}.".startswith(f"spooflab.{other}."), f"{path}:{line} imports {name}"


@pytest.mark.slow
def test_import_linter_agrees() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed")
    told = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


@pytest.mark.slow
def test_augment_and_core_work_without_any_extra() -> None:
    script = f"""
import sys
from importlib.abc import MetaPathFinder
class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
import spooflab.augment
import spooflab.images, spooflab.sample, spooflab.store, spooflab.provenance, spooflab.config
loaded = sorted({{name.split(".")[0] for name in sys.modules}} & set({EXTRAS!r}))
assert not loaded, loaded
for name in spooflab.augment.__all__:
    getattr(spooflab.augment, name)
print(len(spooflab.augment.list_profiles()))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) >= 5


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
    "pd.read_pickle",
}
FORBIDDEN_METHODS = {"load_state"}  # accelerate's reads pickles
FORBIDDEN_ARGUMENTS = {"trust_remote_code": True, "allow_pickle": True, "weights_only": False, "shell": True}


def code_execution(path: Path) -> Iterator[str]:
    """What in a file could run code that came with data."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, name in imports(path):
        if name.split(".")[0] in FORBIDDEN_MODULES:
            yield f"{path}:{line} imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in FORBIDDEN_CALLS or called.rpartition(".")[2] in FORBIDDEN_METHODS:
            yield f"{path}:{node.lineno} calls {called}"
        for argument in node.keywords:
            if argument.arg in FORBIDDEN_ARGUMENTS:
                safe = not FORBIDDEN_ARGUMENTS[argument.arg]
                if not (isinstance(argument.value, ast.Constant) and argument.value.value is safe):
                    yield f"{path}:{node.lineno} passes {argument.arg}={ast.unparse(argument.value)}"


def over_the_tree(search: Callable[[Path], Iterator[str]]) -> list[str]:
    """What a search finds in every file of the package and of the examples."""
    paths = [*sources("", "cli", *FOLDERS), *sorted((ROOT / "examples").rglob("*.py"))]
    return [each for path in paths for each in search(path)]


@pytest.mark.slow
def test_nothing_in_the_tree_runs_code_from_data() -> None:
    assert over_the_tree(code_execution) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "np.load(path, allow_pickle=flag)",
        "AutoModel.from_pretrained(name, trust_remote_code=config.trust)",
        "subprocess.run(text, shell=True)",
        "accelerator.load_state(folder)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(f"def f():\n    {line}\n")
    assert list(code_execution(path))
    path.write_text("yaml.safe_load(t); model.eval(); f(trust_remote_code=False); safetensors.torch.load(b)\n")
    assert list(code_execution(path)) == []


def from_afar(path: Path) -> Iterator[str]:
    """What in a file could read a model or data set from a hub, other than at one commit or from this machine."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func).rpartition(".")[2], {a.arg: ast.unparse(a.value) for a in node.keywords}
        if name in ("load_dataset", "hf_hub_download", "cached_file", "from_single_file"):
            yield f"{path}:{node.lineno} calls {name}"
        if name == "snapshot_download" and not given.get("revision", "").endswith(".revision"):
            yield f"{path}:{node.lineno} downloads at no commit"
        reads = name == "from_pretrained" or (name == "load_config" and isinstance(node.func, ast.Attribute))
        if reads and given.get("local_files_only") != "True":
            around = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]
            if None not in given or not any("'local_files_only': True" in ast.unparse(f) for f in around):
                yield f"{path}:{node.lineno} calls {name} without local_files_only"


@pytest.mark.slow
def test_models_are_read_from_this_machine_or_at_one_commit() -> None:
    assert over_the_tree(from_afar) == []


@pytest.mark.parametrize(
    "line",
    [
        "AutoModel.from_pretrained(name)",
        "AutoModel.from_pretrained(name, revision=config.revision)",
        "AutoModel.from_pretrained(name, **where)",
        "datasets.load_dataset(name)",
        "hub.snapshot_download(name)",
        "hub.snapshot_download(name, revision='main')",
    ],
)
def test_the_search_for_hubs_finds_what_it_looks_for(line: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(f"def f():\n    {line}\n")
    assert list(from_afar(path))
    path.write_text(
        "def f():\n    where = {'local_files_only': True}\n    A.from_pretrained(n, **where)\n"
        "    hub.snapshot_download(n, revision=source.revision)\n"
    )
    assert list(from_afar(path)) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel offline from a copy, so that neither old build folders nor new ones matter."""
    copy = tmp_path_factory.mktemp("tree") / "copy"
    skipped = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "quickstart", "out", "shared")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=skipped)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", out, copy]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    tree: dict[str, bytes] = {}
    for folder, folders, files in os.walk(PACKAGE, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            path = Path(folder, name)
            tree[f"spooflab/{path.relative_to(PACKAGE).as_posix()}"] = path.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
        about = [name for name in archive.namelist() if ".dist-info/" in name]
        entry = next(archive.read(name).decode() for name in about if name.endswith("entry_points.txt"))
    assert sorted(set(tree) - set(packed)) == [], "in the tree, not in the wheel"
    assert sorted(set(packed) - set(tree)) == [], "in the wheel, not in the tree"
    assert [name for name in tree if tree[name] != packed[name]] == []
    assert "spooflab = spooflab.cli.main:main" in entry
    assert any(name.endswith("/LICENSE") for name in about)


@pytest.mark.slow
def test_the_unpacked_wheel_imports_and_has_the_same_source_hash(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = """
import spooflab.augment, spooflab.cli.main, spooflab.generators, spooflab.provenance as p
print(spooflab.__file__, p.source_sha256(), p.provenance()["git_commit"], len(spooflab.augment.list_profiles()))
"""
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    file, digest, commit, profiles = told.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert digest == source_sha256.__wrapped__()
    assert commit == "None"
    assert int(profiles) >= 5
