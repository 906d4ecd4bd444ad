"""What a member is given by the process it lives in."""

from collections.abc import Awaitable, Callable

import structlog

from actors.runtime.ledger import Ledger
from actors.runtime.nudge import Nudger
from actors.runtime.peers import Peers
from actors.runtime.pool import Asker
from actors.runtime.pools import Pools
from actors.settings import GuildSettings
from actors.storage.database import Database
from actors.storage.vault import Vault

_log = structlog.get_logger("elders_guild.runtime")


class Host:
    """Connections that a member's parts share: made on first use, closed together.

    Attributes:
        settings: the process's settings.
        ledger: recalls the replies of earlier commands, once `use_ledger` was called.
    """

    def __init__(self, settings: GuildSettings, pools: Pools, nudger: Nudger) -> None:
        self.settings = settings
        self.ledger: Ledger | None = None
        self._pools = pools
        self._nudger = nudger
        self._database: Database | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []

    async def database(self) -> Database:
        """The application's database, as role ``guild_app``; one small pool a process.

        Raises:
            DependencyUnavailable: the server does not answer; the member will be opened again.
            BadKeyRing: ``SECRET_KEY`` cannot be used.
        """
        if self._database is None:
            url = self.settings.database_url.get_secret_value()
            database = await Database.open(
                url,
                self.settings.database,
                on_commit=self.nudge_router,
                vault=Vault.of(self.settings),
            )
            self._database = database
            self.on_close(database.close)
        return self._database

    def pool(self, name: str) -> Asker:
        """Another pool, for the one hop a sage may make."""
        return self._pools.pool(name)

    def peers(self, name: str) -> Peers:
        """The members of one's own pool, each by its name."""
        return self._pools.peers(name)

    def nudge_router(self) -> None:
        """Tells the router that the log has grown. Never blocks; losing it is fine."""
        self._nudger.nudge()

    def use_ledger(self, ledger: Ledger) -> None:
        """Commands that may be repeats are looked up here before they run."""
        self.ledger = ledger

    def on_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Runs ``callback`` when the member stops; the last registered runs first."""
        self._closers.append(callback)

    async def close(self) -> None:
        """Closes everything. One failure does not keep the others open."""
        while self._closers:
            try:
                await self._closers.pop()()
            except Exception:
                _log.exception("close_failed")
        self._database = None
