"""Take the pictures of a report that README.md shows: its first screen on a desktop and on a phone.

Usage: python examples/report_pictures.py REPORT_HTML OUT_FOLDER
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WINDOWS = {"report": (1280, 900, 1), "report_phone": (390, 844, 2)}
"""Picture → width and height of the window in CSS pixels, pixels of the picture for each."""
COLOURS = 128


def main(page: Path, out: Path) -> None:
    """Write report.png and report_phone.png; needs Chromium on the path."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on the path; on Debian: apt-get install chromium")
    if not page.is_file():
        sys.exit(f"{page}: no such file; `make quickstart` writes quickstart/study/report.html")
    out.mkdir(parents=True, exist_ok=True)
    for name, (width, height, scale) in WINDOWS.items():
        with tempfile.TemporaryDirectory() as scratch:
            raw = Path(scratch) / "raw.png"
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={raw}"]
            options += [f"--window-size={width},{height}", f"--force-device-scale-factor={scale}"]
            subprocess.run([chromium, *options, page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL)
            picture = Image.open(raw).convert("RGB")
        # Few colours and no dithering: a page of text and bars loses nothing that one sees.
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out / f"{name}.png", optimize=True)
        print(out / f"{name}.png", (out / f"{name}.png").stat().st_size)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
