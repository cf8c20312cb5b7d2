import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.store.outcomes import pack, unpack

NUMBERS = st.one_of(
    st.lists(st.sampled_from([0.0, 1.0])),
    st.lists(st.floats(0, 1, width=32)),
    st.lists(st.floats(0, 1)),
)


@given(NUMBERS)
def test_every_number_comes_back_exactly(values: list[float]) -> None:
    assert list(unpack(pack(values), len(values))) == values


@pytest.mark.parametrize(
    ("values", "size_bytes"),
    [([1.0] * 300, 1 + 38), ([0.5] * 300, 1 + 4 * 300), ([0.1] * 300, 1 + 8 * 300)],
)
def test_blobs_are_as_small_as_the_numbers_allow(values: list[float], size_bytes: int) -> None:
    blob = pack(values)
    assert blob is not None
    assert len(blob) == size_bytes


def test_no_items_are_no_blob() -> None:
    assert pack([]) is None
    assert unpack(None, 0) == ()


def test_the_documented_bit_order() -> None:
    assert pack([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]) == b"b\x01\x02"
