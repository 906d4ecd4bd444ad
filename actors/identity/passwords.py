"""Argon2id, a few at a time: each check takes 64 MiB and tens of milliseconds on every core."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pwdlib.hashers.argon2 import Argon2Hasher

from actors.errors import Overloaded
from actors.settings import IdentitySettings

ArgsP = ParamSpec("ArgsP")
ResultT = TypeVar("ResultT")


class Passwords:
    """Hashes and checks passwords in threads, bounded in number and in queue."""

    def __init__(self, settings: IdentitySettings, hasher: Argon2Hasher | None = None) -> None:
        """Makes a dummy hash, which takes as long as one check.

        Args:
            settings: how many at once and how many may wait.
            hasher: for tests; the default has the cost that is recommended for Argon2id.
        """
        self._settings = settings
        self._hasher = hasher or Argon2Hasher()
        self._slots = asyncio.Semaphore(settings.hash_concurrency)
        self._present = 0
        self._dummy = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """A salted hash.

        Raises:
            Overloaded: too many are waiting already.
        """
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right; with no hash it takes as long and says no.

        Raises:
            Overloaded: too many are waiting already.
        """
        right = await self._run(self._hasher.verify, password, password_hash or self._dummy)
        return right and password_hash is not None

    async def _run(
        self, work: Callable[ArgsP, ResultT], *args: ArgsP.args, **kwargs: ArgsP.kwargs
    ) -> ResultT:
        if self._present >= self._settings.hash_concurrency + self._settings.hash_queue:
            raise Overloaded(self._settings.hash_retry_after_s, "sign-in")
        self._present += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._present -= 1
