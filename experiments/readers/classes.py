"""Names of classes that generic data sets use, as species."""

from spooflab.taxonomy import is_species

_ALIASES = {
    "bonafide": ("bonafide", "bona_fide", "bf", "live", "real", "genuine", "client"),
    "physical_unspecified": ("attack", "spoof", "fake", "imposter", "presentation_attack"),
    "print_unspecified": ("print", "printed", "paper"),
    "replay_unspecified": ("replay", "screen", "video_replay"),
    "mask_unspecified": ("mask", "3d_mask"),
    "makeup_unspecified": ("makeup",),
    "partial_unspecified": ("partial", "glasses"),
    "swap_unspecified": ("swap", "face_swap", "deepfake"),
    "digital_unspecified": ("digital",),
}
_BY_ALIAS = {alias: species for species, aliases in _ALIASES.items() for alias in aliases}


def species_named(own: str) -> str | None:
    """Return the species that a name stands for: a name of the taxonomy, or a common word for a class; None if neither.

    >>> species_named("Live"), species_named("replay_phone"), species_named("wax")
    ('bonafide', 'replay_phone', None)
    """
    name = own.strip().lower().replace("-", "_").replace(" ", "_")
    return name if is_species(name) else _BY_ALIAS.get(name)


def known_names() -> str:
    """Return the common words, for an error's `wanted`."""
    return ", ".join(sorted(_BY_ALIAS))
