"""What a replica knows of revoked tokens, how soon, and what it does when it cannot know."""

from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.errors import DependencyUnavailable
from actors.identity.sessions.messages import Revocation, Revoked, RevokedSince
from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from actors.settings import GatewaySettings
from serve_app.http import create_app
from serve_app.revocations import Held, Revocations
from tests.fixtures.gateway import settings, token_of

NOW = 1_000_000.0


class List:
    """The list as the identity pool shows it, until it is away."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.away = False
        self.open: int | None = None
        self.asked = 0
        self.pool = LocalPool({RevokedSince: self.since})

    def add(self, kind: str, subject: str, version: int = 0, expires_in_s: float = 60.0) -> None:
        self.entries.append(
            Revocation(
                kind=kind,  # type: ignore[arg-type]  # one of the three
                subject=subject,
                version=version,
                expires_at=datetime.fromtimestamp(NOW + expires_in_s, UTC),
            )
        )

    async def since(self, query: RevokedSince) -> Revoked:
        self.asked += 1
        if self.away:
            raise DependencyUnavailable("postgres")
        end = query.cursor + query.limit
        return Revoked(
            revocations=tuple(self.entries[query.cursor : end]),
            cursor=min(end, len(self.entries)),
            horizon=len(self.entries) if self.open is None else self.open,
            more=end < len(self.entries),
        )

    def of(self, _: str) -> LocalPool:
        return self.pool


class Clock:
    """Both clocks of a replica."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s

    def wall(self) -> float:
        return NOW + self.passed_s


@pytest.fixture
def known() -> List:
    return List()


@pytest.fixture
def time() -> Clock:
    return Clock()


def replica(time: Clock, **changed: int) -> Revocations:
    return Revocations(
        GatewaySettings(**changed), watched=True, monotonic=time.monotonic, wall=time.wall
    )


def held(**changed: str | int) -> Held:
    good: dict[str, str | int] = {
        "token_id": "jti_1",
        "session_id": "ses_1",
        "principal_id": "user_1",
        "version": 3,
        "client_id": "phone",
        "client_version": 2,
    }
    return Held(**{**good, **changed})  # type: ignore[arg-type]  # as in the class


@pytest.mark.parametrize(
    ("kind", "subject", "version", "refused"),
    [
        ("token", "jti_1", 0, True),
        ("token", "jti_2", 0, False),
        ("session", "ses_1", 0, True),
        ("session", "jti_1", 0, False),
        ("principal", "user_1", 4, True),
        ("principal", "user_1", 3, False),
        ("principal", "phone", 3, True),
        ("principal", "phone", 2, False),
    ],
)
async def test_what_is_revoked_is_refused_and_nothing_else(
    known: List, time: Clock, kind: str, subject: str, version: int, refused: bool
) -> None:
    revocations = replica(time)
    known.add(kind, subject, version)

    await revocations.look(known.of)

    assert revocations.refuses(held()) is refused


async def test_every_replica_learns_all_pages_and_then_only_what_is_new(
    known: List, time: Clock
) -> None:
    replicas = [replica(time, revocation_page=2), replica(time, revocation_page=2)]
    for number in range(5):
        known.add("token", f"jti_{number + 10}")
    for one in replicas:
        await one.look(known.of)
    before = known.asked
    known.add("token", "jti_1")

    for one in replicas:
        await one.look(known.of)

    assert [one.refuses(held()) for one in replicas] == [True, True]
    assert [len(one) for one in replicas] == [6, 6]
    assert known.asked - before == 2


async def test_what_was_open_while_the_first_page_was_read_is_read_the_next_time(
    known: List, time: Clock
) -> None:
    revocations = replica(time, revocation_page=2)
    for number in range(5):
        known.add("token", f"jti_{number + 10}")
    known.open = 1

    async def since(query: RevokedSince) -> Revoked:
        page = await known.since(query)
        known.open = None
        return page

    await revocations.look(lambda _: LocalPool({RevokedSince: since}))
    known.add("token", "jti_1")
    known.entries.insert(1, known.entries.pop())
    await revocations.look(known.of)

    assert revocations.refuses(held())


async def test_the_highest_version_counts_in_whatever_order_they_are_read(
    known: List, time: Clock
) -> None:
    revocations = replica(time)
    known.add("principal", "user_1", 9)
    known.add("principal", "user_1", 2)

    await revocations.look(known.of)

    assert revocations.refuses(held(version=8))


async def test_what_has_expired_is_forgotten(known: List, time: Clock) -> None:
    revocations = replica(time)
    for kind in ("token", "session", "principal"):
        known.add(kind, "gone", 1, expires_in_s=30)
        known.add(kind, "here", 1, expires_in_s=90)
    await revocations.look(known.of)

    time.passed_s = 60.0
    await revocations.look(known.of)

    assert len(revocations) == 3


async def test_until_it_was_read_once_nobody_is_admitted(time: Clock) -> None:
    revocations = replica(time)

    for admin in (True, False):
        with pytest.raises(DependencyUnavailable):
            revocations.check_fresh(admin=admin)


async def test_blind_for_seconds_it_refuses_administrators_and_for_longer_everybody(
    known: List, time: Clock
) -> None:
    revocations = replica(time)
    await revocations.look(known.of)
    known.away = True
    verdicts = {}

    for passed_s in (4.9, 5.1, 59.9, 60.1):
        time.passed_s = passed_s
        await revocations.look(known.of)
        for admin in (True, False):
            try:
                revocations.check_fresh(admin=admin)
                verdicts[passed_s, admin] = True
            except DependencyUnavailable:
                verdicts[passed_s, admin] = False
    known.away = False
    await revocations.look(known.of)
    revocations.check_fresh(admin=True)

    assert [moment for moment, admitted in verdicts.items() if admitted] == [
        (4.9, True),
        (4.9, False),
        (5.1, False),
        (59.9, False),
    ]


async def test_more_than_can_be_remembered_admits_nobody(known: List, time: Clock) -> None:
    revocations = replica(time, max_revocations=3, revocation_page=2)
    for number in range(100):
        known.add("token", f"jti_{number}")

    await revocations.look(known.of)

    assert len(revocations) <= 5
    with pytest.raises(DependencyUnavailable):
        revocations.check_fresh(admin=False)


def app_of(revocations: Revocations, known: List) -> FastAPI:
    return create_app(settings(), known.of, revocations=revocations)


async def test_over_http_a_revoked_token_is_401_and_a_blind_replica_503(
    known: List, time: Clock
) -> None:
    revocations = replica(time)
    app = app_of(revocations, known)
    token = token_of(app, {Permission.ADMIN}, principal="user_1")
    jti = app.state.gateway.tokens.inspect(token).held.token_id
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {token}"}
    statuses = []

    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers
    ) as client:
        statuses.append((await client.get("/api/v1/noop")).status_code)
        await revocations.look(known.of)
        statuses.append((await client.get("/api/v1/noop")).status_code)
        time.passed_s = 10.0
        statuses.append((await client.get("/api/v1/noop")).status_code)
        blind = await client.get("/api/v1/users")
        known.add("token", jti)
        await revocations.look(known.of)
        statuses.append((await client.get("/api/v1/noop")).status_code)

    assert statuses == [503, 200, 200, 401]
    assert (blind.status_code, blind.json()["detail"]) == (
        503,
        "the list of revoked tokens is not available",
    )
    assert "retry-after" in blind.headers


def test_tokens_of_one_session_differ_and_name_it() -> None:
    app = create_app(settings(), List().of)
    tokens = app.state.gateway.tokens
    session_id = clock.new_id("ses")
    signed = [
        tokens.sign(clock.new_id("guild"), "user_1", frozenset(), session_id=session_id)
        for _ in range(2)
    ]

    said = [tokens.inspect(one.token).held for one in signed]

    assert {one.session_id for one in said} == {session_id}
    assert len({one.token_id for one in said}) == 2
