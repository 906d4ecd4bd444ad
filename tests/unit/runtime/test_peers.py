"""The members of one's own pool, each called by its name."""

import pytest

from actors.errors import DependencyUnavailable
from actors.runtime.directory import Directory, Roster
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import MemberPort
from actors.runtime.peers import PoolPeers
from actors.runtime.pool import Pool
from actors.settings import RuntimeSettings
from tests.unit.runtime.member_side import Connection, settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Echo

SETTINGS = RuntimeSettings(worth_a_call=1, linger_ms=2, collect_timeout_s=0.2, submit_timeout_s=0.2)
FIRST, SECOND, THIRD = (MemberIdentity("echo", 1, number) for number in range(3))


class Source:
    """A `RosterSource` with one roster."""

    def __init__(self) -> None:
        self.given = False

    async def watch(self, known: Roster) -> Roster:
        if self.given:
            raise DependencyUnavailable("supervisor")
        self.given = True
        return Roster(1, 1, (FIRST, SECOND, MemberIdentity("other", 1, 0)), ("a", "b", "a"))

    async def existing(self) -> tuple[MemberIdentity, ...]:
        return (FIRST, SECOND, THIRD, MemberIdentity("other", 1, 0))


class Guild:
    def __init__(self) -> None:
        self.directory = Directory(Source(), SETTINGS)
        self.connections = {one: Connection(Abacus(), SETTINGS) for one in (FIRST, SECOND)}
        pool = Pool("echo", self.directory, self.connect, SETTINGS, "proc_1")
        self.peers = PoolPeers("echo", pool, self.directory)
        self.changes = 0
        self.peers.on_change(self.changed)

    def connect(self, member: MemberIdentity) -> MemberPort:
        return self.connections[member]

    def changed(self) -> None:
        self.changes += 1

    async def start(self) -> None:
        self.directory.start()
        await settled()


async def test_a_question_goes_to_the_member_that_is_named() -> None:
    guild = Guild()
    await guild.start()

    for _ in range(3):
        await guild.peers.ask(SECOND.name, Echo(context=CONTEXT, text="x"), timeout_s=1)

    assert not guild.connections[FIRST].batches
    assert sum(len(one.envelopes) for one in guild.connections[SECOND].batches) == 3
    await guild.directory.close()


async def test_a_lost_question_is_asked_of_nobody_else() -> None:
    guild = Guild()
    await guild.start()
    guild.connections[FIRST].cut = True

    with pytest.raises(DependencyUnavailable):
        await guild.peers.ask(FIRST.name, Echo(context=CONTEXT, text="x"), timeout_s=1)

    assert not guild.connections[SECOND].batches
    await guild.directory.close()


@pytest.mark.parametrize("name", [THIRD.name, "nobody"])
async def test_who_takes_no_messages_is_not_asked(name: str) -> None:
    guild = Guild()
    await guild.start()

    with pytest.raises(DependencyUnavailable):
        await guild.peers.ask(name, Echo(context=CONTEXT, text="x"), timeout_s=1)

    await guild.directory.close()


async def test_members_are_told_with_their_nodes_and_so_are_their_changes() -> None:
    guild = Guild()
    await guild.start()

    assert guild.peers.members() == ((FIRST.name, "a"), (SECOND.name, "b"))
    assert await guild.peers.expected() == (FIRST.name, SECOND.name, THIRD.name)
    assert guild.changes == 1
    await guild.directory.close()
