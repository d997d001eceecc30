"""Mining loops: search a generator for what a detector gets wrong, and learn from it."""

from spooflab.adapters.mining.ledger import Ledger, Render, image_set
from spooflab.adapters.mining.point import Coordinate, Made, Maker, Point, Space, coordinates, numbers
from spooflab.adapters.mining.region import Region, prior_point
from spooflab.adapters.mining.search import Judge, SearchSettings, Trial, full_point, region_of, search

__all__ = [
    "Coordinate",
    "Judge",
    "Ledger",
    "Made",
    "Maker",
    "Point",
    "Region",
    "Render",
    "SearchSettings",
    "Space",
    "Trial",
    "coordinates",
    "full_point",
    "image_set",
    "numbers",
    "prior_point",
    "region_of",
    "search",
]
