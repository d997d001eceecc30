"""A face printed on photo paper and held before the camera (species `print_photo`)."""

from spooflab.generators.attacks.prints.attack import PrintAttack


class PrintPhoto(PrintAttack):
    """Prints of 10 x 15 to 13 x 18 cm: dyes in continuous tone, or photo inkjets; see `PrintAttack`."""

    species = "print_photo"
    USES = ("photo",)
