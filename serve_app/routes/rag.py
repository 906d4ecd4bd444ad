"""Documents in, passages and answers out."""

import asyncio
from typing import Annotated

from fastapi import Header, Query
from fastapi.responses import Response

from actors.rag.messages import DeleteDocument, GetDocument, GetIndexStatus
from actors.runtime.message import Position
from serve_app.access import API
from serve_app.call import Call, Current, parse_position
from serve_app.ids import DocumentPath
from serve_app.problems import Problem, problem_of
from serve_app.route import new_router
from serve_app.schemas.common import FieldErrorView
from serve_app.schemas.rag import (
    AnswerView,
    BatchItemView,
    BatchView,
    DocumentIn,
    DocumentsIn,
    DocumentView,
    HitsView,
    IndexView,
    QueryIn,
    SearchIn,
    StoredView,
)

router = new_router()
_DOCUMENTS = f"{API}/rag/documents"
_AtLeast = Annotated[
    str | None,
    Header(alias="Guild-Position", description="the answer must know everything up to here"),
]


@router.post(_DOCUMENTS, response_model=StoredView, status_code=201)
async def store_document(call: Current, body: DocumentIn) -> Response:
    """Stores a document; 200 where exactly this was stored already."""
    outcome = await call.tell("rag", body.to_message(call.origin))
    stored = outcome.unwrap()
    return call.reply(
        StoredView.model_validate(stored),
        status=201 if stored.changed else 200,
        version=stored.version,
        position=outcome.position,
        headers={"Location": f"{_DOCUMENTS}/{stored.document_id}"},
    )


@router.post(_DOCUMENTS + ":batch", response_model=BatchView)
async def store_documents(call: Current, body: DocumentsIn) -> Response:
    """Stores several documents, each for itself; one entry for each, in the order sent."""
    settings = call.gateway.settings.gateway
    if len(body.documents) > settings.max_batch_documents:
        raise Problem(413, f"a batch holds at most {settings.max_batch_documents} documents")
    slots = asyncio.Semaphore(settings.batch_concurrency)
    stored = await asyncio.gather(
        *(
            _store_one(call, number, document, slots)
            for number, document in enumerate(body.documents)
        )
    )
    items = tuple(item for item, _ in stored)
    good = sum(item.document is not None for item in items)
    view = BatchView(stored=good, failed=len(items) - good, items=items)
    positions = [position for _, position in stored if position is not None]
    return call.reply(view, position=max(positions, default=None))


async def _store_one(
    call: Call, number: int, document: DocumentIn, slots: asyncio.Semaphore
) -> tuple[BatchItemView, Position | None]:
    async with slots:
        outcome = await call.attempt("rag", document.to_message(call.origin_of(str(number))))
    if outcome.error is not None:
        problem = problem_of(outcome.error)
        detail = problem.errors[0].detail if problem.errors else problem.detail
        error = FieldErrorView(pointer=f"body/documents/{number}", detail=detail)
        return BatchItemView(status=problem.status, error=error), None
    stored = outcome.unwrap()
    view = StoredView.model_validate(stored)
    return BatchItemView(status=201 if stored.changed else 200, document=view), outcome.position


@router.get(_DOCUMENTS + "/{document_id}", response_model=DocumentView)
async def get_document(
    call: Current,
    document_id: DocumentPath,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Reads a document, or an earlier version of it."""
    query = GetDocument(context=call.context, document_id=document_id, version=version)
    document = await call.ask("rag", query)
    return call.reply(DocumentView.model_validate(document), version=document.version)


@router.delete(_DOCUMENTS + "/{document_id}", status_code=204)
async def delete_document(call: Current, document_id: DocumentPath) -> Response:
    """Takes a document out of every search; its versions stay readable for citations."""
    command = DeleteDocument(**call.origin, document_id=document_id, expected_version=call.version)
    outcome = await call.tell("rag", command)
    return call.empty(outcome.position)


@router.get(f"{API}/rag/index", response_model=IndexView)
async def get_index(call: Current) -> Response:
    """Says how far search is behind."""
    status = await call.ask("rag", GetIndexStatus(context=call.context))
    return call.reply(IndexView.from_reply(status), position=status.position)


@router.post(f"{API}/rag/search", response_model=HitsView)
async def search(call: Current, body: SearchIn, guild_position: _AtLeast = None) -> Response:
    """Finds the passages nearest to a text, over documents, knowledge, incidents and tasks."""
    hits = await call.ask("rag", body.to_message(call.context, _position(guild_position)))
    return call.reply(HitsView.from_reply(hits), position=hits.position)


@router.post(f"{API}/rag/query", response_model=AnswerView)
async def query(call: Current, body: QueryIn, guild_position: _AtLeast = None) -> Response:
    """Answers a question with sentences of the sources, each cited, or says that it cannot."""
    answer = await call.ask("rag", body.to_message(call.context, _position(guild_position)))
    return call.reply(AnswerView.from_reply(answer))


def _position(header: str | None) -> Position | None:
    return None if header is None else parse_position(header)
