"""Who leads: a lease with an epoch, kept in PostgreSQL.

Being alive under an actor's name proves nothing, since an older process may only be slow. What a
leader writes is therefore refused unless its epoch is still the newest; `hold` and `LEAD` check
that in the transaction, or the very statement, of the write.
"""

from dataclasses import dataclass

from actors.errors import ElderGuildError
from actors.storage.database import Database, Transaction

LEAD = """
lead AS MATERIALIZED (SELECT 1 FROM leaders WHERE name = $1 AND epoch = $2 FOR SHARE)
"""
"""Common table expression, of one row while the lease $1, $2 (name, epoch) is good, else empty.

The row stays locked until the statement's transaction ends: nobody takes over in between.
"""

_ACQUIRE = """
INSERT INTO leaders AS held (name, holder, epoch, renewed_at)
VALUES ($1, $2, 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, epoch = held.epoch + 1, renewed_at = clock_timestamp()
WHERE held.renewed_at <= clock_timestamp() - make_interval(secs => $3)
RETURNING epoch
"""


class LeadershipLost(ElderGuildError):
    """A newer leader has taken over; whoever gets this stops leading."""

    code = "leadership_lost"

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(name, epoch)
        self.name = name
        self.epoch = epoch

    def __str__(self) -> str:
        return f"epoch {self.epoch} of {self.name} is over"


@dataclass(frozen=True, slots=True)
class Lease:
    """Proof of leading ``name``; good until somebody acquires a higher epoch."""

    name: str
    holder: str
    epoch: int


class Leaders:
    """Acquires and renews leases; needs the role ``guild_log``. Times are the server's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(
        self, name: str, holder: str, *, unless_renewed_within_s: float = 0.0
    ) -> Lease | None:
        """Takes over and thereby shuts the previous leader out.

        Args:
            name: what is led, such as ``router``.
            holder: who leads, for people to read.
            unless_renewed_within_s: leave a leader alone who renewed within this time. A freshly
                started single actor passes 0, since its predecessor is dead or about to be; one
                that was deposed passes its lease time, so that two never take turns.

        Returns:
            The new lease, or None where the present leader is to be left alone.
        """
        async with self._database.across_guilds() as tx:
            epoch = await tx.fetchval(_ACQUIRE, name, holder, unless_renewed_within_s)
        return None if epoch is None else Lease(name, holder, epoch)

    async def renew(self, lease: Lease) -> None:
        """Says that the leader is alive.

        Raises:
            LeadershipLost: it leads no more.
        """
        async with self._database.across_guilds() as tx:
            status = await tx.execute(
                "UPDATE leaders SET renewed_at = clock_timestamp() WHERE name = $1 AND epoch = $2",
                lease.name,
                lease.epoch,
            )
            if status != "UPDATE 1":
                raise LeadershipLost(lease.name, lease.epoch)

    async def current(self, name: str) -> Lease | None:
        """The newest lease, or None where nobody ever led."""
        async with self._database.across_guilds() as tx:
            row = await tx.fetchrow("SELECT holder, epoch FROM leaders WHERE name = $1", name)
        return None if row is None else Lease(name, row["holder"], row["epoch"])


async def hold(tx: Transaction, lease: Lease) -> None:
    """Lets the transaction go on only while the lease is good, and keeps it so until its end.

    Raises:
        LeadershipLost: a newer leader has taken over.
    """
    query = f"WITH {LEAD} SELECT count(*) FROM lead"  # noqa: S608  # constants only
    if not await tx.fetchval(query, lease.name, lease.epoch):
        raise LeadershipLost(lease.name, lease.epoch)
