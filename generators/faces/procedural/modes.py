"""Names of the head's directions of change, as MakeHuman calls its targets."""

RACES = ("african", "asian", "caucasian")
"""The three families of head shapes whose mixture gives ancestry; they say nothing about skin."""

_PEOPLE = tuple(f"{race}-{sex}-{age}" for race in RACES for sex in ("female", "male") for age in ("young", "old"))
_BUILDS = tuple(
    f"universal-{sex}-{age}-{build}"
    for sex in ("female", "male")
    for age in ("young", "old")
    for build in ("averagemuscle-minweight", "averagemuscle-averageweight", "averagemuscle-maxweight")
)
MACROS = _PEOPLE + _BUILDS
"""Whole-head shapes, blended by ancestry, sex, age and weight."""

PAIRS: dict[str, tuple[str, str, float]] = {
    "head_angle": ("head/head-angle-in", "head/head-angle-out", 0.12),
    "head_width": ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr", 0.22),
    "head_height": ("head/head-scale-vert-decr", "head/head-scale-vert-incr", 0.16),
    "head_depth": ("head/head-scale-depth-decr", "head/head-scale-depth-incr", 0.25),
    "head_fat": ("head/head-fat-decr", "head/head-fat-incr", 0.45),
    "forehead_height": ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr", 0.2),
    "forehead_slope": ("forehead/forehead-trans-backward", "forehead/forehead-trans-forward", 0.25),
    "temple": ("forehead/forehead-temple-decr", "forehead/forehead-temple-incr", 0.4),
    "brow_angle": ("eyebrows/eyebrows-angle-down", "eyebrows/eyebrows-angle-up", 0.2),
    "brow_height": ("eyebrows/eyebrows-trans-down", "eyebrows/eyebrows-trans-up", 0.3),
    "brow_ridge": ("eyebrows/eyebrows-trans-backward", "eyebrows/eyebrows-trans-forward", 0.25),
    "eye_bag": ("eyes/eye-bag-decr", "eyes/eye-bag-incr", 0.5),
    "eye_inner_corner": ("eyes/eye-corner1-down", "eyes/eye-corner1-up", 0.5),
    "eye_outer_corner": ("eyes/eye-corner2-down", "eyes/eye-corner2-up", 0.5),
    "epicanthus": ("eyes/eye-epicanthus-out", "eyes/eye-epicanthus-in", 0.35),
    "eye_fold": ("eyes/eye-eyefold-down", "eyes/eye-eyefold-up", 0.4),
    "eye_fold_form": ("eyes/eye-eyefold-concave", "eyes/eye-eyefold-convex", 0.4),
    "eye_height": ("eyes/eye-height2-decr", "eyes/eye-height2-incr", 0.35),
    "eye_height_inner": ("eyes/eye-height1-decr", "eyes/eye-height1-incr", 0.35),
    "eye_height_outer": ("eyes/eye-height3-decr", "eyes/eye-height3-incr", 0.35),
    "eye_scale": ("eyes/eye-scale-decr", "eyes/eye-scale-incr", 0.4),
    "eye_distance": ("eyes/eye-trans-in", "eyes/eye-trans-out", 0.45),
    "eye_level": ("eyes/eye-trans-down", "eyes/eye-trans-up", 0.3),
    "nose_base": ("nose/nose-base-down", "nose/nose-base-up", 0.35),
    "nose_bridge": ("nose/nose-compression-compress", "nose/nose-compression-uncompress", 0.3),
    "nose_curve": ("nose/nose-curve-concave", "nose/nose-curve-convex", 0.45),
    "nose_flare": ("nose/nose-flaring-decr", "nose/nose-flaring-incr", 0.5),
    "nose_root": ("nose/nose-greek-decr", "nose/nose-greek-incr", 0.35),
    "nose_hump": ("nose/nose-hump-decr", "nose/nose-hump-incr", 0.4),
    "nostril_angle": ("nose/nose-nostrils-angle-down", "nose/nose-nostrils-angle-up", 0.3),
    "nostril_width": ("nose/nose-nostrils-width-decr", "nose/nose-nostrils-width-incr", 0.4),
    "nose_tip": ("nose/nose-point-down", "nose/nose-point-up", 0.25),
    "nose_tip_width": ("nose/nose-point-width-decr", "nose/nose-point-width-incr", 0.6),
    "nose_depth": ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr", 0.35),
    "nose_width": ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr", 0.5),
    "nose_length": ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr", 0.4),
    "septum": ("nose/nose-septumangle-decr", "nose/nose-septumangle-incr", 0.3),
    "nose_volume": ("nose/nose-volume-decr", "nose/nose-volume-incr", 0.35),
    "nose_width_top": ("nose/nose-width1-decr", "nose/nose-width1-incr", 0.5),
    "nose_width_middle": ("nose/nose-width2-decr", "nose/nose-width2-incr", 0.5),
    "nose_width_low": ("nose/nose-width3-decr", "nose/nose-width3-incr", 0.45),
    "mouth_angles": ("mouth/mouth-angles-down", "mouth/mouth-angles-up", 0.35),
    "cupids_bow": ("mouth/mouth-cupidsbow-decr", "mouth/mouth-cupidsbow-incr", 0.5),
    "dimples": ("mouth/mouth-dimples-in", "mouth/mouth-dimples-out", 0.5),
    "laugh_lines": ("mouth/mouth-laugh-lines-in", "mouth/mouth-laugh-lines-out", 0.5),
    "lower_lip_height": ("mouth/mouth-lowerlip-height-decr", "mouth/mouth-lowerlip-height-incr", 0.35),
    "lower_lip_volume": ("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-volume-incr", 0.45),
    "lower_lip_width": ("mouth/mouth-lowerlip-width-decr", "mouth/mouth-lowerlip-width-incr", 0.3),
    "philtrum": ("mouth/mouth-philtrum-volume-decr", "mouth/mouth-philtrum-volume-incr", 0.5),
    "mouth_depth": ("mouth/mouth-scale-depth-decr", "mouth/mouth-scale-depth-incr", 0.35),
    "mouth_width": ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr", 0.45),
    "mouth_height": ("mouth/mouth-scale-vert-decr", "mouth/mouth-scale-vert-incr", 0.4),
    "mouth_level": ("mouth/mouth-trans-down", "mouth/mouth-trans-up", 0.22),
    "mouth_forward": ("mouth/mouth-trans-backward", "mouth/mouth-trans-forward", 0.2),
    "upper_lip_height": ("mouth/mouth-upperlip-height-decr", "mouth/mouth-upperlip-height-incr", 0.4),
    "upper_lip_volume": ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-volume-incr", 0.45),
    "upper_lip_width": ("mouth/mouth-upperlip-width-decr", "mouth/mouth-upperlip-width-incr", 0.25),
    "chin_bones": ("chin/chin-bones-decr", "chin/chin-bones-incr", 0.3),
    "chin_cleft": ("chin/chin-cleft-decr", "chin/chin-cleft-incr", 0.35),
    "chin_height": ("chin/chin-height-decr", "chin/chin-height-incr", 0.22),
    "jaw_drop": ("chin/chin-jaw-drop-decr", "chin/chin-jaw-drop-incr", 0.35),
    "prognathism": ("chin/chin-prognathism-decr", "chin/chin-prognathism-incr", 0.25),
    "chin_prominent": ("chin/chin-prominent-decr", "chin/chin-prominent-incr", 0.25),
    "chin_width": ("chin/chin-width-decr", "chin/chin-width-incr", 0.35),
    "cheek_bones": ("cheek/cheek-bones-decr", "cheek/cheek-bones-incr", 0.35),
    "cheek_inner": ("cheek/cheek-inner-decr", "cheek/cheek-inner-incr", 0.3),
    "cheek_level": ("cheek/cheek-trans-down", "cheek/cheek-trans-up", 0.3),
    "cheek_volume": ("cheek/cheek-volume-decr", "cheek/cheek-volume-incr", 0.35),
    "ear_lobe": ("ears/ear-lobe-decr", "ears/ear-lobe-incr", 0.4),
    "ear_turn": ("ears/ear-rot-backward", "ears/ear-rot-forward", 0.25),
    "ear_size": ("ears/ear-scale-decr", "ears/ear-scale-incr", 0.3),
    "ear_wing": ("ears/ear-wing-decr", "ears/ear-wing-incr", 0.35),
    "neck_girth": ("neck/neck-scale-horiz-decr", "neck/neck-scale-horiz-incr", 0.3),
    "double_chin": ("neck/neck-double-decr", "neck/neck-double-incr", 0.25),
}
"""Details of identity: the target below zero, the one above, and the standard deviation that identities take."""

FORMS = (
    "head/head-oval",
    "head/head-round",
    "head/head-rectangular",
    "head/head-square",
    "head/head-triangular",
    "head/head-invertedtriangular",
    "head/head-diamond",
)
"""Outlines of the face that add up with weights in [0, 1]."""

DETAILS = tuple(name for low, high, _ in PAIRS.values() for name in (low, high)) + FORMS
"""Every stored target of identity apart from `MACROS`."""

EXPRESSIONS = (
    "eye-*-closure",
    "eye-*-opened-up",
    "eye-*-slit",
    "eyebrows-*-down",
    "eyebrows-*-extern-up",
    "eyebrows-*-inner-up",
    "eyebrows-*-up",
    "mouth-compression",
    "mouth-corner-puller",
    "mouth-depression",
    "mouth-depression-retraction",
    "mouth-elevation",
    "mouth-open",
    "mouth-parling",
    "mouth-part-later",
    "mouth-protusion",
    "mouth-pursing",
    "mouth-retraction",
    "mouth-upward-retraction",
    "nose-*-elevation",
    "nose-compression",
)
"""Units of expression; those of the eye exist once per head-shape family, the others are their mean."""
