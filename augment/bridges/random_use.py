"""Does code draw random numbers? Watched from outside, for code whose result never changes."""

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_TORCH_DRAWS = {
    *(
        "rand",
        "rand_like",
        "randn",
        "randn_like",
        "randint",
        "randint_like",
        "randperm",
        "normal",
        "bernoulli",
        "poisson",
    ),
    *("multinomial", "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "dropout", "manual_seed", "seed"),
}
_NUMPY_SOURCES = ("default_rng", "RandomState", "Generator", "SeedSequence")


def random_sources(action: Callable[[], Any]) -> list[str]:
    """Run `action` in this process and thread, and return what random sources it used, sorted.

    Seen are draws from Python's `random`, from torch with or without a generator, from NumPy's global state, and every
    NumPy generator that is made. A NumPy generator that was made before and only drawn from is not.
    """
    found: set[str] = set()
    before = np.random.get_state(legacy=False)  # noqa: NPY002  # the state that other people's code draws from
    restore = _watch_numpy(found)
    others = sys.getprofile()
    sys.setprofile(_watcher(found))
    try:
        action()
    finally:
        sys.setprofile(others)
        restore()
    if repr(before) != repr(np.random.get_state(legacy=False)):  # noqa: NPY002
        found.add("numpy.random's global state")
    return sorted(found)


def _watcher(found: set[str]) -> Callable[[Any, str, Any], None]:
    def watch(frame: Any, event: str, called: Any) -> None:
        if event != "c_call":
            return
        owner = getattr(called, "__self__", None)
        if isinstance(owner, random.Random):
            found.add("random")
        elif isinstance(owner, torch.Generator) or (
            called.__name__ in _TORCH_DRAWS and (isinstance(owner, torch.Tensor) or _is_torch(called, owner))
        ):
            found.add("torch")

    return watch


def _is_torch(called: Any, owner: Any) -> bool:
    name = (
        f"{getattr(called, '__module__', None)} {getattr(owner, '__module__', None)} {getattr(owner, '__name__', None)}"
    )
    return "torch" in name


def _watch_numpy(found: set[str]) -> Callable[[], None]:
    """Put a recording stand-in wherever a module holds one of NumPy's makers of generators; return what undoes it."""
    held: list[tuple[dict[str, Any], str, Any]] = []
    for source in _NUMPY_SOURCES:
        maker = getattr(np.random, source)
        stand_in = _recording(maker, f"numpy.random.{source}", found)
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if names is None or str(names.get("__name__", "")).startswith("numpy.random._"):
                continue
            held += [(names, name, maker) for name, value in list(names.items()) if value is maker]
        for names, name, made in held:
            if made is maker:
                names[name] = stand_in

    def restore() -> None:
        for names, name, maker in held:
            names[name] = maker

    return restore


def _recording(maker: Any, name: str, found: set[str]) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        found.add(name)
        return maker(*args, **kwargs)

    if not isinstance(maker, type):
        return make

    class Kind(type):  # a class still has to answer isinstance, which NumPy itself asks
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return make(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, maker)

    return Kind(maker.__name__, (), {})
