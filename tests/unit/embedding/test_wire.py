"""The wire form: what is written is read again, and what is cut off is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.embedding import graph, wire

FIELDS = st.integers(1, 2**20)
NUMBERS = st.integers(0, 2**63 - 1)


@given(field=FIELDS, value=NUMBERS, body=st.binary(max_size=300), real=st.floats(width=32))
def test_fields_are_read_as_they_were_written(
    field: int, value: int, body: bytes, real: float
) -> None:
    message = wire.number(field, value) + wire.real(3, real) + wire.block(field, body)

    found = list(wire.fields(memoryview(message)))

    assert [number for number, _ in found] == [field, 3, field]
    assert [found[0][1], found[2][1]] == [value, body]


@given(body=st.binary(min_size=1, max_size=300), cut=st.integers(1, 300))
def test_a_message_that_ends_too_early_is_refused(body: bytes, cut: int) -> None:
    message = wire.block(9, body)

    with pytest.raises(ValueError, match="the message ends within"):
        list(wire.fields(memoryview(message)[: max(1, len(message) - cut)]))


def test_a_number_below_zero_has_no_form_here() -> None:
    with pytest.raises(ValueError, match="negative"):
        wire.number(3, -1)


def test_weights_are_read_from_a_network_as_they_were_put_there() -> None:
    made = graph.Graph()
    floats, bytes_ = np.eye(3, dtype=np.float32), np.arange(-3, 3, dtype=np.int8).reshape(2, 3)
    names = [made.tensor(floats), made.tensor(bytes_)]

    found = graph.weights(made.model({"tokens": (1, "tokens")}, "vector"))

    assert np.array_equal(found[names[0]], floats)
    assert np.array_equal(found[names[1]], bytes_)
