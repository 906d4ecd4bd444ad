"""How sign-ins and refusals come into the audit log, and what happens where they cannot."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from actors import clock, metrics
from actors.audit import AuditRecord
from actors.bus.messages import Account, FindAccounts
from actors.errors import DependencyUnavailable, ElderGuildError
from actors.identity.messages import CreateClient
from actors.runtime import tracing
from actors.runtime.local import LocalPool
from actors.runtime.message import Message, Permission, ReplyT
from actors.runtime.tracing import Kind, Place, Span
from actors.settings import AuditSettings
from serve_app.auditing import AuditTrail
from serve_app.trace import Trace
from tests.fixtures.audit_memory import MemoryAuditStore
from tests.fixtures.gateway import (
    GUILD,
    OTHER_GUILD,
    app_over,
    client_of,
    sages,
    settings,
    token_of,
)
from tests.fixtures.identity_contract import context
from tests.fixtures.memory_bus import MemoryBus
from tests.fixtures.oauth import agreed, people, visitor

AUDIT = "/api/v1/audit"


class Guild:
    """The bus, which is away for a while where a test says so."""

    def __init__(self) -> None:
        self.bus = MemoryBus(settings())
        self.away = 0
        self.poison = ""
        self.looked_up: list[str] = []
        self.places: list[Place | None] = []
        self._pool = LocalPool(self.bus.handlers())

    @property
    def store(self) -> MemoryAuditStore:
        return self.bus.audit

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        if self.away:
            self.away -= 1
            raise DependencyUnavailable("postgres")
        self.places.append(tracing.current())
        said = str(message)
        if isinstance(message, FindAccounts):
            said = " ".join(message.logins)
            self.looked_up += message.logins
        if self.poison and self.poison in said:
            raise ElderGuildError("an unexpected failure")
        return await self._pool.ask(message, timeout_s=timeout_s)

    async def ask_outcome(self, message: Message[Any], *, timeout_s: float | None = None) -> Any:
        return await self._pool.ask_outcome(message, timeout_s=timeout_s)

    async def entries(self) -> Sequence[AuditRecord]:
        records = self.store._records
        return [one for guild in (GUILD, OTHER_GUILD) for one in records.get(guild, [])]


@pytest.fixture
def guild() -> Guild:
    return Guild()


def refused(user: str) -> Trace:
    """The request of a user who may not ask for that."""
    trace = Trace("", "")
    trace.guild_id, trace.user_id, trace.route = GUILD, user, "/api/v1/tasks"
    return trace


async def no_time(_: float) -> None:
    await asyncio.sleep(0)


async def a_moment() -> None:
    """Enough for what is due to be written."""
    for _ in range(100):
        await asyncio.sleep(0)


def trail(guild: Guild, **changes: Any) -> AuditTrail:
    return AuditTrail(lambda _: guild, AuditSettings(**changes), no_time)


def dropped() -> float:
    value: float = metrics.AUDIT_NOTES_DROPPED._value.get()
    return value


async def test_a_sign_in_is_told_with_the_ids_of_its_request() -> None:
    guild = Guild()
    audit = trail(guild)

    audit.signed_in(Trace("req-7", "cor-7"), GUILD, "user_1", "password")
    await audit.flush()

    (entry,) = await guild.entries()
    assert (entry.action, entry.outcome, entry.actor) == ("sign_in", "success", "user_1")
    assert (entry.request_id, entry.correlation_id, entry.entity_id) == (
        "req-7",
        "cor-7",
        "password",
    )


async def test_what_is_written_is_no_part_of_the_request_that_happened_to_be_first() -> None:
    guild = Guild()
    audit = trail(guild)
    tracing.switch_on(lambda _: None, ratio=1.0)
    try:
        with Span("request", Kind.SERVER, Place(5, 1), 0):
            audit.denied(refused("user_1"))
        await audit.flush()
    finally:
        tracing.switch_off()

    assert guild.places == [None]


async def test_guesses_that_are_repeated_wait_for_nothing_and_hold_no_place(guild: Guild) -> None:
    account = Account(guild_id=GUILD, principal_id="user_1")
    guild.store.accounts |= {"anna": account, "emma": account}
    audit = trail(guild, max_waiting_logins=2)
    before = dropped()

    for _ in range(3):
        for name in ("guess", "anna", "emma"):
            audit.sign_in_failed(Trace("", ""), name, "password")
        await a_moment()
    await audit.flush()

    assert [one.details for one in await guild.entries()] == ["{}", "{}", '{"times":2}', "{}"]
    assert dropped() - before == 1  # at first nobody knew whose login it was


async def test_equal_notes_of_a_minute_become_one_entry_after_the_first(guild: Guild) -> None:
    now = 0.0
    audit = AuditTrail(lambda _: guild, AuditSettings(), no_time, lambda: now)

    for second in range(100):
        now = float(second)
        audit.denied(refused("user_1"))
        await a_moment()
    before = len(await guild.entries())
    await audit.flush()

    told = [one.details for one in await guild.entries()]
    assert (before, told) == (2, ["{}", '{"times":60}', '{"times":39}'])


async def test_a_flush_writes_what_would_be_merged_later(guild: Guild) -> None:
    audit = trail(guild)
    audit.denied(refused("user_1"))
    await audit.flush()

    for _ in range(3):
        audit.denied(refused("user_1"))
    await audit.flush()

    assert [one.details for one in await guild.entries()] == ["{}", '{"times":3}']


async def test_a_failed_sign_in_is_told_to_the_guild_of_its_account_and_never_by_its_login() -> (
    None
):
    guild = Guild()
    guild.store.accounts["anna"] = Account(guild_id=OTHER_GUILD, principal_id="user_of_anna")
    audit = trail(guild)

    for login in ("anna", "nobody", "anna"):
        audit.sign_in_failed(Trace("", ""), login, "password")
    await audit.flush()

    (entry,) = await guild.entries()
    assert (entry.actor, entry.outcome, entry.details) == ("user_of_anna", "failure", '{"times":2}')
    assert entry.number == 1
    assert "anna" not in str(entry).replace("user_of_anna", "")


async def test_what_cannot_be_written_is_tried_again_and_written_once() -> None:
    guild = Guild()
    guild.away = 3
    audit = trail(guild)

    audit.signed_in(Trace("", ""), GUILD, "user_1", "password")
    await audit.flush()

    assert len(await guild.entries()) == 1


async def test_what_is_too_much_or_can_never_be_written_is_counted_and_holds_nobody_up() -> None:
    guild = Guild()
    guild.away = 1_000
    audit = trail(guild, max_waiting=2, attempts=3)
    before = dropped()

    for number in range(5):
        audit.signed_in(Trace("", ""), GUILD, f"user_{number}", "password")
    await audit.flush()

    assert await guild.entries() == []
    assert dropped() - before == 5


@pytest.mark.parametrize("login", ["", "\x00", "x\x00", "\ud800", "Anna", "a" * 129, "anna "])
async def test_a_name_that_nobody_can_have_is_not_looked_up(login: str) -> None:
    guild = Guild()
    audit = trail(guild)

    audit.sign_in_failed(Trace("", ""), login, "client")
    audit.sign_in_failed(Trace("", ""), "anna", "client")
    await audit.flush()

    assert guild.looked_up == ["anna"]


async def test_a_note_that_can_never_be_written_takes_no_other_along() -> None:
    guild = Guild()
    guild.poison = "poison"
    guild.store.accounts["anna"] = Account(guild_id=OTHER_GUILD, principal_id="user_of_anna")
    audit = trail(guild)
    before = dropped()

    for login in ("poison-name", "anna"):
        audit.sign_in_failed(Trace("", ""), login, "password")
    for principal in ("user_1", "poison-user", "user_2"):
        audit.signed_in(Trace("", ""), GUILD, principal, "password")
    await audit.flush()

    actors = [entry.actor for entry in await guild.entries()]
    assert actors == ["user_1", "user_2", "user_of_anna"]
    assert dropped() - before == 2


async def test_names_that_somebody_makes_up_leave_places_for_callers_we_know() -> None:
    guild = Guild()
    audit = trail(guild, max_waiting=20, max_waiting_logins=5)
    before = dropped()

    for number in range(50):
        audit.sign_in_failed(Trace("", ""), f"made-up-{number}", "password")
    for number in range(15):
        refused = Trace("", "")
        refused.guild_id, refused.user_id, refused.route = GUILD, f"user_{number}", "/x"
        audit.denied(refused)
    await audit.flush()

    assert len(await guild.entries()) == 15
    assert len(guild.looked_up) == 5
    assert dropped() - before == 45


async def test_programs_that_sign_in_and_whoever_cannot_are_told(guild: Guild) -> None:
    config = settings().model_copy(update={"audit": AuditSettings(flush_s=0)})
    pools = sages(config)
    ids: dict[str, Any] = {"context": context(GUILD), "command_id": clock.new_id("cmd")}
    scopes = frozenset({Permission.READ})
    await pools["identity"].ask(
        CreateClient(**ids, client_id="program", secret="s" * 43, scopes=scopes)
    )
    account = Account(guild_id=GUILD, principal_id="program")
    guild.store.accounts |= {"program": account, "anna": account}
    app = app_over({**pools, "bus": guild}, config)
    grant = {"grant_type": "client_credentials"}

    async with client_of(app) as client:
        await client.post("/oauth/token", data=grant, auth=("program", "s" * 43))
        await client.post("/oauth/token", data=grant, auth=("program", "wrong"))
        await client.post("/oauth/login", json={"login": "anna", "password": "wrong"})
        await app.state.gateway.audit.flush()

    told = {(one.outcome, one.entity_id, one.actor) for one in await guild.entries()}
    assert told == {
        ("success", "client_credentials", "program"),
        ("failure", "client", "program"),
        ("failure", "password", "program"),
    }


async def test_who_signs_in_to_let_a_program_act_is_told(guild: Guild) -> None:
    config = settings().model_copy(update={"audit": AuditSettings(flush_s=0)})
    pools = sages(config)
    known = await people(pools["identity"])
    app = app_over({**pools, "bus": guild}, config)

    async with visitor(app) as client:
        sent = await client.post("/oauth/authorize", data=agreed())
        await app.state.gateway.audit.flush()

    assert sent.status_code == 303
    (entry,) = await guild.entries()
    assert (entry.action, entry.outcome, entry.actor, entry.entity_id) == (
        "sign_in",
        "success",
        known.elder.principal_id,
        "password",
    )


async def test_who_is_refused_is_told_and_administrators_read_it(guild: Guild) -> None:
    config = settings().model_copy(update={"audit": AuditSettings(flush_s=0)})
    app = app_over({**sages(config), "bus": guild}, config)
    denied = "req-denied"

    async with client_of(app, {Permission.READ}, principal="user_7") as client:
        refused = await client.post("/api/v1/tasks", headers={"X-Request-Id": denied})
        hidden = await client.get(AUDIT)
        await app.state.gateway.audit.flush()
    async with client_of(app) as client:
        page = await client.get(AUDIT, params={"outcome": "denied", "actor": "user_7", "limit": 1})
        nobody = await client.get(AUDIT, headers={"Authorization": f"Bearer {token_of(app)}x"})

    assert (refused.status_code, hidden.status_code, nobody.status_code) == (403, 403, 401)
    (entry,) = page.json()["items"]
    assert entry["entity_id"] == AUDIT
    assert 'rel="next"' in page.headers["link"]
    first = (await guild.entries())[0]
    assert (first.request_id, first.entity_id) == (denied, "/api/v1/tasks")


@pytest.mark.parametrize("query", ["outcome=maybe", "since=yesterday", "limit=0", "actor=%00"])
async def test_a_question_that_makes_no_sense_is_refused(guild: Guild, query: str) -> None:
    app = app_over({**sages(settings()), "bus": guild})

    async with client_of(app) as client:
        answer = await client.get(f"{AUDIT}?{query}")

    assert answer.status_code in (400, 422)
