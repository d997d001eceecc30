import pickle

import pytest

from spooflab.errors import ConfigError, DataError, SkipSample, SpooflabError


@pytest.mark.parametrize("kind", [SpooflabError, ConfigError, DataError])
def test_the_message_holds_all_that_is_known(kind: type[SpooflabError]) -> None:
    error = kind("seen 3", wanted="2", next_step="try 2")
    assert str(error) == "seen 3\nwanted: 2\nnext: try 2"
    assert str(kind("seen 3")) == "seen 3"
    assert isinstance(error, SpooflabError)


@pytest.mark.parametrize("kind", [SpooflabError, ConfigError, DataError])
def test_errors_come_back_whole_from_worker_processes(kind: type[SpooflabError]) -> None:
    error = pickle.loads(pickle.dumps(kind("seen 3", wanted="2", next_step="try 2")))
    assert type(error) is kind
    assert (error.seen, error.wanted, error.next_step) == ("seen 3", "2", "try 2")
    assert str(error) == "seen 3\nwanted: 2\nnext: try 2"


def test_a_skip_is_no_mistake_and_comes_back_whole() -> None:
    skip = pickle.loads(pickle.dumps(SkipSample("no_landmarks", "no face was found")))
    assert (skip.reason, skip.detail) == ("no_landmarks", "no face was found")
    assert not isinstance(skip, SpooflabError)
    assert SkipSample("too_small").detail == ""
