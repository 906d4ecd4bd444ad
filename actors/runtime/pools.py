"""All pools as one process sees them."""

from actors.runtime.nudge import Nudger
from actors.runtime.pool import Asker
from actors.settings import GuildSettings


class Pools:
    """Looks members up once and shares the mailboxes of one process. Cheap until first used."""

    def __init__(self, settings: GuildSettings) -> None:
        self._settings = settings

    def pool(self, name: str) -> Asker:
        """The pool of that name; it need not have members yet."""
        raise NotImplementedError

    def router_nudger(self) -> Nudger:
        """What tells the router, from this process, that the log has grown."""
        raise NotImplementedError

    async def close(self) -> None:
        """Answers all that wait and stops watching the directory."""
