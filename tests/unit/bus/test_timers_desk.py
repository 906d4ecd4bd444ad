"""The timers of a guild, over the memory store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.bus.messages import CancelTimer, GetTimer, ListTimers, SetTimer, Timer
from actors.bus.timers import TimerDesk
from actors.errors import InvalidTransition, NotAuthorized, NotFound, ValidationError
from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from actors.settings import BusSettings
from tests.fixtures.incident import GUILD, OTHER_GUILD, command_id, context
from tests.fixtures.timer_contract import TimerStoreContract
from tests.fixtures.timer_memory import MemoryTimerStore

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class TestMemoryTimerStore(TimerStoreContract):
    @pytest.fixture
    def store(self) -> MemoryTimerStore:
        return MemoryTimerStore()


@pytest.fixture
def store() -> MemoryTimerStore:
    return MemoryTimerStore()


@pytest.fixture
def pool(store: MemoryTimerStore) -> LocalPool:
    settings = BusSettings(max_timers=3, max_timer_days=10, max_timer_bytes=1024)
    return LocalPool(TimerDesk(store, settings, now=lambda: NOON).handlers(), store)


def set_timer(**fields: Any) -> SetTimer:
    defaults: dict[str, Any] = {"name": "tea", "due_at": NOON + HOUR}
    return SetTimer(context=context(), command_id=command_id(), **(defaults | fields))


def cancel(timer: Timer, *permissions: Permission) -> CancelTimer:
    by = context(permissions=frozenset(permissions))
    return CancelTimer(context=by, command_id=command_id(), timer_id=timer.timer_id)


async def test_a_timer_is_set_seen_and_cancelled(pool: LocalPool) -> None:
    timer = await pool.ask(set_timer(data={"cup": 1}))
    seen = await pool.ask(GetTimer(context=context(), timer_id=timer.timer_id))

    cancelled = [(await pool.ask(cancel(timer))).state for _ in range(2)]

    page = await pool.ask(ListTimers(context=context()))
    assert seen == timer
    assert (timer.due_at, timer.data, timer.state) == (NOON + HOUR, {"cup": 1}, "pending")
    assert (cancelled, page.timers) == (["cancelled", "cancelled"], ())


async def test_a_cron_timer_is_due_at_its_first_time_in_its_zone(pool: LocalPool) -> None:
    timer = await pool.ask(set_timer(due_at=None, cron="0 9 * * *", timezone="Asia/Tokyo"))

    assert timer.due_at == datetime(2026, 6, 2, 0, tzinfo=UTC)
    assert (timer.cron, timer.timezone) == ("0 9 * * *", "Asia/Tokyo")


async def test_a_time_that_has_passed_is_due_at_once(pool: LocalPool) -> None:
    timer = await pool.ask(set_timer(due_at=NOON - HOUR))

    assert timer.due_at == NOON


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("due_at", {"due_at": None}),
        ("due_at", {"cron": "0 9 * * *"}),
        ("due_at", {"due_at": datetime(2026, 6, 2)}),
        ("due_at", {"due_at": NOON + timedelta(days=11)}),
        ("cron", {"due_at": None, "cron": "whenever"}),
        ("timezone", {"due_at": None, "cron": "0 9 * * *", "timezone": "Mars/Olympus"}),
        ("name", {"name": " "}),
        ("name", {"name": "x" * 201}),
        ("data", {"data": {"long": "x" * 1024}}),
        ("data", {"data": {"none": "\x00"}}),
        ("data", {"data": {"when": {1, 2}}}),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    pool: LocalPool, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        await pool.ask(set_timer(**fields))

    assert refused.value.field == field


async def test_a_guild_has_a_bounded_number_of_timers(pool: LocalPool) -> None:
    for _ in range(3):
        await pool.ask(set_timer())

    with pytest.raises(ValidationError, match="timers"):
        await pool.ask(set_timer())


async def test_one_that_has_fired_is_not_cancelled(
    pool: LocalPool, store: MemoryTimerStore
) -> None:
    timer = await pool.ask(set_timer())
    store.has(GUILD, timer.timer_id, "fired")

    with pytest.raises(InvalidTransition):
        await pool.ask(cancel(timer))


async def test_a_sages_timer_is_an_administrators_to_cancel(pool: LocalPool) -> None:
    by_sage = SetTimer(
        context=context(principal_id="sage.incident"),
        command_id=command_id(),
        name="incident.ack",
        due_at=NOON + HOUR,
    )
    timer = await pool.ask(by_sage)

    with pytest.raises(NotAuthorized):
        await pool.ask(cancel(timer, Permission.WRITE, Permission.DELETE))

    assert (await pool.ask(cancel(timer, Permission.ADMIN))).state == "cancelled"


async def test_another_guilds_timer_is_none(pool: LocalPool) -> None:
    timer = await pool.ask(set_timer())

    with pytest.raises(NotFound):
        await pool.ask(GetTimer(context=context(guild_id=OTHER_GUILD), timer_id=timer.timer_id))


@pytest.mark.parametrize("odd", [{"limit": 0}, {"limit": 201}, {"states": ("asleep",)}])
async def test_odd_questions_are_refused(pool: LocalPool, odd: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await pool.ask(ListTimers(context=context(), **odd))
