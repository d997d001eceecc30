from collections.abc import Callable
from typing import Any

import pytest
from small_samples import sample_fields

from spooflab.sample import Sample


@pytest.fixture
def make_fields() -> Callable[..., dict[str, Any]]:
    return sample_fields


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    return lambda number=0, size=32, **changes: Sample.create(**(sample_fields(number, size=size) | changes))
