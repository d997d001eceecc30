"""A face printed on a poster, banner or roll-up display, life-size or larger (species `print_poster`)."""

from spooflab.generators.attacks.prints.attack import PrintAttack


class PrintPoster(PrintAttack):
    """Large-format prints, A3 to 70 x 100 cm and roll-ups, hung on a wall, held or standing; see `PrintAttack`."""

    species = "print_poster"
    USES = ("poster",)
