"""Whether what answers at an address is a guild that may be sent requests."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

_HEALTH, _READY, _CLOSED, _NUMBERS = "/healthz", "/readyz", "/api/v1/incidents", "/metrics"


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer: its status, 0 where there was none, and what it says of the version."""

    status: int
    version: str = ""


def faults(seen: Mapping[str, Seen], *, front: bool) -> list[str]:
    """What is wrong, one sentence each; pure.

    Args:
        seen: path to answer.
        front: it came through nginx, where numbers are closed.
    """
    wanted = {_HEALTH: 200, _READY: 200, _CLOSED: 401} | ({_NUMBERS: 404} if front else {})
    found = []
    for path, status in wanted.items():
        answer = seen[path]
        if answer.status != status:
            said = answer.status or "nothing"
            found.append(f"{path} answers {said} and not {status}")
        elif not answer.version and path != _NUMBERS:
            found.append(f"{path} is answered by something that is no guild")
    return found


async def check(url: str, *, timeout_s: float, front: bool = False, host: str = "") -> list[str]:
    """Asks, and says what is wrong.

    Args:
        url: of a generation, or of nginx.
        timeout_s: of each question.
        front: nginx is asked.
        host: the name to ask for, where it is not that of the URL.
    """
    headers = {"Host": host} if host else {}
    paths = [_HEALTH, _READY, _CLOSED, *([_NUMBERS] if front else [])]
    # A generation is on this machine: no proxy of the environment leads there.
    async with httpx.AsyncClient(
        base_url=url, timeout=timeout_s, headers=headers, trust_env=front
    ) as client:
        return faults({path: await _seen(client, path) for path in paths}, front=front)


async def _seen(client: httpx.AsyncClient, path: str) -> Seen:
    try:
        answer = await client.get(path)
    except httpx.HTTPError:
        return Seen(0)
    return Seen(answer.status_code, answer.headers.get("guild-version", ""))
