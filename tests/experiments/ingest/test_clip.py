"""Frames of videos and folders: which are taken, what stands for those that cannot be, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from real_trees import picture, png, video, write

from spooflab.errors import ConfigError, SkipSample
from spooflab.experiments.ingest.clip import read_clip
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.hdf5 import hdf5
from spooflab.experiments.ingest.spans import evenly
from spooflab.experiments.ingest.video import _pixels, video_frames
from spooflab.experiments.readers.item import Kind, Orientation, RealItem

pytest.importorskip("av")


def config(root: Path, frames: int = 3) -> IngestConfig:
    return IngestConfig(reader="folder", root=str(root), licence="none", consent="none", frames=frames)


def item(path: str, kind: Kind = "video", orientation: Orientation = "display") -> RealItem:
    return RealItem(
        path=path, kind=kind, species="bonafide", own_class="live", subject="a", device="d", orientation=orientation
    )


def test_frames_are_the_middles_of_equal_spans() -> None:
    assert evenly(100, 4) == [12, 37, 62, 87]
    assert evenly(5, 5) == evenly(5, 9) == [0, 1, 2, 3, 4]
    for count in range(1, 60):
        for wanted in range(1, 12):
            chosen = evenly(count, wanted)
            assert chosen == sorted(set(chosen))
            assert len(chosen) == min(count, wanted)
            assert 0 <= chosen[0] <= chosen[-1] < count


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_the_frames_that_are_taken_are_those_of_their_numbers(suffix: str, tmp_path: Path) -> None:
    levels = [np.full((32, 48, 3), 20 * n, np.uint8) for n in range(12)]
    video(tmp_path / f"a{suffix}", levels)
    clip = read_clip(tmp_path, item(f"a{suffix}"), config(tmp_path))
    assert clip.frames == 12
    assert [shot.frame for shot in clip.shots] == [2, 6, 10]
    for shot in clip.shots:
        assert isinstance(shot.pixels, np.ndarray)
        assert shot.pixels.shape == (32, 48, 3)
        assert abs(float(shot.pixels.mean()) - 20 * shot.frame) < 3  # what the codec loses
        assert len(shot.sha256) == 64


@pytest.mark.parametrize("orientation", ["rot180", "rot90ccw", "transpose"])
def test_frames_are_turned_as_the_reader_says(orientation: Orientation, tmp_path: Path) -> None:
    stored = picture(3, 32)
    stored[:8, :8] = 255
    video(tmp_path / "a.avi", [stored] * 2)
    (shot, _) = read_clip(tmp_path, item("a.avi", orientation=orientation), config(tmp_path)).shots
    wanted = {"rot180": stored[::-1, ::-1], "rot90ccw": np.rot90(stored), "transpose": stored.transpose(1, 0, 2)}
    assert isinstance(shot.pixels, np.ndarray)
    assert np.abs(shot.pixels.astype(int) - wanted[orientation]).mean() < 8


def test_a_video_that_is_cut_short_gives_what_it_has_and_names_the_rest(tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.avi", [picture(n, 64) for n in range(20)]).read_bytes()
    write(tmp_path, "cut.avi", whole[: len(whole) * 2 // 3])
    clip = read_clip(tmp_path, item("cut.avi"), config(tmp_path, frames=4))
    assert 10 <= clip.frames < 20
    assert all(isinstance(shot.pixels, np.ndarray) or shot.pixels.reason == "frame_missing" for shot in clip.shots)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.avi", b"", "bad_video"),
        ("a.mov", b"not a video", "bad_video"),
        ("a.mov", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "bad_video"),
        ("a.avi", b"ffconcat version 1.0\nfile /etc/passwd\n", "bad_video"),
        ("a.flv", b"FLV", "unsupported_format"),
    ],
)
def test_what_is_no_video_is_refused_by_reason(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    write(tmp_path, name, data)
    with pytest.raises(SkipSample) as caught:
        read_clip(tmp_path, item(name), config(tmp_path))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../outside.png", "path_escape"),
        ("/etc/passwd", "path_escape"),
        ("link.png", "path_escape"),
        ("no.png", "missing"),
    ],
)
def test_nothing_outside_of_the_root_is_read(path: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path, "outside.png", png(1))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(SkipSample) as caught:
        read_clip(tmp_path / "root", item(path, "image"), config(tmp_path / "root"))
    assert caught.value.reason == reason


def test_a_folder_of_frames_is_one_clip_and_a_bad_frame_is_its_own_skip(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path, f"clip/{number}.png", png(number) if number != 3 else b"broken")
    write(tmp_path, "clip/deeper/7.png", png(7))
    clip = read_clip(tmp_path, item("clip", "frames"), config(tmp_path))
    assert (clip.frames, [shot.path for shot in clip.shots]) == (6, ["clip/1.png", "clip/3.png", "clip/5.png"])
    assert isinstance(clip.shots[1].pixels, SkipSample)
    np.testing.assert_array_equal(clip.shots[0].pixels, picture(1))


def test_hdf5_clips_of_both_forms(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    frames = np.stack([picture(n) for n in range(5)])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["Color_Data"] = frames.transpose(0, 3, 1, 2)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        for number in range(5):
            file[f"Frame_{number}/array"] = frames[number].transpose(2, 0, 1)
    write(tmp_path, "c.hdf5", b"broken")
    for name in ("a", "b"):
        clip = read_clip(tmp_path, item(f"{name}.hdf5", "hdf5"), config(tmp_path))
        assert [shot.frame for shot in clip.shots] == [0, 2, 4]
        np.testing.assert_array_equal(clip.shots[1].pixels, frames[2])
    with pytest.raises(SkipSample, match="bad_hdf5"):
        read_clip(tmp_path, item("c.hdf5", "hdf5"), config(tmp_path))


def test_without_h5py_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ConfigError, match="pip install h5py"):
        hdf5()


def test_hdf5_names_no_further_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    frames = np.stack([picture(n) for n in range(5)])
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["Color_Data"] = frames
    frames.tofile(tmp_path / "raw.bin")
    with h5py.File(tmp_path / "link.hdf5", "w") as file:
        file["Color_Data"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "Color_Data")
    with h5py.File(tmp_path / "deep.hdf5", "w") as file:
        file["elsewhere"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "/")
        file["Frame_0/array"] = h5py.SoftLink("/elsewhere/Color_Data")
    with h5py.File(tmp_path / "external.hdf5", "w") as file:
        file.create_dataset("Color_Data", frames.shape, "u1", external=[(str(tmp_path / "raw.bin"), 0, frames.nbytes)])
    with h5py.File(tmp_path / "view.hdf5", "w") as file:
        layout = h5py.VirtualLayout(frames.shape, "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.hdf5"), "Color_Data", frames.shape)
        file.create_virtual_dataset("Color_Data", layout)
    for name in ("link", "deep", "external", "view"):
        with pytest.raises(SkipSample, match=r"bad_hdf5.*lies in the file itself"):
            read_clip(tmp_path, item(f"{name}.hdf5", "hdf5"), config(tmp_path))


def test_a_frame_at_which_the_library_raises_is_named_with_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "a.avi", [picture(n, 32) for n in range(6)])

    def fail(*_: object) -> None:
        raise BlockingIOError("no more threads")

    monkeypatch.setattr("spooflab.experiments.ingest.video._pixels", fail)
    with path.open("rb") as file:
        told = list(video_frames(file, "avi", 6, 3, 10_000, turned=False))
    assert [number for number, _ in told] == [1, 3, 5]
    assert {str(skip) for _, skip in told} == {"('frame_missing', 'decoding stopped: BlockingIOError')"}


def test_a_frame_is_turned_to_pixels_on_one_thread() -> None:
    """Threads take memory that the decoder does not have, and may be forbidden."""
    asked: list[dict[str, object]] = []

    class Frame:
        is_corrupt, width, height, rotation = False, 32, 32, 0

        def reformat(self, **options: object) -> "Frame":
            asked.append(options)
            if "threads" in options and len(asked) == 3:
                raise TypeError("an older PyAV")
            return self

        def to_ndarray(self) -> np.ndarray:
            return picture(1, 32)

    for _ in range(3):
        assert isinstance(_pixels(Frame(), True, 10_000), np.ndarray)
    assert asked == [{"format": "rgb24", "threads": 1}] * 3 + [{"format": "rgb24"}]
