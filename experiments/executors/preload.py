"""What worker processes import, loaded once by the server that they are forked from; it computes nothing."""

import gc
from contextlib import suppress


def load() -> None:
    """Import what cells need."""
    gc.disable()  # imports make no garbage worth a search, and searches are a sixth of their time
    try:
        import spooflab.adapters
        import spooflab.experiments.run
        import spooflab.experiments.warm_start
        import spooflab.store  # noqa: F401

        with suppress(ImportError):
            import accelerate.utils  # noqa: F401
            from transformers import AutoBackbone, ResNetBackbone  # noqa: F401
        gc.freeze()  # so that a search in a worker does not copy the pages that it shares with the others
    finally:
        gc.enable()


load()
