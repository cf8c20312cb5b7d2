from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.sandbox.data import ARRAY_KEY, MAX_DEPTH, decode, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda key: key != ARRAY_KEY), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_data_is_left_as_it_is(value: object) -> None:
    encoded, arrays = encode(value)
    assert arrays == {}
    assert decode(encoded, arrays) == value


def test_arrays_are_lifted_out_and_put_back() -> None:
    value = {"points": np.eye(2), "parts": [np.arange(3), (np.float32(0.5), np.int64(7), np.bool_(True))]}
    encoded, arrays = encode(value)
    assert encoded == {"points": {"__array__": "a0"}, "parts": [{"__array__": "a1"}, [0.5, 7, True]]}
    back = decode(encoded, arrays)
    np.testing.assert_array_equal(back["points"], np.eye(2))
    np.testing.assert_array_equal(back["parts"][0], np.arange(3))
    assert back["parts"][1] == [0.5, 7, True]
    assert [type(number) for number in back["parts"][1]] == [float, int, bool]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {2}]}, r"f\(\)\['a'\]\[1\] is of type set; allowed are None, bool"),
        (b"x", "of type bytes"),
        (1j, "of type complex"),
        (np.complex128(1j), "of type complex"),
        (np.array([1j]), "array of complex128"),
        (np.array(["x"]), "array of <U1"),
        (np.array([None]), "array of object"),
        ({1: 2}, "has the key 1"),
        ({"__array__": "a0"}, "has the key '__array__'"),
        (1 << 10_000, "integer of 10001 bits"),
        ("\ud800", "half a Unicode character"),
        (lambda: 0, "of type function"),
    ],
)
def test_what_is_not_allowed_is_named(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encode(value, "f()")


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(TypeError, match=f"deeper than {MAX_DEPTH}"):
        encode(endless)


@pytest.mark.parametrize("place", [{"__array__": "b"}, {"__array__": 1}, {"__array__": "a", "x": 1}, {"__array__": []}])
def test_forged_places_are_refused(place: object) -> None:
    with pytest.raises(ValueError, match="names none of the arrays"):
        decode([place], {"a": np.zeros(1)})
