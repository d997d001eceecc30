"""One contract for every stage, and each stage's own effect against a closed form."""

import json
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from spooflab.augment import stages
from spooflab.augment.stages import Stage
from spooflab.errors import ConfigError, DataError

ALL = [getattr(stages, name) for name in stages.__all__ if name != "Stage"]


def _gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _photos(count: int = 3, height: int = 48, width: int = 56) -> Tensor:
    coarse = torch.rand(count, 3, 6, 7, generator=_gen())
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (0.15 + 0.6 * smooth + 0.05 * torch.rand(count, 3, height, width, generator=_gen(1))).clamp(0, 1)


@pytest.mark.parametrize("kind", ALL, ids=lambda k: k.__name__)
class TestContract:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
    def test_types_and_sizes_above_224_come_back(self, kind: Callable[[], Stage], dtype: torch.dtype) -> None:
        photo = _photos(1, 225, 226)
        given = (photo * 255).round().to(torch.uint8) if dtype == torch.uint8 else photo.to(dtype)
        out, exact = kind()(given, generator=_gen(2)), kind()(photo, generator=_gen(2))
        assert (out.dtype, out.shape) == (given.dtype, given.shape)
        values = out.double() / 255 if dtype == torch.uint8 else out.double()
        assert float((values - exact).abs().mean()) < 0.01

    def test_rows_are_their_own_and_seeds_decide(self, kind: Callable[[], Stage]) -> None:
        stage, photo = kind(), _photos()
        params = stage.sample(3, _gen(3))
        together = stage.apply(photo, params)
        for i in range(3):
            alone = stage.apply(photo[i : i + 1], params.row(i))
            torch.testing.assert_close(alone, together[i : i + 1], atol=2e-6, rtol=0)
        torch.manual_seed(0)
        first = stage(photo, generator=_gen(4))
        torch.manual_seed(1)
        assert torch.equal(stage(photo, generator=_gen(4)), first)
        assert stage.sample(5, _gen(6)).row(1).to_json() == stage.sample(2, _gen(6)).row(1).to_json()

    def test_records_and_pickles_replay(self, kind: Callable[[], Stage]) -> None:
        stage, photo = kind(), _photos(1)
        params = stage.sample(1, _gen(3))
        replayed = type(params).from_json(json.loads(json.dumps(params.to_json())))
        assert torch.equal(pickle.loads(pickle.dumps(stage)).apply(photo, replayed), stage.apply(photo, params))
        assert stage.apply(lambda module: None) is stage

    def test_bad_pictures_are_refused(self, kind: Callable[[], Stage]) -> None:
        stage = kind()
        for photo, told in (
            (torch.rand(1, 1, 32, 32), r"\(1, 1, 32, 32\)"),
            (torch.full((1, 3, 32, 32), torch.nan), "nan"),
            (torch.rand(1, 3, 32, 32) * 2 + 1, "divide by 255"),
            (torch.zeros(1, 3, 32, 32, dtype=torch.int64), "int64"),
        ):
            with pytest.raises(DataError, match=told):
                stage(photo, generator=_gen())
        with pytest.raises(DataError, match=r"3 pictures, parameters: those of 2"):
            stage.apply(_photos(3), stage.sample(2, _gen()))
        with pytest.raises(DataError, match="parameters: none"):
            stage.apply(_photos(3))  # type: ignore[call-overload]

    def test_on_an_accelerator_nothing_is_read_back(self, kind: Callable[[], Stage]) -> None:
        stage = kind()
        params, photo = stage.sample(2, _gen()), _photos(2, 32, 32)
        if stage.on_host:
            pytest.skip("its pattern is drawn on the CPU")
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            there = torch.device("cuda:0")
            moved = params._map(lambda value: mode.from_tensor(value).to(there))
            out = stage.process(mode.from_tensor(photo).to(there), moved)
        assert out.device == there

    @pytest.mark.slow
    def test_one_graph_holds_it(self, kind: Callable[[], Stage]) -> None:
        stage = kind()
        if stage.on_host:
            pytest.skip("its pattern is drawn on the CPU")
        params, photo = stage.sample(2, _gen()), _photos(2, 32, 32)
        compiled = torch.compile(stage.process, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(photo, params), stage.process(photo, params), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: stages.LensDistortion(edge=(-0.5, 0.0)), r"edge \(-0.5, 0.0\)"),
        (lambda: stages.Sharpen(radius_px=(2.0, 1.0)), "radius_px"),
        (lambda: stages.Vignette(corner_gain=(0.0, 1.0)), "corner_gain"),
        (lambda: stages.ColourFilter(bits=17), "bits"),
        (lambda: stages.Smear(a=-1.0), "a "),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Callable[[], Stage], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()


def test_noise_has_the_variance_that_its_parameters_state() -> None:
    stage = stages.SensorNoise(a=(1e-3, 1e-3), b=(1e-5, 1e-5), row_share=(0.0, 0.0))
    levels = torch.tensor([0.1, 0.4, 0.7])
    flat = levels[:, None, None, None].expand(3, 3, 256, 256)
    noisy = stage(flat, generator=_gen())
    torch.testing.assert_close(noisy.var((1, 2, 3)), 1e-3 * levels + 1e-5, rtol=0.02, atol=0)


def test_zoom_enlarges_by_its_factor() -> None:
    stage = stages.DigitalZoom(zoom=(2.0, 2.0))
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    slope = stage(ramp, generator=_gen())[0, 0, 32, 8:-8].diff()
    assert float(slope.mean()) == pytest.approx(0.3 / 63, rel=0.01)  # the cubic ripples a little around a ramp


def test_point_spread_is_the_gaussian_that_it_states() -> None:
    stage = stages.PointSpread(blur_px=(1.3, 1.3), motion_px=(0.0, 0.0), corner_blur_px=(0.0, 0.0))
    point = torch.zeros(1, 3, 64, 64)
    point[..., 32, 32] = 1
    seen = stage(point, generator=_gen())[0, 0].double()
    offset = torch.arange(64, dtype=torch.float64) - 32
    assert float((seen.sum(0) * offset**2).sum() / seen.sum()) == pytest.approx(1.3**2, rel=0.02)


def test_lenses_without_bending_change_nothing() -> None:
    photo = _photos()
    stage = stages.LensDistortion(edge=(0.0, 0.0), tangential=(0.0, 0.0), skew=(0.0, 0.0))
    torch.testing.assert_close(stage(photo, generator=_gen()), photo, atol=1e-5, rtol=0)
