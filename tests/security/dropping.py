"""`python -m tests.security.dropping FOLDER`: uploads every bomb, and says what became of each.

A process of its own, and a small one: what its ended children took at most is what it was itself
when it made them, or what its parsers took.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.fixtures.gateway import client_of, key, whole_app
from tests.security.bombs import BOMBS, Bomb

UPLOAD = "/api/v1/rag/documents:upload"
MAX_S = 2.0
_ATTEMPTS = 3
_MORE_ATTEMPTS = 20  # of all bombs together: the machine may be busy with something else
_REST_S = 1.0  # until there is another parser in the place of one that was ended
_GOOD = Bomb("a.md", "text/markdown", lambda: b"# Disk full")


async def main(folder: Path) -> None:
    """One line of JSON for each bomb; the last, without a name, is a good file behind them all."""
    app, spare = whole_app(), iter(range(_MORE_ATTEMPTS))
    async with client_of(app) as client:
        for number, (name, bomb) in enumerate(BOMBS.items()):
            data = (folder / str(number)).read_bytes()
            print(json.dumps({"bomb": name, **await _drop(client, bomb, data, spare)}), flush=True)
        good = await _drop(client, _GOOD, _GOOD.make(), spare)
    await app.state.gateway.desk.close()  # a process is counted when it has ended
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    print(json.dumps({"bomb": "", **good, "peak_bytes": peak}), flush=True)


async def _drop(
    client: httpx.AsyncClient, bomb: Bomb, data: bytes, spare: Iterator[int]
) -> dict[str, object]:
    best, statuses = float("inf"), []
    while True:
        started = time.perf_counter()
        answer = await client.post(
            UPLOAD,
            params={"name": bomb.name},
            content=data,
            headers={"Content-Type": bomb.media_type, **key()},
        )
        best = min(best, time.perf_counter() - started)
        statuses.append(answer.status_code)
        if best <= MAX_S or (len(statuses) >= _ATTEMPTS and next(spare, None) is None):
            return {"statuses": statuses, "seconds": round(best, 3), "text": answer.text}
        await asyncio.sleep(_REST_S)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
