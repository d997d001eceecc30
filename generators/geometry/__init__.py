"""Three-dimensional geometry and light of any face picture, by fitting the procedural head."""

from spooflab.generators.geometry.geometry import Geometry, read_geometry
from spooflab.generators.geometry.head_basis import neutral_expression
from spooflab.generators.geometry.head_fit import HeadFit, fit_head
from spooflab.generators.geometry.head_maps import HeadMaps, head_maps
from spooflab.generators.geometry.light import Light, estimate_light, shading, specular
from spooflab.generators.geometry.mesh_maps import MeshMaps, mesh_maps
from spooflab.generators.geometry.polygon import polygon_cover
from spooflab.generators.geometry.regions import (
    REGIONS,
    eye_openings,
    face_area,
    lips,
    mouth_opening,
    region,
    rest_region,
)

__all__ = [
    "REGIONS",
    "Geometry",
    "HeadFit",
    "HeadMaps",
    "Light",
    "MeshMaps",
    "estimate_light",
    "eye_openings",
    "face_area",
    "fit_head",
    "head_maps",
    "lips",
    "mesh_maps",
    "mouth_opening",
    "neutral_expression",
    "polygon_cover",
    "read_geometry",
    "region",
    "rest_region",
    "shading",
    "specular",
]
