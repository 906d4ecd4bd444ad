"""Leases, cursors and dead letters: what the router keeps, and who may move it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors import clock
from actors.events import PrincipalCreated
from actors.runtime.message import GuildId, Position
from actors.storage import outbox, sealing
from actors.storage.cursors import Cursors
from actors.storage.database import Database
from actors.storage.dead_letters import DeadLetters
from actors.storage.leaders import Leaders, LeadershipLost, Lease, hold
from actors.storage.log import BEGINNING, Unreadable, of_correlation
from tests.fixtures.storage import append, note

pytestmark = pytest.mark.integration

_ASK = "UPDATE dead_letters SET requested_at = clock_timestamp() WHERE subscription = $1"
_OF_THE_FUTURE = """
UPDATE dead_letters SET event = event || '{"type": "future.event"}' WHERE subscription = $1
"""


async def lead(database: Database, name: str | None = None) -> Lease:
    lease = await Leaders(database).acquire(name or clock.new_id("test"), "somebody")
    assert lease is not None
    return lease


@asynccontextmanager
async def holding(database: Database, lease: Lease) -> AsyncIterator[None]:
    async with database.across_guilds() as tx:
        await hold(tx, lease)
        yield


async def change(app: Database, guild: GuildId, statement: str, name: str) -> None:
    async with app.transaction(guild) as tx:
        await tx.execute(statement, name)


async def try_to_hold(database: Database, lease: Lease) -> None:
    async with holding(database, lease):
        pass


async def test_each_new_leader_has_a_higher_epoch_and_shuts_out_the_one_before(
    across: Database,
) -> None:
    first = await lead(across)
    second = await lead(across, first.name)

    await Leaders(across).renew(second)
    with pytest.raises(LeadershipLost):
        await Leaders(across).renew(first)
    with pytest.raises(LeadershipLost):
        await try_to_hold(across, first)

    assert second.epoch == first.epoch + 1
    assert await Leaders(across).current(first.name) == second


async def test_one_that_asks_politely_leaves_a_living_leader_alone(across: Database) -> None:
    first = await lead(across)

    refused = await Leaders(across).acquire(first.name, "polite", unless_renewed_within_s=60)
    await asyncio.sleep(0.02)
    taken = await Leaders(across).acquire(first.name, "polite", unless_renewed_within_s=0.01)

    assert refused is None
    assert taken == Lease(first.name, "polite", first.epoch + 1)


async def test_of_many_that_take_over_at_once_each_gets_an_epoch_of_its_own(
    across: Database,
) -> None:
    name = clock.new_id("test")

    leases = await asyncio.gather(*(lead(across, name) for _ in range(8)))

    assert sorted(lease.epoch for lease in leases) == list(range(1, 9))


async def test_nobody_takes_over_while_a_leader_writes(across: Database) -> None:
    lease = await lead(across)

    async with holding(across, lease):
        takeover = asyncio.create_task(lead(across, lease.name))
        await asyncio.sleep(0.05)
        waited = not takeover.done()
    newer = await takeover

    assert waited
    assert newer.epoch == lease.epoch + 1


async def test_cursors_move_forward_and_never_back(across: Database) -> None:
    lease, cursors = await lead(across), Cursors(across)
    one, two = clock.new_id("sub"), clock.new_id("sub")

    await cursors.save(lease, {one: Position(9, 5), two: Position(10, 1)})
    await cursors.save(lease, {one: Position(10, 2), two: Position(9, 900)})

    assert await cursors.load([one, two, "nobody"]) == {
        one: Position(10, 2),
        two: Position(10, 1),
    }


async def test_a_stale_leader_cannot_move_a_cursor(across: Database) -> None:
    cursors, name = Cursors(across), clock.new_id("sub")
    stale = await lead(across)
    await cursors.save(stale, {name: Position(1, 1)})
    await lead(across, stale.name)

    with pytest.raises(LeadershipLost):
        await cursors.save(stale, {name: Position(2, 2)})

    assert await cursors.load([name]) == {name: Position(1, 1)}


async def test_lag_counts_the_wanted_types_behind_a_position_up_to_a_bound(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1", count=20)
    first = (await of_correlation(app, guild, "cor_1", 100))[0]
    cursors = Cursors(across)

    everything = await cursors.lag(first.position, [first.type], 1000)
    bounded = await cursors.lag(first.position, [first.type], 7)
    others = await cursors.lag(first.position, ["sage.incident.closed"], 1000)
    by_pattern = await cursors.lag(first.position, ["sage.*"], 1000, guild_id=guild)
    of_nobody = await cursors.lag(first.position, ["*"], 1000, guild_id=GuildId("gld_x"))

    assert (everything, bounded, others) == (19, 7, 0)
    assert (by_pattern, of_nobody) == (19, 0)


async def test_a_dead_letter_is_listed_until_it_is_redriven_and_again_if_that_failed(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    (event,) = await of_correlation(app, guild, "cor_1", 10)
    lease, dead, name = await lead(across), DeadLetters(across), clock.new_id("sub")

    async def write(reason: str) -> None:
        await dead.write(
            lease,
            subscription=name,
            title="a title",
            event=event,
            attempts=5,
            reason=reason,
        )

    await write("not_found: \x00" + "x" * 900)
    (letter,) = await dead.waiting(name, 10)
    above = await dead.above(name, BEGINNING)
    below = await dead.above(name, event.position)
    kept = await dead.events(name, [event.event_id, "evt_unknown"])
    await dead.mark_redriven(
        lease, subscription=name, title="a title", event=event, requested_by="usr_1"
    )
    redriven = (await dead.waiting(name, 10), (await dead.counts()).get(name))
    await write("again")
    (again,) = await dead.waiting(name, 10)

    assert (letter.guild_id, letter.attempts, len(letter.reason)) == (guild, 5, 500)
    assert (above, below) == (frozenset({event.event_id}), frozenset())
    assert redriven == ([], None)
    assert again.reason == "again"
    assert kept == [event]
    async with across.across_guilds() as tx:
        said = await tx.fetch(
            "SELECT type, aggregate_version FROM events"
            " WHERE causation_id = $1 AND type LIKE 'system.%' ORDER BY events.xid, seq",
            event.event_id,
        )
    assert [tuple(row) for row in said] == [
        ("system.delivery.dead_lettered", 1),
        ("system.delivery.redriven", 2),
        ("system.delivery.dead_lettered", 3),
    ]


async def test_a_stale_leader_gives_nothing_up(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    (event,) = await of_correlation(app, guild, "cor_1", 10)
    stale, name = await lead(across), clock.new_id("sub")
    await lead(across, stale.name)

    with pytest.raises(LeadershipLost):
        await DeadLetters(across).write(
            stale,
            subscription=name,
            title="a title",
            event=event,
            attempts=1,
            reason="x",
        )

    assert await DeadLetters(across).waiting(name, 10) == []


async def test_letters_of_those_who_are_not_served_do_not_keep_others_waiting(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1", count=4)
    events = await of_correlation(app, guild, "cor_1", 10)
    lease, dead = await lead(across), DeadLetters(across)
    paused, built_in, declared = (clock.new_id("sub") for _ in range(3))
    names = [f"{paused}@1", built_in, f"{declared}@1", f"{declared}@2~rpl_1"]
    for name, event in zip(names, events, strict=True):
        await dead.write(
            lease, subscription=name, title="a title", event=event, attempts=1, reason="x"
        )
        await change(app, guild, _ASK, name)

    served = await dead.requested(1, letters=[built_in], declared=[declared])
    all_served = await dead.requested(9, letters=[built_in], declared=[declared])
    by_letter = await dead.requested(9, letters=[names[2]], declared=[])

    assert [name for name, _, _ in served] == names[1:2]
    assert [(name, event) for name, _, event in all_served] == [*zip(names, events, strict=True)][
        1:
    ]
    assert [name for name, _, _ in by_letter] == [names[2]]
    assert await dead.requested(9, letters=[], declared=[]) == []


async def test_a_letter_that_cannot_be_decoded_comes_with_the_reason(
    app: Database, across: Database, guild: GuildId
) -> None:
    async with app.transaction(guild) as tx:
        await append(tx, guild, "inc_1")
    (event,) = await of_correlation(app, guild, "cor_1", 10)
    lease, dead, name = await lead(across), DeadLetters(across), clock.new_id("sub")
    await dead.write(lease, subscription=name, title="a title", event=event, attempts=1, reason="x")
    await change(app, guild, _ASK, name)
    await change(app, guild, _OF_THE_FUTURE, name)

    ((_, _, found),) = await dead.requested(1, letters=[name], declared=[])
    assert isinstance(found, Unreadable)
    await dead.write(
        lease, subscription=name, title="a title", event=found, attempts=1, reason=found.reason
    )

    assert found.reason == "unreadable: future.event is not known"
    assert await dead.requested(1, letters=[name], declared=[]) == []


async def test_nothing_is_kept_or_asked_for_of_what_was_erased(
    app: Database, across: Database, guild: GuildId
) -> None:
    joined = PrincipalCreated(principal_id="user_1", kind="user", login="a", role="elder")
    async with app.transaction(guild) as tx:
        await outbox.append(
            tx,
            cause=note(guild),
            aggregate_id=clock.new_id("any"),
            version_before=0,
            payloads=[joined],
        )
    (event,) = await of_correlation(app, guild, "cor_1", 10)
    lease, dead = await lead(across), DeadLetters(across)
    before, after = clock.new_id("sub"), clock.new_id("sub")

    async def write(name: str) -> None:
        await dead.write(
            lease, subscription=name, title="a title", event=event, attempts=1, reason="x"
        )

    await write(before)
    await change(app, guild, _ASK, before)
    asked = await dead.requested(9, letters=[before], declared=[])
    async with app.transaction(guild) as tx:
        await sealing.destroy(tx, guild, "user_1", "admin")
    await write(after)

    assert [found for _, _, found in asked] == [event]
    assert await dead.requested(9, letters=[before, after], declared=[]) == []
    assert await dead.waiting(after, 10) == []
    async with across.across_guilds() as tx:
        said = await tx.fetchval(
            "SELECT count(*) FROM events WHERE causation_id = $1 AND type LIKE 'system.%'",
            event.event_id,
        )
    assert said == 1
