import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.key_ring import BadKeyRing, KeyRing

OLD, NEW = "o" * 32, "n" * 40
PURPOSE = "tests"


def ring(*entries: tuple[str, str]) -> KeyRing:
    return KeyRing.parse(json.dumps([{"kid": kid, "key": key} for kid, key in entries]))


def test_the_first_key_is_the_present_one_and_all_can_be_used() -> None:
    both = ring(("2027", NEW), ("2026", OLD))

    assert both.present == "2027"
    assert both.derive("2027", PURPOSE) != both.derive("2026", PURPOSE)
    assert both.derive("2026", PURPOSE) == ring(("2026", OLD)).derive("2026", PURPOSE)


@given(st.text(min_size=32).filter(lambda text: not text.lstrip().startswith("[")))
def test_a_plain_secret_is_one_key_and_is_found_again_in_a_ring(secret: str) -> None:
    alone = KeyRing.parse(secret)
    assert alone.present is not None

    later = ring(("new", NEW), ("old", secret))

    assert later.derive(alone.present, PURPOSE) == alone.derive(alone.present, PURPOSE)


def test_a_key_serves_each_purpose_differently() -> None:
    keys = ring(("one", OLD))

    assert keys.derive("one", "a") != keys.derive("one", "b")


def test_without_a_secret_there_is_no_key() -> None:
    assert KeyRing.parse("").present is None


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(BadKeyRing, match="holds no key 2025"):
        ring(("2026", OLD)).derive("2025", PURPOSE)


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        "[",
        "[]",
        "[1]",
        '[{"kid": "a"}]',
        '[{"kid": "a b", "key": "' + OLD + '"}]',
        '[{"kid": "a", "key": "short"}]',
        '[{"kid": "a", "key": "' + OLD + '"}, {"kid": "a", "key": "' + NEW + '"}]',
        '[{"kid": 1, "key": "' + OLD + '"}]',
    ],
)
def test_a_ring_that_cannot_be_used_is_refused_without_telling_what_it_holds(secret: str) -> None:
    with pytest.raises(BadKeyRing) as refused:
        KeyRing.parse(secret)

    assert secret not in str(refused.value)


def test_no_key_is_shown_with_the_ring() -> None:
    assert OLD not in repr(ring(("2026", OLD)))
