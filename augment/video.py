"""Video codecs: clips coded as streams, and stills taken out of one; MJPEG, H.264 and H.265."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.codec import check_codes, jpeg
from spooflab.augment.codec_module import CodecModule, check_range, check_sample, whole
from spooflab.augment.jpeg import pick, subsampling_codes
from spooflab.augment.row_threads import map_rows
from spooflab.augment.video_stream import MAX_CRF, MIN_SIDE, decode_frames, encode_frames, pyav
from spooflab.errors import ConfigError, DataError
from spooflab.params import Params

STREAMS = {"mjpeg": 0, "h264": 1, "h265": 2}
"""Codes of `VideoParams.stream`."""
_NAMES = {code: name for name, code in STREAMS.items()}
LEAD_LIMIT = 8


@dataclass(frozen=True)
class VideoParams(Params):
    """How one clip, or one still out of a stream, is coded.

    Attributes:
        stream: (B,) int64: 0 codes each frame as JPEG (MJPEG), 1 as H.264, 2 as H.265.
        quality, subsampling: (B,) int64 of JPEG, as in `jpeg`; quality 0 is no codec.
        crf: (B,) int64, 0-51, constant rate factor of H.264 and H.265.
        gop: (B,) int64 >= 1, frames from one key frame to the next.
        fps: (B,) frames per second.
        lead_frames: (B,) int64, 0-8, frames of a still's stream from its last key frame to it: 0 makes the still a key
            frame, else it is predicted from frames like it.
        drift_px: (B, 2) motion (x, y) of those frames, pixels per frame.
        lead_noise: (B,) standard deviation of the noise that they do not share, code values.
        lead_seed: (B,) int64 of that noise.
    """

    stream: Tensor
    quality: Tensor
    subsampling: Tensor
    crf: Tensor
    gop: Tensor
    fps: Tensor
    lead_frames: Tensor
    drift_px: Tensor
    lead_noise: Tensor
    lead_seed: Tensor


def video(clip: Tensor, params: VideoParams) -> Tensor:
    """Code and decode uint8 clips (B, T, 3, H, W), each as a stream of its own; the result lies where `clip` does.

    Raises:
        DataError: another shape or type, no frames, parameters out of range.
        ConfigError: H.264 or H.265 without PyAV.
    """
    if clip.ndim != 5 or clip.shape[2] != 3 or min(clip.shape) < 1 or clip.dtype != torch.uint8:
        raise DataError(f"clip {tuple(clip.shape)} {clip.dtype}", wanted="(B, T, 3, H, W) torch.uint8, B and T >= 1")
    params = params.to("cpu")
    _check(params, len(clip))
    frames = clip.shape[1]
    if not bool(params.stream.any()):
        quality, chroma = (x.repeat_interleave(frames) for x in (params.quality, params.subsampling))
        return jpeg(clip.flatten(0, 1), quality=quality, subsampling=chroma).reshape(clip.shape)
    rows = [(clip[i], params.row(i)) for i in range(len(clip))]
    return torch.stack(map_rows(lambda row: _code_clip(*row), rows)).to(clip.device)


def video_still(image: Tensor, params: VideoParams) -> Tensor:
    """Code and decode uint8 stills (B, 3, H, W), each the last frame of a short stream of frames like it.

    The frames before it are the still moved by `drift_px` per frame, with noise of their own.
    """
    if image.ndim != 4 or image.shape[1] != 3 or len(image) < 1 or image.dtype != torch.uint8:
        raise DataError(f"stills {tuple(image.shape)} {image.dtype}", wanted="(B, 3, H, W) torch.uint8, B >= 1")
    params = params.to("cpu")
    _check(params, len(image))
    if not bool(params.stream.any()):
        return jpeg(image, quality=params.quality, subsampling=params.subsampling)
    rows = [(image[i : i + 1], params.row(i)) for i in range(len(image))]
    return torch.cat(map_rows(lambda row: _code_still(*row), rows)).to(image.device)


def _code_still(image: Tensor, params: VideoParams) -> Tensor:
    if not bool(params.stream.any()):
        return jpeg(image, quality=params.quality, subsampling=params.subsampling).cpu()
    stream = [_lead(image.cpu(), params)] if int(params.lead_frames) else []
    return _stream(torch.cat([*stream, image.cpu()]), params, gop=LEAD_LIMIT + 1)[-1:]


def _code_clip(frames: Tensor, params: VideoParams) -> Tensor:
    if not bool(params.stream.any()):
        quality, chroma = (x.expand(len(frames)).contiguous() for x in (params.quality, params.subsampling))
        return jpeg(frames, quality=quality, subsampling=chroma).cpu()
    return _stream(frames, params, gop=int(params.gop))


def _stream(frames: Tensor, params: VideoParams, *, gop: int) -> Tensor:
    """Code (T, 3, H, W), continued by its last pixels to the even size that the codec wants."""
    height, width = frames.shape[-2:]
    right, below = (max(MIN_SIDE, side + side % 2) - side for side in (width, height))
    padded = F.pad(frames.cpu().float(), (0, right, 0, below), mode="replicate").to(torch.uint8)
    kind = _NAMES[int(params.stream)]
    packets = encode_frames(padded, kind=kind, crf=int(params.crf), gop=gop, fps=float(params.fps))
    return decode_frames(packets, kind=kind)[..., :height, :width]


def _lead(image: Tensor, params: VideoParams) -> Tensor:
    """Return the frames (N, 3, H, W) that come before a still (1, 3, H, W), N >= 1 its `lead_frames`."""
    count = int(params.lead_frames)
    height, width = image.shape[-2:]
    back = torch.arange(count, 0, -1)[:, None] * params.drift_px * torch.tensor([2 / width, 2 / height])
    theta = torch.eye(2, 3).repeat(count, 1, 1)
    theta[:, :, 2] = back  # content stood `back` further along before it came here
    grid = F.affine_grid(theta, [count, 3, height, width], align_corners=False)
    moved = F.grid_sample(image.float().expand(count, -1, -1, -1), grid, padding_mode="border", align_corners=False)
    generator = torch.Generator().manual_seed(int(params.lead_seed))
    noise = torch.randn(moved.shape, generator=generator) * params.lead_noise
    return (moved + noise).round_().clamp_(0, 255).to(torch.uint8)


def _check(params: VideoParams, batch_size: int) -> None:
    limits = {
        "stream": (0, len(STREAMS) - 1), "quality": (0, 100), "subsampling": (0, 2), "crf": (0, MAX_CRF),
        "gop": (1, 2**31 - 1), "lead_frames": (0, LEAD_LIMIT),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        check_codes(f"video: {name}", getattr(params, name), batch_size, low=low, high=high)
    shapes = {"fps": (batch_size,), "drift_px": (batch_size, 2), "lead_noise": (batch_size,)}
    for name, shape in shapes.items():
        value = getattr(params, name)
        if value.shape != shape or not bool(value.isfinite().all()):
            raise DataError(f"video: {name} {value.tolist()}", wanted=f"finite, of shape {shape}")
    if bool((params.fps <= 0).any()) or bool((params.lead_noise < 0).any()):
        raise DataError(
            f"video: fps {params.fps.tolist()}, lead_noise {params.lead_noise.tolist()}",
            wanted="frames per second > 0, noise >= 0",
        )


class VideoCodec(CodecModule[VideoParams]):
    """Code clips (B, T, 3, H, W) as streams, or stills (B, 3, H, W) as frames out of one.

    Args:
        kind: `mjpeg`, `h264` or `h265`; the last two need the extra `video`.
        quality: lowest and highest quality of MJPEG, 1-100.
        subsampling: chroma formats of MJPEG; USB cameras send 4:2:2.
        crf: lowest and highest constant rate factor of H.264 and H.265, 0-51.
        gop: frames from one key frame to the next.
        fps: frames per second.
        lead_frames: fewest and most frames of a still's stream before it, 0-8.
        drift_px: standard deviation of the motion per frame of a still's stream, each way.
        lead_noise: standard deviation of the noise that a still's frames do not share, code values.

    >>> clip = torch.rand(1, 3, 3, 32, 32)
    >>> coded = VideoCodec("mjpeg")(clip, generator=torch.Generator().manual_seed(0))
    """

    def __init__(
        self,
        kind: str = "h264",
        *,
        quality: tuple[int, int] = (40, 85),
        subsampling: Sequence[str] = ("4:2:2",),
        crf: tuple[int, int] = (23, 40),
        gop: int = 30,
        fps: float = 30.0,
        lead_frames: tuple[int, int] = (0, 3),
        drift_px: float = 0.5,
        lead_noise: float = 2.0,
    ) -> None:
        super().__init__()
        if kind not in STREAMS:
            raise ConfigError(f"video codec {kind!r}", wanted=f"one of {', '.join(STREAMS)}")
        check_range("quality", quality, low=1, high=100)
        check_range("crf", crf, low=0, high=MAX_CRF)
        check_range("lead_frames", lead_frames, low=0, high=LEAD_LIMIT)
        if not isinstance(gop, int) or gop < 1:
            raise ConfigError(f"gop {gop}", wanted="a whole number of frames, 1 or more")
        if not (0 < fps < math.inf and 0 <= drift_px < math.inf and 0 <= lead_noise < math.inf):
            raise ConfigError(
                f"fps {fps}, drift_px {drift_px}, lead_noise {lead_noise}",
                wanted="finite fps > 0, drift_px and lead_noise >= 0",
            )
        if kind != "mjpeg":
            pyav()
        self.stream, self.quality, self.crf, self.lead_frames = STREAMS[kind], quality, crf, lead_frames
        self.subsampling = subsampling_codes(subsampling)
        self.gop, self.fps, self.drift_px, self.lead_noise = gop, fps, drift_px, lead_noise

    def sample(self, batch_size: int, generator: torch.Generator) -> VideoParams:
        """Draw how `batch_size` clips or stills are coded."""
        check_sample(batch_size, generator)
        share = torch.rand(batch_size, 8, generator=generator)
        radius = self.drift_px * torch.sqrt(-2 * torch.log1p(-share[:, 4]))  # of a Gaussian in the plane
        turn = 2 * torch.pi * share[:, 5]
        high, low = ((share[:, i] * 2**24).to(torch.int64) for i in (6, 7))
        return VideoParams(
            stream=torch.full((batch_size,), self.stream),
            quality=whole(self.quality, share[:, 0]),
            subsampling=pick(self.subsampling, share[:, 1]),
            crf=whole(self.crf, share[:, 2]),
            gop=torch.full((batch_size,), self.gop),
            fps=torch.full((batch_size,), float(self.fps)),
            lead_frames=whole(self.lead_frames, share[:, 3]),
            drift_px=torch.stack([radius * turn.cos(), radius * turn.sin()], 1),
            lead_noise=torch.full((batch_size,), float(self.lead_noise)),
            lead_seed=high * 2**24 + low,
        )

    def code(self, x: Tensor, params: VideoParams) -> Tensor:
        """Code and decode uint8 clips (B, T, 3, H, W) or stills (B, 3, H, W)."""
        return video(x, params) if x.ndim == 5 else video_still(x, params)
