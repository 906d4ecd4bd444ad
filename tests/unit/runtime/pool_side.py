"""A pool of two members in one process, whose roster the test decides."""

import asyncio

from actors.errors import DependencyUnavailable
from actors.runtime.directory import Directory, Roster
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import MemberPort
from actors.runtime.pool import Pool
from actors.settings import RuntimeSettings
from tests.unit.runtime.member_side import Connection
from tests.unit.runtime.samples import Abacus

SETTINGS = RuntimeSettings(
    worth_a_call=1,
    linger_ms=2,
    collect_timeout_s=0.2,
    submit_timeout_s=0.2,
    failover_budget_s=0.5,
    retry_budget_s=30.0,  # attempts are counted where it matters
    retry_delay_s=0.001,
    avoid_s=60,
    suspect_pause_s=0.1,
    lone_suspect_s=0.2,
    fill_before_spreading=4,
)
FIRST, SECOND = MemberIdentity("echo", 1, 0), MemberIdentity("echo", 1, 1)


class Announcements:
    """A `RosterSource` that says what the test wants."""

    def __init__(self, *members: MemberIdentity) -> None:
        self.roster = Roster(1, 1, members)
        self.away = False
        self.changed = asyncio.Event()

    async def watch(self, known: Roster) -> Roster:
        while not self.away and known == self.roster:
            await self.changed.wait()
        if self.away:
            raise DependencyUnavailable("supervisor")
        return self.roster

    async def existing(self) -> tuple[MemberIdentity, ...]:
        return (FIRST,)

    def announce(self, *members: MemberIdentity, epoch: int = 1) -> None:
        self.roster = Roster(epoch, self.roster.version + 1, members)
        self.changed.set()
        self.changed = asyncio.Event()


class Guild:
    """A pool of two members of one sage, and the way to break it."""

    def __init__(
        self,
        *members: MemberIdentity,
        sage: Abacus | None = None,
        settings: RuntimeSettings = SETTINGS,
    ) -> None:
        self.sage = sage or Abacus()
        self.source = Announcements(*members)
        self.directory = Directory(self.source, settings)
        self.connections = {member: Connection(self.sage, settings) for member in (FIRST, SECOND)}
        self.pool = Pool("echo", self.directory, self.connect, settings, "proc_1")
        self.directory.start()

    def connect(self, member: MemberIdentity) -> MemberPort:
        return self.connections[member]

    def calls(self) -> dict[MemberIdentity, int]:
        return {
            member: sum(len(batch.envelopes) for batch in connection.batches)
            for member, connection in self.connections.items()
        }
