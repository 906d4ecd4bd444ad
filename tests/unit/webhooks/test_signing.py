"""What is signed is verified, and nothing else."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import DependencyUnavailable
from actors.webhooks.keys import BadKeyRing, WebhookKeys
from actors.webhooks.signing import BadSignature, sign, to_text, verify

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
SECRET = to_text(b"0123456789abcdef0123456789abcdef")
OTHER = to_text(b"another key of thirty-two bytes!")
KEY = "k" * 32
BODY = b'{"a":1}'


def signed(*secrets: str, at: datetime = NOON, webhook_id: str = "sub_1@1/evt_1") -> dict[str, str]:
    return sign(secrets or [SECRET], webhook_id, at, BODY)


def test_the_scheme_is_the_one_that_libraries_of_it_verify() -> None:
    """The example of the Standard Webhooks specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)

    headers = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_delivery_that_was_signed_is_verified_and_named() -> None:
    headers = {name.upper(): value for name, value in signed().items()}

    assert verify(SECRET, headers, BODY, NOON) == "sub_1@1/evt_1"


@pytest.mark.parametrize("age_s", [-300, -1, 0, 299, 300])
def test_five_minutes_either_way_are_now(age_s: int) -> None:
    assert verify(SECRET, signed(), BODY, NOON + timedelta(seconds=age_s))


@pytest.mark.parametrize("age_s", [-301, 301, 3600, 86400])
def test_a_replay_of_earlier_is_refused_although_its_signature_is_good(age_s: int) -> None:
    with pytest.raises(BadSignature):
        verify(SECRET, signed(), BODY, NOON + timedelta(seconds=age_s))


def _changed(**changes: str) -> Mapping[str, str]:
    return {**signed(), **{name.replace("_", "-"): value for name, value in changes.items()}}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _changed(webhook_id=""),
        _changed(webhook_id="sub_1@1/evt_2"),
        _changed(webhook_id="sub_1@1/evt_1.1"),
        _changed(webhook_timestamp=""),
        _changed(webhook_timestamp="soon"),
        _changed(webhook_timestamp="-1"),
        _changed(webhook_timestamp="1e9"),
        _changed(webhook_timestamp="\u0661\u0662"),
        _changed(webhook_timestamp="9" * 13),
        _changed(webhook_timestamp=str(int(NOON.timestamp()) + 1)),
        _changed(webhook_signature=""),
        _changed(webhook_signature="v1,"),
        _changed(webhook_signature="v1,AAAA"),
        _changed(webhook_signature="v1,\u00e4"),
        _changed(webhook_signature=signed()["webhook-signature"].removeprefix("v1,")),
        _changed(webhook_signature=signed()["webhook-signature"].replace("v1,", "v2,")),
        _changed(webhook_signature=signed()["webhook-signature"].lower()),
        _changed(webhook_signature=signed()["webhook-signature"].rstrip("=")),
        _changed(webhook_signature="v1,AAAA " * 16 + signed()["webhook-signature"]),
    ],
)  # fmt: skip
def test_headers_that_do_not_fit_are_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(BadSignature):
        verify(SECRET, headers, BODY, NOON)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_changed_byte_of_the_body_is_noticed(place: int, by: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= by

    with pytest.raises(BadSignature):
        verify(SECRET, signed(), bytes(changed), NOON)


def test_a_dot_cannot_move_from_one_part_into_another() -> None:
    """``a`` with ``1.2.x`` as text and ``a.1`` with ``2.x`` would be signed alike."""
    headers = sign([SECRET], "a", NOON, b"2.x")
    moved = {**headers, "webhook-id": f"a.{headers['webhook-timestamp']}", "webhook-timestamp": "2"}

    with pytest.raises(BadSignature):
        verify(SECRET, moved, b"x", datetime.fromtimestamp(2, UTC))


def test_who_holds_another_secret_is_not_convinced() -> None:
    with pytest.raises(BadSignature):
        verify(OTHER, signed(), BODY, NOON)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "MfKQ", "whsec_a"])
def test_a_secret_that_is_none_is_a_mistake_of_the_receiver(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify(secret, signed(), BODY, NOON)


def test_a_secret_is_the_same_each_time_and_differs_by_subscription_version_and_key() -> None:
    keys = WebhookKeys(KEY)

    secrets = [
        keys.newest("sub_1", 1),
        keys.newest("sub_1", 2),
        keys.newest("sub_2", 1),
        WebhookKeys("x" * 32).newest("sub_1", 1),
    ]

    assert len(set(secrets)) == 4
    assert WebhookKeys(KEY).newest("sub_1", 1) == secrets[0]
    assert len(base64.b64decode(secrets[0].removeprefix("whsec_"))) == 32


def test_after_a_rotation_the_former_secret_is_good_until_the_next_one() -> None:
    keys = WebhookKeys(KEY)
    first, second, third = (keys.newest("sub_1", version) for version in (1, 2, 3))

    def convinces(secret: str, version: int) -> bool:
        headers = signed(*keys.valid("sub_1", version))
        try:
            return bool(verify(secret, headers, BODY, NOON))
        except BadSignature:
            return False

    convinced = [
        [convinces(one, version) for one in (first, second, third)] for version in (1, 2, 3)
    ]

    assert convinced == [
        [True, False, False],
        [True, True, False],
        [False, True, True],
    ]


def test_a_new_key_of_the_guild_leaves_every_receivers_secret_good_until_the_old_one_is_gone() -> (
    None
):
    before = WebhookKeys(KEY).newest("sub_1", 1)
    both = WebhookKeys(f'[{{"kid":"b","key":"{"b" * 32}"}},{{"kid":"a","key":"{KEY}"}}]')
    only_new = WebhookKeys("b" * 32)

    shown = both.newest("sub_1", 1)
    headers = signed(*both.valid("sub_1", 1))

    assert verify(before, headers, BODY, NOON)
    assert verify(shown, headers, BODY, NOON)
    assert shown == only_new.newest("sub_1", 1)
    with pytest.raises(BadSignature):
        verify(before, signed(*only_new.valid("sub_1", 1)), BODY, NOON)


@pytest.mark.parametrize(
    "ring",
    ["short", "[]", "[1]", '[{"kid":"a"}]', '[{"kid":"a","key":"short"}]', '[{"key":1}]', "[",
     "[" + ",".join([f'{{"key":"{KEY}"}}'] * 5) + "]"],
)  # fmt: skip
def test_a_ring_that_cannot_be_used_is_refused_and_not_shown(ring: str) -> None:
    with pytest.raises(BadKeyRing) as refused:
        WebhookKeys(ring)

    assert KEY not in str(refused.value)


def test_without_a_key_there_are_no_secrets() -> None:
    keys = WebhookKeys("")

    for ask in (keys.require, lambda: keys.newest("sub_1", 1), lambda: keys.valid("sub_1", 1)):
        with pytest.raises(DependencyUnavailable):
            ask()
