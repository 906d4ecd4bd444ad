import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.storage import seals
from actors.storage.seals import BrokenSeal, Place

words = st.text(max_size=20)
places = st.builds(Place, words, words, words)
payloads = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
).map(lambda value: orjson.dumps(value).decode())

KEY, OTHER_KEY = AESGCM(b"k" * 32), AESGCM(b"o" * 32)
PLACE = Place("guild_1", "evt_1", "custom.note")


@given(places, payloads)
def test_what_was_sealed_is_read_again_where_it_was_sealed(place: Place, data: str) -> None:
    sealed = seals.seal(KEY, place, data)

    assert isinstance(orjson.loads(sealed), str)
    assert seals.unseal(KEY, place, sealed).decode() == data


@given(places, places, payloads)
def test_a_text_that_was_moved_is_refused(place: Place, other: Place, data: str) -> None:
    assume(place != other)

    sealed = seals.seal(KEY, place, data)

    with pytest.raises(BrokenSeal):
        seals.unseal(KEY, other, sealed)


def test_where_one_word_of_a_place_ends_and_the_next_begins_counts() -> None:
    sealed = seals.seal(KEY, Place("a", "bc", ""), "1")

    with pytest.raises(BrokenSeal):
        seals.unseal(KEY, Place("ab", "c", ""), sealed)


@given(payloads, st.data())
def test_a_text_that_was_changed_never_says_anything_else(data: str, draw: st.DataObject) -> None:
    sealed = seals.seal(KEY, PLACE, data)
    index = draw.draw(st.integers(0, len(sealed) - 1))
    letter = draw.draw(st.sampled_from("Aa0+/=\"'.s"))
    changed = sealed[:index] + letter + sealed[index + 1 :]

    try:
        said = seals.unseal(KEY, PLACE, changed).decode()
    except BrokenSeal:
        return

    assert said == data  # the last letter of base64 has bits to spare


@pytest.mark.parametrize("text", ["{}", '""', '"s1."', '"s1.AAAA"', '"s1.', "null", '"s2.AAAA"'])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(BrokenSeal):
        seals.unseal(KEY, PLACE, text)


def test_another_key_opens_nothing() -> None:
    sealed = seals.seal(KEY, PLACE, '{"a":1}')

    with pytest.raises(BrokenSeal):
        seals.unseal(OTHER_KEY, PLACE, sealed)


def test_the_same_payload_never_looks_the_same() -> None:
    assert seals.seal(KEY, PLACE, "1") != seals.seal(KEY, PLACE, "1")


@given(st.lists(words, max_size=3), st.lists(words, max_size=3))
def test_a_wrapped_key_is_its_owners_alone(whose: list[str], others: list[str]) -> None:
    key = seals.new_key()
    wrapped = seals.wrap(KEY, key, *whose)

    assert seals.unwrap(KEY, wrapped, *whose) == key
    assert key not in wrapped
    if whose != others:
        with pytest.raises(BrokenSeal):
            seals.unwrap(KEY, wrapped, *others)


def test_a_sealed_payload_is_no_wrapped_key() -> None:
    box = seals.wrap(KEY, b"x" * 32, *PLACE)

    with pytest.raises(BrokenSeal):
        seals.unwrap(KEY, box, "event", *PLACE)


@given(st.text())
def test_a_digest_is_made_with_the_guilds_own_key(name: str) -> None:
    digest = seals.digest(b"a" * 32, name)

    assert digest == seals.digest(b"a" * 32, name)
    assert digest != seals.digest(b"b" * 32, name)
    assert len(digest) == 64
