"""Lay out portraits for the quick start: the public-domain one that scikit-image ships, and your own folder's.

Usage: python examples/portraits.py OUT [FOLDER_OF_PHOTOS]
"""

import csv
import shutil
import sys
from pathlib import Path

import skimage.data
from PIL import Image

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
HEADER = [
    *("file", "right_eye_x", "right_eye_y", "left_eye_x", "left_eye_y", "nose_x", "nose_y"),
    *("mouth_right_x", "mouth_right_y", "mouth_left_x", "mouth_left_y", "box_x", "box_y", "box_w", "box_h"),
]
# Eileen Collins, NASA, public domain. Right and left are the person's own; image pixels.
ASTRONAUT = [
    *("astronaut.png", "201.2", "105.0", "245.2", "104.9", "220.5", "127.2"),
    *("203.7", "145.2", "242.3", "145.1", "178.8", "63.1", "91.0", "111.1"),
]


def main(out: Path, own: Path | None) -> None:
    """Write the portraits and their landmarks.csv into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [ASTRONAUT]
    Image.fromarray(skimage.data.astronaut()).save(out / "astronaut.png")
    if own is not None:
        if not (own / "landmarks.csv").is_file():
            sys.exit(f"{own}: no landmarks.csv\nwanted: a CSV with the columns {','.join(HEADER)}")
        with (own / "landmarks.csv").open(newline="", encoding="utf-8") as file:
            rows += [[row[name] for name in HEADER] for row in csv.DictReader(file) if row["file"] != "astronaut.png"]
        for row in rows[1:]:
            source = own / row[0]
            if source.suffix.lower() not in IMAGES or source.parent != own:
                sys.exit(f"{source}: not a photograph directly in {own}\nwanted: one of {sorted(IMAGES)}")
            shutil.copyfile(source, out / row[0])
    with (out / "landmarks.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    sys.stderr.write(f"{len(rows)} portrait(s) in {out}\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None)
