import hashlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from spooflab.seeds import generator, seed

Names = st.lists(st.one_of(st.text(max_size=8), st.integers(-(2**70), 2**70)), max_size=4)


def test_the_definition_by_hand() -> None:
    content = b"i" + (1).to_bytes(8, "big") + b"7" + b"s" + (5).to_bytes(8, "big") + b"train"
    wanted = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
    assert seed(7, "train") == wanted


def test_the_values_never_change() -> None:
    # A stored record names seeds: another value here would make every data set of the past unrepeatable.
    assert seed(3, "sample", 5, "device") == 3542342573496547645


@given(st.integers(-(2**70), 2**70), Names, st.integers(-(2**70), 2**70), Names)
def test_paths_differ_unless_they_are_the_same(
    root: int, names: list[str | int], other: int, others: list[str | int]
) -> None:
    same = [(type(n), n) for n in (root, *names)] == [(type(n), n) for n in (other, *others)]
    assert (seed(root, *names) == seed(other, *others)) == same


@given(st.integers(), Names)
def test_seeds_fit_a_signed_64_bit_column(root: int, names: list[str | int]) -> None:
    assert 0 <= seed(root, *names) < 2**63


def test_a_number_and_its_spelling_differ() -> None:
    assert seed(1, 2) != seed(1, "2")
    assert seed(1, "ab", "c") != seed(1, "a", "bc")


def test_the_bits_are_fair() -> None:
    draws = torch.tensor([seed(0, i) for i in range(4000)])
    ones = torch.stack([(draws >> bit) & 1 for bit in range(63)]).double().mean(1)
    # Each share has a standard deviation of 0.5 / sqrt(4000) = 0.0079; 63 of them stay within 4.5.
    assert (ones - 0.5).abs().max() < 4.5 * 0.0079


def test_generators_are_independent_of_each_other_and_of_the_global_state() -> None:
    torch.manual_seed(0)
    first = torch.rand(5, generator=generator(1, "a"))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(first, torch.rand(5, generator=generator(1, "a")))
    assert not torch.equal(first, torch.rand(5, generator=generator(1, "b")))
    assert torch.equal(state, torch.get_rng_state())
    assert generator(1, "a").device.type == "cpu"
