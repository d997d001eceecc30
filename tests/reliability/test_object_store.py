"""An object store whose requests or replies are lost: nothing partial is seen, and a run goes on to the same bytes."""

from collections.abc import Callable

import pytest
from faults import Fault, Outcome

pytestmark = pytest.mark.slow

pytest.importorskip("moto.server", reason="needs moto[s3], flask, flask-cors")
pytest.importorskip("s3fs")

from lost_requests import lost_requests  # noqa: E402  # imports what may be missing

LOST = Fault(
    "remote",
    "one request of filling a store on a local S3 server, before or after it is carried out",
    lost_requests,
    trimmed=12,
    full=100,
)


def test_a_lost_request_or_reply(endure: Callable[[Fault], Outcome]) -> None:
    endure(LOST)
