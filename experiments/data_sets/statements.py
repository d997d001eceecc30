"""What every card says of use and misuse; `docs/responsible-use.md` is the long form."""

USES = (
    "Training and testing detectors of face presentation attacks and of injected face manipulations.",
    "Measuring how such detectors generalise to attack species, instruments and devices that they have not seen.",
    "Studying how physical parameters of attack and camera change what a detector sees.",
)
MISUSE = (
    "making, improving or selecting attacks on a system whose owner has not asked for that test",
    "recognising, identifying or tracking people, or training what does",
    "telling sex, age, origin, health or character from faces",
    "passing any of its pictures off as a photograph of a person or event",
    "the sole evidence that a product is safe: real attacks on real devices are to be tested as well",
)
LIMITS = (
    "Simulated attacks and cameras follow published physics and measured constants; how near they come to real "
    "captures differs by species and is not proven for all.",
    "Figures on simulated data are no error rates under ISO/IEC 30107-3 of any product.",
)
BIASES = ("Rendered people vary in shape, age and skin tone by construction and are no sample of any population.",)
