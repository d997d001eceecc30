"""The decoder's process: what it answers, and that nothing it does takes its parent down."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import bad_decoder
import numpy as np
import pytest
from canonical_images import cases
from PIL import Image

from spooflab.bounded_decoder import MOST_MIB, PICTURES, BoundedDecoder, decode_untrusted, decoder_of
from spooflab.errors import ConfigError, SkipSample, SpooflabError
from spooflab.images import decode_image
from spooflab.reasons import REASONS


@pytest.fixture
def bad() -> Iterator[BoundedDecoder]:
    decoder = BoundedDecoder(bad_decoder.COMMAND)
    yield decoder
    decoder.close()


def ask(decoder: BoundedDecoder, job: str, seconds: float = 60.0, **arguments: object) -> dict[str, object]:
    return decoder.ask(job, b"abcd", arguments, seconds=seconds, most_bytes=1000).told


def refused(decoder: BoundedDecoder, job: str, seconds: float = 60.0) -> tuple[str, str]:
    with pytest.raises(SkipSample) as caught:
        ask(decoder, job, seconds)
    assert caught.value.reason in REASONS
    return caught.value.reason, caught.value.detail


def outcome(decode: object, data: bytes) -> tuple[str, str] | np.ndarray:
    try:
        return decode(data)  # type: ignore[no-any-return,operator]
    except SkipSample as skip:
        return skip.reason, skip.detail


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def gone_within(pid: int, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.02)
    return not alive(pid)


def test_every_odd_picture_comes_out_as_in_this_process() -> None:
    for name, data, _ in cases(np.random.default_rng(3)):
        here, there = outcome(decode_image, data), outcome(decode_untrusted, data)
        if isinstance(here, tuple):
            assert there == here, name
        else:
            assert isinstance(there, np.ndarray), name
            assert there.dtype == np.uint8
            assert there.flags["C_CONTIGUOUS"]
            assert np.array_equal(there, here), name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG", exif=exif)
    assert np.array_equal(decode_untrusted(out.getvalue()), decode_image(out.getvalue()))


def test_a_file_is_read_from_its_start_and_stays_open(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        file.read(7)
        for _ in range(2):
            assert decode_untrusted(file)[0, 0].tolist() == [1, 2, 3]


def test_limits_reach_the_process() -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "PNG")
    with pytest.raises(SkipSample, match="too_small"):
        decode_untrusted(out.getvalue(), min_side=21)
    with pytest.raises(SkipSample, match="too_many_pixels"):
        decode_untrusted(out.getvalue(), max_pixels=799)


def test_one_process_serves_many_requests_and_threads(bad: BoundedDecoder) -> None:
    told: list[object] = []
    threads = [threading.Thread(target=lambda n=n: told.append(ask(bad, "well", number=n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len({entry["pid"] for entry in told}) == 1  # type: ignore[index]
    assert sorted(entry["number"] for entry in told) == list(range(8))  # type: ignore[index]


def test_a_process_that_dies_gives_a_reason_and_the_next_request_a_picture(bad: BoundedDecoder) -> None:
    assert refused(bad, "segfault") == ("decoder_died", "its process ended 2 times, by SIGSEGV")
    assert bad.pid is None
    reply = bad.ask("well", b"abcd", {}, seconds=60, most_bytes=18)
    assert reply.arrays[0].tolist() == np.full((2, 3, 3), 4).tolist()


def test_a_file_at_which_the_process_happened_to_die_is_tried_again(bad: BoundedDecoder, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    assert ask(bad, "segfault_once", mark=str(mark)) == {}
    assert not mark.exists()


@pytest.mark.parametrize("job", ["loop", "endless", "dripping"])
def test_a_process_that_hangs_is_ended(job: str, bad: BoundedDecoder) -> None:
    pid = ask(bad, "well")["pid"]
    began = time.monotonic()
    assert refused(bad, job, 0.3) == ("decoder_hung", "it was not done after 0.3 s")
    assert time.monotonic() - began < 30
    assert isinstance(pid, int)
    assert gone_within(pid, 5)
    assert ask(bad, "well")["pid"] != pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_a_process_that_eats_memory_is_refused_it_and_lives(bad: BoundedDecoder) -> None:
    pid = ask(bad, "well")["pid"]
    assert refused(bad, "eat")[0] == "out_of_memory"
    assert 200 < bad.peak_mib <= MOST_MIB
    assert ask(bad, "well")["pid"] == pid


def test_it_writes_no_file_opens_few_and_knows_no_secret(
    bad: BoundedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    told = ask(bad, "exhaust", path=str(tmp_path / "written"))
    assert told["refused"] == ["write", "files"]
    assert "AWS_SECRET_ACCESS_KEY" not in told["environment"]  # type: ignore[operator]
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").stat().st_size


def test_what_a_library_raises_is_that_files_reason_without_addresses(bad: BoundedDecoder) -> None:
    assert refused(bad, "raising") == ("undecodable", "KeyError: ' of a library'")


@pytest.mark.parametrize("job", ["huge", "too_many_rows", "too_few_rows", "rows_of_nothing", "nonsense"])
def test_what_a_process_says_is_not_believed(job: str, bad: BoundedDecoder) -> None:
    assert refused(bad, job)[0] == "decoder_died"


def test_a_process_that_does_not_start_is_no_files_fault() -> None:
    decoder = BoundedDecoder((sys.executable, "-P", "-c", "raise SystemExit('no module of that name')"))
    with pytest.raises(SpooflabError, match="no module of that name"):
        ask(decoder, "well")


def test_a_package_that_is_missing_is_told_as_such() -> None:
    script = (
        "from spooflab.decoder_process import serve\n"
        "from spooflab.errors import ConfigError\n"
        "def job(file, arguments, answer): raise ConfigError('no PyAV', wanted='it', next_step='pip')\n"
        "serve({'job': job})"
    )
    decoder = BoundedDecoder((sys.executable, "-P", "-c", script))
    with pytest.raises(ConfigError, match="no PyAV\nwanted: it\nnext: pip"):
        ask(decoder, "job")
    decoder.close()


def test_modules_are_not_looked_for_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the code of a stranger ran')")
    monkeypatch.chdir(tmp_path)
    decoder = BoundedDecoder(decoder_of(PICTURES)._command)
    with pytest.raises(SkipSample, match="zero_byte"):
        decoder.ask("picture", b"", {"max_pixels": 10, "min_side": 1}, seconds=60, most_bytes=10)
    decoder.close()


def test_it_ends_with_its_parent_even_in_mid_work() -> None:
    script = f"""
import sys, threading
sys.path.insert(0, {str(Path(bad_decoder.__file__).parent)!r})
import bad_decoder
from spooflab.bounded_decoder import BoundedDecoder
decoder = BoundedDecoder(bad_decoder.COMMAND)
decoder.ask("well", b"", {{}}, seconds=60, most_bytes=100)
print(decoder.pid, flush=True)
decoder.ask(sys.argv[1], b"", {{}}, seconds=0.5, most_bytes=1000) if sys.argv[1] else sys.stdin.read()
"""
    for job in ("", "endless"):
        parent = subprocess.Popen([sys.executable, "-c", script, job], stdin=-1, stdout=-1, stderr=-1, text=True)
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate(timeout=30)
        assert gone_within(pid, 30), job


def child_of_a_fork(told: "multiprocessing.SimpleQueue[tuple[int | None, int]]") -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 20)).save(out, "PNG")
    before = decoder_of(PICTURES).pid
    decode_untrusted(out.getvalue())
    told.put((before, decoder_of(PICTURES).pid or 0))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_decoder_of_its_own() -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 20)).save(out, "PNG")
    decode_untrusted(out.getvalue())
    own = decoder_of(PICTURES).pid
    assert own is not None
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=child_of_a_fork, args=(told,))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    before, others = told.get()
    assert before is None
    assert others not in (0, own)
    assert gone_within(others, 10)
    decode_untrusted(out.getvalue())
    assert decoder_of(PICTURES).pid == own


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process takes")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "fits"),
    [
        ("BMP", {}, True),
        ("JPEG", {"quality": 95, "subsampling": 0}, True),
        ("PNG", {"compress_level": 1}, True),
        ("JPEG", {"progressive": True}, False),
    ],
)
def test_the_largest_pictures_keep_the_bound(kind: str, options: dict[str, object], fits: bool) -> None:
    small = np.random.default_rng(0).integers(0, 256, (70, 70, 4), dtype=np.uint8)
    picture = Image.fromarray(small).resize((7_000, 7_000))
    out = io.BytesIO()
    (picture if kind == "PNG" else picture.convert("RGB")).save(out, kind, **options)
    decoder = BoundedDecoder(decoder_of(PICTURES)._command)
    limits = {"max_pixels": 50_000_000, "min_side": 16}
    with nullcontext() if fits else pytest.raises(SkipSample, match="out_of_memory"):
        reply = decoder.ask("picture", out.getvalue(), limits, seconds=120, most_bytes=150_000_000)
        assert reply.arrays[0].shape == (7_000, 7_000, 3)
    assert 0 < decoder.peak_mib <= MOST_MIB
    decoder.close()


def test_a_program_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(SpooflabError, match="does not start: No such file"):
        ask(BoundedDecoder(("/nowhere/python",)), "well")
