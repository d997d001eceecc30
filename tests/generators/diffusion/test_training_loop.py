"""The loop: a run that was killed goes on to the same bits, averages are what is kept, and batches can be dealt out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training import loop
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.config import Plan
from spooflab.generators.diffusion.training.denoiser import DenoiserStage
from spooflab.generators.diffusion.training.examples import Examples
from spooflab.generators.diffusion.training.identity import IdentityStage
from spooflab.generators.diffusion.training.loop import Stage, fit
from spooflab.generators.diffusion.training.material import MaterialNet, MaterialStage
from spooflab.generators.diffusion.training.parts import make_parts
from spooflab.generators.diffusion.training.processes import check_batch, share
from spooflab.generators.diffusion.training.state import trained
from spooflab.generators.diffusion.training.vae import VaeStage
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute
PLAN = Plan(steps=5, batch=4, rate=1e-3, warm=2, ema=0.9, save_every=2, sheet_every=5)
Make = Callable[[], Stage]


class Line(Stage):
    """Learns y = 3 x: small enough to be followed by hand."""

    name = "line"

    def __init__(self, poison: int = -1) -> None:
        super().__init__()
        self.slope, self._poison = nn.Linear(1, 1, bias=False), poison
        nn.init.zeros_(self.slope.weight)
        self.calls = 0

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"x": torch.randn(batch, 1, generator=generator)}

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        wrong = torch.nan if self.calls == self._poison else 0.0
        return {"square": (self.slope(batch["x"]) - 3 * batch["x"]).square().mean() + wrong}

    def sheet(self) -> Tensor:
        return torch.full((3, 4, 4), float(self.slope.weight.detach()) / 3)


@pytest.fixture(params=["vae", "identity", "denoiser", "material"])
def make(request: pytest.FixtureRequest, training: Any, examples: Examples) -> Make:
    """A stage from its beginning, as a process makes it."""

    def made() -> Stage:
        torch.manual_seed(3)
        if request.param == "identity":
            net = IdentityNet(8).to(memory_format=torch.channels_last)
            return IdentityStage(net, examples)
        if request.param == "material":
            return MaterialStage(MaterialNet().to(memory_format=torch.channels_last), examples)
        parts = make_parts(training)
        for module in (parts.vae, parts.unet, parts.controlnet):
            module.to(memory_format=torch.channels_last)
        if request.param == "vae":
            return VaeStage(parts.vae, examples)
        return DenoiserStage(parts, IdentityNet(8), examples, How())

    return made


def _fit(stage: Stage, work: Path, plan: Plan = PLAN, **changes: Any) -> Stage:
    given: dict[str, Any] = {"root": 1, "about": "a", "precision": "no", **changes}
    fit(stage, plan, work, **given)
    return stage


class _Killed(BaseException):
    pass


def _killed_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the process die when step number `steps` begins."""
    plain = loop.rate_at

    def dying(step: int, plan: Plan) -> float:
        if step == steps:
            raise _Killed
        return plain(step, plan)

    monkeypatch.setattr(loop, "rate_at", dying)


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(trained(one), trained(other), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


@pytest.mark.slow
def test_every_stage_goes_on_to_the_same_bits(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _fit(make(), tmp_path / "whole")
    with monkeypatch.context() as patched:
        _killed_after(patched, 3)
        with pytest.raises(_Killed):
            _fit(make(), tmp_path / "cut")
    with safe_open(tmp_path / "cut" / "state.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "2"
    (tmp_path / "cut" / "state.part").write_bytes(b"half")
    again = _fit(make(), tmp_path / "cut")
    assert _same(whole, again)
    assert not _same(whole, make())
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "cut"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    sheets = [(tmp_path / name / "sheets" / "000005.png").read_bytes() for name in ("whole", "cut")]
    assert sheets[0] == sheets[1]


def test_a_finished_stage_is_left_as_it_is(tmp_path: Path) -> None:
    whole = _fit(Line(), tmp_path)
    log = (tmp_path / "log.jsonl").read_text()
    assert _same(_fit(Line(), tmp_path), whole)
    assert (tmp_path / "log.jsonl").read_text() == log
    entry = json.loads(log.splitlines()[-1])
    assert entry["step"] == 5
    assert set(entry) == {"step", "seconds", "rate", "square"}


def test_averages_are_what_is_kept(tmp_path: Path) -> None:
    """The weights' moving average, followed here with the decay that diffusers warms up (1 - (1 + k)^-0.75)."""
    stage, weights = Line(), list[float]()
    plain = stage.draw

    def watched(batch: int, gen: torch.Generator) -> dict[str, Tensor]:
        weights.append(float(stage.slope.weight.detach()))
        return plain(batch, gen)

    stage.draw = watched  # type: ignore[method-assign]
    _fit(stage, tmp_path)
    held = load_file(tmp_path / "state.safetensors")
    weights.append(float(held["weight.slope.weight"]))
    average = weights[0]
    for k, weight in enumerate(weights[1:]):
        decay = min(1 - (1 + k) ** -0.75, 0.9) if k > 0 else 0.0
        average = decay * average + (1 - decay) * weight
    kept = float(stage.slope.weight.detach())
    assert kept == pytest.approx(average, rel=1e-5)
    assert kept == float(held["average.0"])
    assert kept != weights[-1]
    shown = stage.sheet()
    assert float(shown[0, 0, 0]) == pytest.approx(kept / 3)


def test_without_an_average_the_last_weights_are_kept(tmp_path: Path) -> None:
    stage = _fit(Line(), tmp_path, PLAN.model_copy(update={"ema": 0.0}))
    assert float(stage.get_parameter("slope.weight").detach()) == float(
        load_file(tmp_path / "state.safetensors")["weight.slope.weight"]
    )


@pytest.mark.slow
def test_the_line_is_learnt(tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"steps": 400, "rate": 0.05, "save_every": 400, "sheet_every": 400})
    stage = _fit(Line(), tmp_path, plan)
    assert float(stage.get_parameter("slope.weight").detach()) == pytest.approx(3, abs=0.05)


def test_another_run_is_refused(tmp_path: Path) -> None:
    _fit(Line(), tmp_path)
    with pytest.raises(DataError, match="other settings"):
        _fit(Line(), tmp_path, about="b")


@pytest.mark.parametrize("keep", [0, 20, -3])
def test_a_damaged_state_is_told(tmp_path: Path, keep: int) -> None:
    _fit(Line(), tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="no state of this run"):
        _fit(Line(), tmp_path)


def test_a_state_of_other_parts_is_told(tmp_path: Path) -> None:
    class Wider(Line):
        def __init__(self) -> None:
            super().__init__()
            self.more = nn.Linear(1, 1)

    _fit(Line(), tmp_path / "one")
    with pytest.raises(DataError, match=r"it lacks \['more.bias', 'more.weight'\]"):
        _fit(Wider(), tmp_path / "one")
    _fit(_Used(), tmp_path / "two")
    with pytest.raises(DataError, match="no state of this run"):
        _fit(Line(), tmp_path / "two")


class _Used(Line):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Linear(1, 1)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        return {"more": super().forward(**batch)["square"] + self.more(batch["x"]).square().mean()}


def test_a_state_without_its_averages_is_told(tmp_path: Path) -> None:
    _fit(Line(), tmp_path)
    path = tmp_path / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
    save_file({k: v for k, v in load_file(path).items() if not k.startswith("average")}, path, facts)
    with pytest.raises(DataError, match="it lacks average 0"):
        _fit(Line(), tmp_path)


def test_a_loss_that_is_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line: loss nan at step 3"):
        _fit(Line(poison=4), tmp_path)
    again = _fit(Line(), tmp_path)  # from the state before
    assert _same(again, _fit(Line(), tmp_path / "never"))


@pytest.mark.slow
def test_bfloat16_goes_on_to_the_same_bits(
    training: Any, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage() -> Stage:
        torch.manual_seed(3)
        return DenoiserStage(make_parts(training), IdentityNet(8), examples, How())

    whole = _fit(stage(), tmp_path / "whole", precision="bf16")
    with monkeypatch.context() as patched:
        _killed_after(patched, 3)
        with pytest.raises(_Killed):
            _fit(stage(), tmp_path / "cut", precision="bf16")
    assert _same(_fit(stage(), tmp_path / "cut", precision="bf16"), whole)
    assert {p.dtype for _, p in trained(whole)} == {torch.float32}


@pytest.mark.slow
def test_gradients_of_shares_average_to_the_batch(make: Make, examples: Examples) -> None:
    """What two processes see of a batch, without starting them; people are told apart within a share alone."""
    stage = make()
    stage.eval()
    batch = stage.draw(4, generator(1, "shares"))
    whole = _gradients(stage, batch)
    parts = [_gradients(stage, share(batch, rank, 2)) for rank in (0, 1)]
    rows = next(iter(batch.values())).shape[0]
    assert sum(len(next(iter(share(batch, rank, 2).values()))) for rank in (0, 1)) == rows
    if stage.name == "identity":
        return
    for name, grad in whole.items():
        torch.testing.assert_close((parts[0][name] + parts[1][name]) / 2, grad, atol=1e-5, rtol=1e-3)


def _gradients(stage: Stage, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    stage.zero_grad()
    torch.stack(list(stage(**batch).values())).sum().backward()
    return {name: p.grad.clone() for name, p in trained(stage) if p.grad is not None}


def test_every_trained_weight_has_a_gradient(make: Make) -> None:
    """Processes that share a batch wait for each of them."""
    stage = make()
    assert set(_gradients(stage, stage.draw(4, generator(1, "g")))) == {name for name, _ in trained(stage)}


def test_shares_are_equal_or_refused() -> None:
    batch = {"x": torch.arange(6)}
    assert [share(batch, rank, 3)["x"].tolist() for rank in range(3)] == [[0, 3], [1, 4], [2, 5]]
    check_batch(6, 3, "vae")
    with pytest.raises(ConfigError, match="vae: batch 6 over 4 processes"):
        check_batch(6, 4, "vae")
