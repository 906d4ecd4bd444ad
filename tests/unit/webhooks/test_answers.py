"""What a receiver's answer means for the delivery, and for the question whether it agrees."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from actors.errors import DependencyUnavailable, Gone, Overloaded, ValidationError
from actors.outbound.client import Unreachable
from actors.settings import WebhookSettings
from actors.webhooks.answers import Declined, failure_of
from actors.webhooks.consent import granted

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
SETTINGS = WebhookSettings(
    origin="guild.example.com",
    requests_per_minute=120,
    retry_after_s=5.0,
    max_retry_after_s=600.0,
)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_everything_from_200_to_299_is_delivered(status: int) -> None:
    assert failure_of(status, {}, NOON, SETTINGS) is None


@pytest.mark.parametrize("status", [100, 301, 307, 400, 401, 403, 404, 415, 422, 500, 501, 599])
def test_another_status_is_a_no_and_says_which(status: int) -> None:
    failure = failure_of(status, {"location": "http://10.0.0.1/"}, NOON, SETTINGS)

    assert isinstance(failure, Declined)
    assert str(failure) == f"the receiver answered {status}"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_with_nobody_behind_it_is_nobody_there(status: int) -> None:
    failure = failure_of(status, {}, NOON, SETTINGS)

    assert isinstance(failure, Unreachable)
    assert isinstance(failure, DependencyUnavailable)
    assert str(failure) == f"the receiver is away: {status}"


def test_410_is_gone() -> None:
    assert isinstance(failure_of(410, {}, NOON, SETTINGS), Gone)


@pytest.mark.parametrize(
    ("given", "pause_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("601", 600.0),
        ("9" * 400, 600.0),
        ("Sun, 04 May 2031 12:00:30 GMT", 30.0),
        ("Sun, 04 May 2031 11:00:00 GMT", 0.0),
        ("Sun, 04 May 2099 11:00:00 GMT", 600.0),
        ("Mon, 99999999999999999999 Jan 2031 00:00:00 GMT", 5.0),
        ("-7", 5.0),
        ("soon", 5.0),
        ("\u0667", 5.0),
        ("", 5.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_asked_for_is_kept_within_bounds(
    status: int, given: str, pause_s: float
) -> None:
    failure = failure_of(status, {"retry-after": given}, NOON, SETTINGS)

    assert isinstance(failure, Overloaded)
    assert failure.retry_after_s == pause_s


def test_a_429_that_does_not_say_is_given_a_pause() -> None:
    failure = failure_of(429, {}, NOON, SETTINGS)

    assert isinstance(failure, Overloaded)
    assert failure.retry_after_s == 5.0


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({"webhook-allowed-origin": "*", "webhook-allowed-rate": "*"}, None),
        ({"webhook-allowed-origin": "guild.example.com", "webhook-allowed-rate": "60"}, 60),
        ({"webhook-allowed-origin": " Guild.Example.COM ", "webhook-allowed-rate": " 60 "}, 60),
        ({"webhook-allowed-origin": "*", "webhook-allowed-rate": "999999"}, 999999),
        ({"webhook-allowed-origin": "*"}, 120),
    ],
)
def test_consent_is_ours_or_everybodys_and_the_rate_is_what_it_says(
    headers: Mapping[str, str], rate: int | None
) -> None:
    assert granted(headers, SETTINGS) == rate


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-allowed-rate": "*"},
        {"webhook-allowed-origin": ""},
        {"webhook-allowed-origin": "other.example.com"},
        {"webhook-allowed-origin": "guild.example.com, other.example.com"},
        {"webhook-allowed-origin": "**"},
        {"access-control-allow-origin": "*"},
        {"webhook-allowed-origin": "*", "webhook-allowed-rate": "0"},
        {"webhook-allowed-origin": "*", "webhook-allowed-rate": "-1"},
        {"webhook-allowed-origin": "*", "webhook-allowed-rate": "many"},
        {"webhook-allowed-origin": "*", "webhook-allowed-rate": "1.5"},
        {"webhook-allowed-origin": "*", "webhook-allowed-rate": "9" * 10},
    ],
)
def test_everything_else_is_no_consent(headers: Mapping[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        granted(headers, SETTINGS)

    assert refused.value.field == "sink.url"
