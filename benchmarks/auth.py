"""What it costs to know who asks: an authenticated no-op against an open one.

One replica of the real gateway, without Ray and without a sage behind it, on keep-alive
connections. The open route answers the same body: what differs is the token, its permissions and
the count against the caller's quota. The two take turns, and each ratio is of one turn.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from actors import clock
from actors.runtime.message import GuildId, Permission
from actors.settings import GatewaySettings
from benchmarks.frame import Contender, Goal, Measurement, Options, Report, interleave, main
from benchmarks.load import Load, in_other_process
from cluster.process import free_ports
from serve_app.tokens import Tokens, key_ring

CONNECTIONS = (1, 16)
GOAL = 0.85
_START_TIMEOUT_S = 60.0
_OPEN, _GUARDED = "/healthz", "/api/v1/noop"


async def run(options: Options) -> Report:
    """Measures on a replica of its own."""
    rounds, seconds = (9, 0.7) if options.quick else (21, 2.0)
    secret = secrets.token_urlsafe(48)
    tokens = Tokens(key_ring(secret), GatewaySettings())
    guild, user = GuildId(clock.new_id("guild")), clock.new_id("user")
    token = tokens.sign(guild, user, frozenset({Permission.READ})).token
    async with _replica(secret) as port:
        await _turn(port, token, 16, 1.0, first=0)  # nobody's figure
        turns = {f"c{many}": _both(port, token, many, seconds) for many in CONNECTIONS}
        results = await interleave(turns, rounds)
    return Report(
        results=results,
        goals=tuple(
            Goal(
                name=f"authenticated_open_{name}",
                measured=found["authenticated_open"].median,
                at_least=GOAL,
            )
            for name, found in results.items()
        ),
        notes=(f"{_GUARDED} against {_OPEN}, which answers the same without a token",),
        settings={"rounds": rounds, "seconds": seconds},
    )


def _both(port: int, token: str, connections: int, seconds: float) -> Contender:
    turns = count()

    async def turn() -> Measurement:
        return await _turn(port, token, connections, seconds, first=next(turns) % 2)

    return turn


async def _turn(
    port: int, token: str, connections: int, seconds: float, *, first: int
) -> Measurement:
    """Both right after each other; ``first`` says which begins."""
    loads = [
        Load(port=port, path=_OPEN, seconds=seconds, connections=connections),
        Load(port=port, path=_GUARDED, seconds=seconds, connections=connections, bearer=token),
    ]
    found: dict[str, float] = {}
    for load in reversed(loads) if first else loads:
        figures = await in_other_process(load)
        if figures["failed"] or figures["unanswered"]:
            raise RuntimeError(f"{load.path}: {figures['failed']:g} failed, no figure is valid")
        found[load.path] = figures["rps"]
    return {
        "open_rps": found[_OPEN],
        "authenticated_rps": found[_GUARDED],
        "authenticated_open": found[_GUARDED] / found[_OPEN],
    }


@asynccontextmanager
async def _replica(secret: str) -> AsyncIterator[int]:
    """A process that serves; its port. It ends with the block."""
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.auth_app",
        str(port),
        env={**os.environ, "JWT_SECRET": secret, "ENV": "development"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await _until_it_answers(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _until_it_answers(port: int) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.2)
            else:
                writer.close()
                return


if __name__ == "__main__":
    raise SystemExit(main("auth", __doc__, run))
