"""What `spooflab ingest` does with a data set; all of it is part of the store's plan."""

from typing import Literal

from pydantic import Field

from spooflab.config import Config


class IngestConfig(Config):
    """Settings of one ingest.

    Attributes:
        reader: name of the data set's reader.
        root: folder of the data set.
        licence: its licence, as its owner states it; written into every record.
        consent: on what basis the people in it agreed to be recorded, in a sentence; part of the plan and the card.
        frames: pictures taken of each clip, at the middles of so many equal spans of it.
        size: side of the stored pictures in pixels.
        crop: a square around the `face`, or the whole `frame`, scaled so that its longer side is `size`.
        margin: how much the square is wider than the face's box on each side, in parts of its longer side.
        faces: where the box comes from: the data set's own annotation (`given`), the shipped face `network`, or the
            network where nothing is given.
        min_face_px: a smaller face, in pixels of the source, is skipped.
        near: bits of 64 in which the perceptual hashes of near-duplicates may differ.
        shard_size: pictures in a shard, about.
        limit: only the first so many clips or pictures, for a trial; None takes all.
        max_file_mb: larger files are skipped.
        max_pixels: pictures and frames with more pixels are skipped.
    """

    reader: str
    root: str
    licence: str = Field(min_length=1)
    consent: str = Field(min_length=1)
    frames: int = Field(default=8, ge=1, le=1000)
    size: int = Field(default=256, ge=16, le=4096)
    crop: Literal["face", "frame"] = "face"
    margin: float = Field(default=0.3, ge=0, le=3)
    faces: Literal["given_or_network", "given", "network"] = "given_or_network"
    min_face_px: float = Field(default=24, ge=1)
    near: int = Field(default=4, ge=0, le=15)
    shard_size: int = Field(default=256, ge=1, le=100_000)
    limit: int | None = Field(default=None, ge=1)
    max_file_mb: int = Field(default=4000, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=256)
