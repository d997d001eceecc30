"""What worker processes import, loaded once by the server that they are forked from; it computes nothing."""

from contextlib import suppress

import spooflab.adapters
import spooflab.experiments.run
import spooflab.experiments.warm_start
import spooflab.store  # noqa: F401

with suppress(ImportError):
    import accelerate.utils  # noqa: F401
    from transformers import AutoBackbone, ResNetBackbone  # noqa: F401
