"""Video: colour against another library, streams by what their packets say, repeatable bytes, rows alone, errors."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.codec import jpeg
from spooflab.augment.video import VideoCodec, VideoParams, video, video_still
from spooflab.augment.video_colour import from_yuv420, to_yuv420
from spooflab.augment.video_stream import decode_frames, encode_frames
from spooflab.errors import ConfigError, DataError

av = pytest.importorskip("av")
KINDS = ["h264", "h265"]


def _clip(count: int = 1, frames: int = 5, height: int = 64, width: int = 80, seed: int = 0) -> Tensor:
    """Return uint8 clips of a smooth picture that moves a pixel per frame, with noise of each frame's own."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 9, generator=generator)
    scene = F.interpolate(coarse, (height, width + frames), mode="bicubic").clamp(0, 1) * 255
    moved = torch.stack([scene[..., t : t + width] for t in range(frames)], 1)
    noise = 2 * torch.randn(moved.shape, generator=generator)
    return (moved + noise).round().clamp(0, 255).to(torch.uint8)


def _params(kind: str, batch_size: int = 1, **changes: Any) -> VideoParams:
    drawn = VideoCodec(kind, crf=(30, 30), lead_frames=(0, 0)).sample(batch_size, torch.Generator().manual_seed(3))
    return VideoParams(**{**drawn.__dict__, **changes})


def _psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.double() - b.double()).square().mean()))


def _patches() -> Tensor:
    colours = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return colours.repeat_interleave(16, 1).repeat_interleave(16, 2)[None]


_INNER = (slice(4, None, 8), slice(4, None, 8))  # of chroma: where no filter meets another patch


def test_colours_are_those_of_the_recommendation() -> None:
    picture = _patches()
    luma, chroma = to_yuv420(picture)
    at = picture[0, :, 8::16, 8::16].flatten(1).T.tolist()
    y, cb, cr = luma[0, 8::16, 8::16].flatten(), chroma[0, 0][_INNER].flatten(), chroma[0, 1][_INNER].flatten()
    for index, (red, green, blue) in enumerate(at):  # BT.709-6, items 3.2-3.4
        e_y = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
        assert int(y[index]) == round(219 * e_y + 16)
        assert int(cb[index]) == round(224 * (blue / 255 - e_y) / 1.8556 + 128)
        assert int(cr[index]) == round(224 * (red / 255 - e_y) / 1.5748 + 128)


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 16, reason="older PyAV does not hand the matrix on")
def test_colours_agree_with_another_library() -> None:
    luma, chroma = to_yuv420(_patches())
    frame = av.VideoFrame.from_ndarray(_patches()[0].permute(1, 2, 0).contiguous().numpy(), format="rgb24")
    theirs = frame.reformat(format="yuv420p", src_colorspace="ITU709", dst_colorspace="ITU709")
    planes = torch.from_numpy(theirs.to_ndarray()).flatten().int()
    assert int((luma.flatten() - planes[: 256 * 256]).abs().max()) <= 1
    blocks = planes[256 * 256 :].reshape(1, 2, 128, 128)
    assert int((chroma.int() - blocks)[..., _INNER[0], _INNER[1]].abs().max()) <= 1


def test_chroma_lies_on_even_columns_between_rows_and_returns_there() -> None:
    for axis, at in ((-1, torch.arange(0, 64, 2.0)), (-2, torch.arange(0, 64, 2.0) + 0.5)):
        ramp = torch.arange(64.0) if axis == -1 else torch.arange(64.0)[:, None]
        red = (60 + 2 * ramp).expand(64, 64)
        picture = torch.stack([red, torch.full((64, 64), 90.0), torch.full((64, 64), 90.0)]).to(torch.uint8)[None]
        luma, chroma = to_yuv420(picture)
        slope = (1 - 0.2126) / 1.5748 * 224 / 255
        wanted = 128 + slope * (60 + 2 * at - 90)
        seen = chroma[0, 1].float().mean(-2 if axis == -1 else -1)
        assert float((seen - wanted)[1:-1].abs().max()) <= 0.51
        assert _psnr(from_yuv420(luma, chroma)[..., 2:-2, 2:-2], picture[..., 2:-2, 2:-2]) > 46


def test_black_white_and_grey_take_their_codes() -> None:
    for code, luma in ((0, 16), (255, 235), (128, 126)):
        y, c = to_yuv420(torch.full((1, 3, 16, 16), code, dtype=torch.uint8))
        assert set(y.flatten().tolist()) == {luma}
        assert set(c.flatten().tolist()) == {128}
        assert int((from_yuv420(y, c).int() - code).abs().max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_key_frames_come_every_gop_and_prediction_is_cheaper(kind: str) -> None:
    frames = _clip(frames=7)[0]
    packets = encode_frames(frames, kind=kind, crf=26, gop=3, fps=30.0)
    decoder = av.CodecContext.create({"h264": "h264", "h265": "hevc"}[kind], "r")
    decoded = [f for p in packets for f in decoder.decode(av.Packet(p))] + decoder.decode(None)
    assert [frame.key_frame for frame in decoded] == [t % 3 == 0 for t in range(7)]
    assert len(packets[1]) < 0.8 * len(packets[0])
    assert decode_frames(packets, kind=kind).shape == frames.shape


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_factor_costs_fewer_bytes_and_more_error(kind: str) -> None:
    frames = _clip(height=128, width=128, frames=3)[0]
    streams = [encode_frames(frames, kind=kind, crf=crf, gop=30, fps=30.0) for crf in (18, 26, 34)]
    sizes = [sum(map(len, stream)) for stream in streams]
    errors = [_psnr(decode_frames(stream, kind=kind), frames) for stream in streams]
    assert sizes[0] > sizes[1] > sizes[2]
    assert errors[0] > errors[1] > errors[2] > 28


@pytest.mark.parametrize("kind", [*KINDS, "mjpeg"])
def test_bytes_repeat_and_rows_equal_themselves_alone_whatever_the_threads(kind: str) -> None:
    clips = _clip(3, height=49, width=67)  # odd sides
    params = _params(kind, 3, crf=torch.tensor([20, 30, 40]), quality=torch.tensor([30, 50, 70]))
    out = video(clips, params)
    assert out.shape == clips.shape
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(video(clips, params), out)
    finally:
        torch.set_num_threads(before)
    for row in range(3):
        assert torch.equal(video(clips[row : row + 1], params.row(row))[0], out[row])
        assert 20 < _psnr(out[row], clips[row]) < 50


def test_mjpeg_is_jpeg_frame_by_frame() -> None:
    clips, params = _clip(2, 3), _params("mjpeg", 2)
    for frame in range(3):
        wanted = jpeg(clips[:, frame], quality=params.quality, subsampling=params.subsampling)
        assert torch.equal(video(clips, params)[:, frame], wanted)


def test_kinds_mix_in_a_batch() -> None:
    clips = _clip(3)
    params = VideoParams.stack([_params(kind) for kind in ("mjpeg", *KINDS)])
    out = video(clips, params)
    stills = video_still(clips[:, 0], params)
    for row, kind in enumerate(("mjpeg", *KINDS)):
        assert torch.equal(video(clips[row : row + 1], _params(kind))[0], out[row])
        assert torch.equal(video_still(clips[row : row + 1, 0], _params(kind))[0], stills[row])


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_is_a_key_frame_or_predicted_from_frames_like_it(kind: str) -> None:
    still = _clip(1, 1, 96, 96)[:, 0]
    alone, led = (video_still(still, _params(kind, lead_frames=torch.tensor([n]))) for n in (0, 3))
    assert torch.equal(alone, video(still[:, None], _params(kind))[:, 0])
    assert not torch.equal(led, alone)
    assert abs(_psnr(led, still) - _psnr(alone, still)) < 6  # frames stand where the still does, not elsewhere
    other = video_still(still, _params(kind, lead_frames=torch.tensor([3]), lead_seed=torch.tensor([99])))
    assert not torch.equal(other, led)


def test_lead_frames_of_a_moving_still_move_towards_it() -> None:
    from spooflab.augment.video import _lead

    still = _clip(1, 1, 64, 64)[:, 0]
    params = _params(
        "h264", lead_frames=torch.tensor([2]), drift_px=torch.tensor([[3.0, 0.0]]), lead_noise=torch.zeros(1)
    )
    lead = _lead(still, params)
    assert torch.equal(lead[0][..., :58], still[0][..., 6:])  # content moves right by 3: it was 6 to the left
    assert torch.equal(lead[1][..., :61], still[0][..., 3:])


@pytest.mark.parametrize("kind", [*KINDS, "mjpeg"])
def test_module_keeps_types_and_draws_by_its_generator(kind: str) -> None:
    module, clips = VideoCodec(kind), _clip(2, 3)
    out = module(clips, generator=torch.Generator().manual_seed(1))
    assert torch.equal(module(clips, generator=torch.Generator().manual_seed(1)), out)
    floats = module(clips.float() / 255, generator=torch.Generator().manual_seed(1))
    assert torch.equal((floats * 255).round().to(torch.uint8), out)
    assert module(clips[:, 0], generator=torch.Generator().manual_seed(1)).shape == (2, 3, 64, 80)
    params = module.sample(2, torch.Generator().manual_seed(5))
    longer = module.sample(4, torch.Generator().manual_seed(5))
    for row in range(2):
        assert VideoParams.from_json(longer.row(row).to_json()).to_json() == params.row(row).to_json()


def test_without_pyav_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    params = _params("h264")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"spooflab\[video\]"):
        VideoCodec("h264")
    with pytest.raises(ConfigError, match="PyAV"):
        video(_clip(), params)
    clips = _clip()
    assert video(clips, _params_without_av()).shape == clips.shape


def _params_without_av() -> VideoParams:
    return VideoCodec("mjpeg").sample(1, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("clip", "changes", "word"),
    [
        (_clip()[:, 0], {}, "clip"),
        (_clip()[:, :0], {}, "T >= 1"),
        (_clip().float(), {}, "float32"),
        (_clip()[:, :, :2], {}, "clip"),
        (_clip(), {"crf": torch.tensor([52])}, "crf"),
        (_clip(), {"crf": torch.tensor([30.0])}, "crf"),
        (_clip(), {"gop": torch.tensor([0])}, "gop"),
        (_clip(), {"stream": torch.tensor([3])}, "stream"),
        (_clip(), {"fps": torch.tensor([0.0])}, "fps"),
        (_clip(), {"fps": torch.tensor([float("nan")])}, "fps"),
        (_clip(), {"drift_px": torch.zeros(1)}, "drift_px"),
        (_clip(), {"lead_noise": torch.tensor([-1.0])}, "lead_noise"),
        (_clip(2), {}, "stream"),
    ],
)
def test_bad_clips_and_parameters(clip: Tensor, changes: dict[str, Tensor], word: str) -> None:
    with pytest.raises(DataError, match=word):
        video(clip, _params("h264", **changes))


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="vp9"):
        VideoCodec("vp9")
    ranges = ({"crf": (40, 23)}, {"crf": (0, 52)}, {"crf": (20.5, 30)}, {"quality": (0, 10)}, {"lead_frames": (0, 9)})
    single = ({"gop": 0}, {"gop": 2.5}, {"fps": float("inf")}, {"drift_px": float("nan")}, {"lead_noise": -1.0})
    for change in (*ranges, *single):
        with pytest.raises(ConfigError):
            VideoCodec("h264", **change)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="stills"):
        video_still(_clip(), _params("h264"))
    with pytest.raises(DataError, match="even sides"):
        encode_frames(_clip(height=51)[0], kind="h264", crf=30, gop=30, fps=30.0)
