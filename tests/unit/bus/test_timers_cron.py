"""When cron expressions are due, also where the local clock jumps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ValidationError
from actors.storage import cron

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def following(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        after = cron.next_time(expression, zone, after)
        found.append(after)
    return found


def test_the_next_time_is_told_in_utc_and_later_than_asked() -> None:
    noon = at("2026-06-01T10:00:00")  # which is noon in Berlin

    found = following("0 12 * * *", BERLIN, noon, 2)

    assert found == [at("2026-06-02T10:00:00"), at("2026-06-03T10:00:00")]


def test_a_time_that_the_clock_leaves_out_counts_right_after_the_jump() -> None:
    evening = at("2026-03-28T20:00:00")

    found = following("30 2 * * *", BERLIN, evening, 2)

    assert found == [at("2026-03-29T01:00:00"), at("2026-03-30T00:30:00")]


def test_a_time_that_comes_twice_counts_once() -> None:
    evening = at("2026-10-24T20:00:00")

    found = following("30 2 * * *", BERLIN, evening, 2)

    assert found == [at("2026-10-25T00:30:00"), at("2026-10-26T01:30:00")]


@pytest.mark.parametrize("night", ["2026-03-29T00:00:00", "2026-10-25T00:00:00"])
def test_what_names_no_hour_goes_on_through_the_jump(night: str) -> None:
    found = following("*/10 * * * *", BERLIN, at(night), 24)

    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=10)}


@given(
    expression=st.sampled_from(["* * * * *", "30 2 * * *", "0 */6 * * mon-fri", "15 3 29 2 *"]),
    zone=st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe"]),
    after=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_times_always_move_forward(expression: str, zone: str, after: datetime) -> None:
    found = following(expression, zone, after, 3)

    assert [after, *found] == sorted({after, *found})


@pytest.mark.parametrize(
    "expression",
    [
        *("", "* * * *", "* * * * * *", "@daily", "61 * * * *", "0 0 31 2 *", "a b c d e"),
        *("r * * * *", "h * * * *", "0 0 * * *; drop", "1,\n2 * * * *", "*/0 * * * *", "1-" * 200),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValidationError, match=r"^cron: "):
        cron.next_time(expression, "UTC", at("2026-06-01T10:00:00"))


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "../../etc/passwd", "/etc/passwd", "a\0b"])
def test_a_zone_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match=r"^timezone: "):
        cron.next_time("* * * * *", zone, at("2026-06-01T10:00:00"))


def test_two_firings_may_not_lie_closer_than_the_least_time() -> None:
    monday = at("2026-06-01T10:00:00")

    cron.check("*/5 * * * *", "UTC", monday, 300)

    with pytest.raises(ValidationError, match="more often"):
        cron.check("0,5,9 12 * * *", "UTC", monday, 300)
