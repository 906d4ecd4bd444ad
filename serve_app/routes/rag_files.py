"""Files and pages become documents: as `POST /api/v1/rag/documents` stores them."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from actors.documents.detecting import MEDIA_TYPES, NotReadHere
from actors.documents.fetching import NotFetched
from actors.documents.parsed import Parsed, ParseProblem
from actors.rag.messages import StoreDocument
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.problems import FieldError, Problem
from serve_app.route import media_type, new_router
from serve_app.schemas.rag import StoredView
from serve_app.schemas.rag_files import FetchIn, UploadQuery

router = new_router()
_DOCUMENTS = f"{API}/rag/documents"
_MAX_EXTERNAL_ID = 512
_EXAMPLES = {"text/markdown": "# Disk full\n\n1. Find what grows.\n2. Rotate the logs."}
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file's bytes as they are. What it is, its contents say.",
        "content": {
            declared: {
                "schema": {"type": "string", "format": "binary"},
                "example": _EXAMPLES.get(declared, "the bytes of the file"),
            }
            for declared in MEDIA_TYPES
            if declared
        },
    }
}


@router.post(
    _DOCUMENTS + ":upload", response_model=StoredView, status_code=201, openapi_extra=_FILE
)
async def upload(
    call: Current, request: Request, said: Annotated[UploadQuery, Query()]
) -> Response:
    """Stores a file as a document: Markdown, HTML, text, PDF or DOCX."""
    data = await request.body()
    parsed = await _read(call, data, said.name, media_type(request.headers))
    return await _store(call, said.to_message(call.origin, parsed, said.source_url))


@router.post(_DOCUMENTS + ":fetch", response_model=StoredView, status_code=201)
async def fetch(call: Current, body: FetchIn) -> Response:
    """Stores what an address leads to, where the operator lets the guild fetch from its host."""
    async with call.gateway.desk.place(call.caller.guild_id):
        try:
            fetched = await call.gateway.fetcher.fetch(call.caller.guild_id, body.url)
        except NotFetched as refused:
            raise _refused(422, "body/url", refused) from None
        parsed = await _read(call, fetched.data, fetched.name, fetched.media_type)
        if body.external_id is None and len(body.url) <= _MAX_EXTERNAL_ID:
            body = body.model_copy(update={"external_id": body.url})
        return await _store(call, body.to_message(call.origin, parsed, body.url))


async def _read(call: Call, data: bytes, name: str, declared: str) -> Parsed:
    try:
        return await call.gateway.desk.read(data, name, declared)
    except NotReadHere as problem:
        raise _refused(415, "body", problem) from None
    except ParseProblem as problem:
        raise _refused(422, "body", problem) from None


def _refused(status: int, pointer: str, why: Exception) -> Problem:
    errors = (FieldError(pointer, str(why)),)
    return Problem(status, "the request is not valid", errors=errors)


async def _store(call: Call, command: StoreDocument) -> Response:
    outcome = await call.tell("rag", command)
    stored = outcome.unwrap()
    return call.reply(
        StoredView.model_validate(stored),
        status=201 if stored.changed else 200,
        version=stored.version,
        position=outcome.position,
        headers={"Location": f"{_DOCUMENTS}/{stored.document_id}"},
    )
