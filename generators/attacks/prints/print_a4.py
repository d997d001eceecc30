"""A face printed on office paper and held before the camera (species `print_a4`)."""

from spooflab.generators.attacks.prints.attack import PrintAttack


class PrintA4(PrintAttack):
    """Laser and inkjet prints on A4, AM or FM halftone; see `PrintAttack`."""

    species = "print_a4"
    USES = ("a4",)
