import json
import math
import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.params import Params, choice, log_uniform, uniform
from spooflab.seeds import generator


@dataclass(frozen=True)
class Inner(Params):
    angle_deg: Tensor


@dataclass(frozen=True)
class Outer(Params):
    gain: Tensor
    offset: Tensor
    seed: Tensor
    flag: Tensor
    level: Tensor
    inner: Inner
    maybe: Inner | None = None
    extra: Tensor | None = None


def outer(size: int, *, full: bool = False) -> Outer:
    gen = generator(1, size)
    return Outer(
        gain=torch.randn(size, 3, 2, generator=gen),
        offset=torch.randn(size, generator=gen, dtype=torch.float64),
        seed=torch.randint(0, 2**62, (size,), generator=gen),
        flag=torch.rand(size, generator=gen) < 0.5,
        level=torch.randint(0, 255, (size, 2), generator=gen, dtype=torch.uint8),
        inner=Inner(torch.randn(size, generator=gen)),
        maybe=Inner(torch.randn(size, generator=gen)) if full else None,
        extra=torch.randn(size, generator=gen) if full else None,
    )


def same(first: Params, second: Params) -> bool:
    return type(first) is type(second) and json.dumps(first.to_json()) == json.dumps(second.to_json())


@pytest.mark.parametrize("full", [False, True])
def test_json_is_exact_for_every_type(full: bool) -> None:
    row = outer(1, full=full)
    text = json.dumps(row.to_json())
    back = Outer.from_json(json.loads(text))
    for name in ("gain", "offset", "seed", "flag", "level"):
        seen, wanted = getattr(back, name), getattr(row, name)
        assert seen.dtype == wanted.dtype
        assert torch.equal(seen, wanted)
    assert torch.equal(back.inner.angle_deg, row.inner.angle_deg)
    assert (back.maybe is None) is (not full)
    assert json.dumps(back.to_json()) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_any_float32_survives_json(value: float) -> None:
    row = Inner(torch.tensor([value]))
    back = Inner.from_json(json.loads(json.dumps(row.to_json())))
    assert back.angle_deg.numpy().tobytes() == row.angle_deg.numpy().tobytes()


def test_rows_and_stack_are_inverse() -> None:
    batch = outer(4, full=True)
    assert batch.batch_size == 4
    rows = [batch.row(i) for i in range(4)]
    assert [row.batch_size for row in rows] == [1] * 4
    assert torch.equal(rows[2].gain[0], batch.gain[2])
    stacked = Outer.stack(rows)
    assert torch.equal(stacked.gain, batch.gain)
    assert torch.equal(stacked.inner.angle_deg, batch.inner.angle_deg)
    assert stacked.maybe is not None
    assert same(Outer.stack([outer(1), outer(1)]).row(1), outer(1))


def test_a_row_shares_no_memory() -> None:
    batch = outer(2)
    batch.row(0).gain.zero_()
    assert batch.gain[0].abs().sum() > 0


def test_moving_and_pickling() -> None:
    batch = outer(1, full=True)
    assert same(batch.to("cpu"), batch)
    assert same(pickle.loads(pickle.dumps(batch)), batch)
    assert batch.to("meta").gain.device.type == "meta"


def test_only_single_rows_become_json() -> None:
    with pytest.raises(ValueError, match="batch of 1, seen 2"):
        outer(2).to_json()


def test_other_keys_are_named() -> None:
    data = outer(1).to_json()
    with pytest.raises(ValueError, match=r"Outer: unknown \['surplus'\], missing \['gain'\]"):
        Outer.from_json({k: v for k, v in data.items() if k != "gain"} | {"surplus": 1})


def test_a_params_without_fields_has_no_batch_size() -> None:
    with pytest.raises(ValueError, match="no field"):
        _ = Params().batch_size


def test_frozen() -> None:
    row = outer(1)
    with pytest.raises(AttributeError):
        row.gain = row.gain  # type: ignore[misc]  # the mistake under test
    assert torch.equal(replace(row, gain=row.gain + 1).gain, row.gain + 1)


def test_uniform_covers_its_range_evenly() -> None:
    x = uniform(20_000, -2.0, 6.0, generator(1, "u"))
    assert x.dtype == torch.float32
    assert -2 <= float(x.min()) < -1.99
    assert 5.99 < float(x.max()) < 6
    # Mean 2 with standard error (8 / sqrt 12) / sqrt 20000 = 0.0163; variance 64 / 12.
    assert abs(float(x.mean()) - 2) < 4 * 0.0163
    assert abs(float(x.var()) - 64 / 12) < 0.1


def test_log_uniform_is_uniform_in_the_logarithm() -> None:
    x = log_uniform(20_000, 0.01, 100.0, generator(1, "l"))
    assert float(x.min()) >= 0.01 * (1 - 1e-5)
    assert float(x.max()) <= 100 * (1 + 1e-5)
    decades = torch.histc(x.log10(), 4, -2, 2) / 20_000
    # Each of four decades holds a quarter, standard error sqrt(3/16 / 20000) = 0.0031.
    assert (decades - 0.25).abs().max() < 4 * 0.0031
    assert math.isclose(float(x.median()), 1.0, rel_tol=0.1)


def test_choice_is_even_and_exclusive_of_its_count() -> None:
    x = choice(30_000, 5, generator(1, "c"))
    assert x.dtype == torch.int64
    shares = torch.bincount(x) / 30_000
    assert shares.shape == (5,)
    assert (shares - 0.2).abs().max() < 4 * (0.16 / 30_000) ** 0.5


def test_draws_repeat_and_leave_the_global_state() -> None:
    state = torch.get_rng_state()
    assert torch.equal(uniform(4, 0, 1, generator(2, "x")), uniform(4, 0, 1, generator(2, "x")))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("wrong", [None, 7, torch])
def test_what_is_no_generator_is_refused_and_the_global_state_stays(wrong: object) -> None:
    before = torch.get_rng_state()
    for draw in (
        lambda: uniform(2, 0.0, 1.0, wrong),  # type: ignore[arg-type]  # wrong on purpose
        lambda: log_uniform(2, 1.0, 2.0, wrong),  # type: ignore[arg-type]
        lambda: choice(2, 5, wrong),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match="generator"):
            draw()
    assert torch.equal(before, torch.get_rng_state())
