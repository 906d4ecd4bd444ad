"""The project's own runbooks, and how they get into a guild."""

import asyncio
import secrets
from http import HTTPStatus
from pathlib import Path

from cluster.api import Api, ApiProblem, Json

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "runbooks"
_ATTEMPTS = 10
_PAUSE_S = 1.0


def documents() -> list[Json]:
    """Every page as the API takes it; the file name is its external id."""
    return [
        {
            "external_id": f"runbooks/{path.name}",
            "content": path.read_text(encoding="utf-8"),
            "kind": "runbook",
        }
        for path in sorted(FOLDER.glob("*.md"))
        if path.name != "README.md"
    ]


async def ingest(person: Api) -> int:
    """Sends them as one batch; what is stored already is not stored again. Returns how many.

    Raises:
        ApiProblem: some were refused, or could not be stored in several attempts.
    """
    pages, key = documents(), secrets.token_hex(16)
    for _ in range(_ATTEMPTS):  # under one key: what was stored is answered as it was
        reply = await person.post("/rag/documents:batch", {"documents": pages}, key=key)
        failed = [item for item in reply.body["items"] if item["error"] is not None]
        if not failed:
            return len(pages)
        if all(item["status"] < HTTPStatus.INTERNAL_SERVER_ERROR for item in failed):
            break
        await asyncio.sleep(_PAUSE_S)
    raise ApiProblem(failed[0]["status"], f"{len(failed)} runbooks: {failed[0]['error']['detail']}")
