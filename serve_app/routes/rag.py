"""Documents in, passages and answers out."""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Annotated

from fastapi import Header, Query
from fastapi.responses import Response

from actors import clock
from actors.rag.messages import (
    DeleteDocument,
    ForgetFeedback,
    GetDocument,
    GetIndexStatus,
    GetLearntWeight,
    StoredDocument,
    StoreDocuments,
)
from actors.runtime.message import Context, Outcome, Position
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
    FeedbackIn,
    FeedbackView,
    HitsView,
    IndexView,
    QueryIn,
    SearchIn,
    StoredView,
    WeightView,
)

router = new_router()
_DOCUMENTS = f"{API}/rag/documents"
_AtLeast = Annotated[
    str | None,
    Header(alias="Guild-Position", description="the answer must know everything up to here"),
]


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
    settings = call.gateway.settings
    if len(body.documents) > settings.gateway.max_batch_documents:
        raise Problem(
            413, f"a batch holds at most {settings.gateway.max_batch_documents} documents"
        )
    found, in_order = parts(
        body.documents, settings.index.group_documents, settings.gateway.batch_part_bytes
    )
    slots = asyncio.Semaphore(1 if in_order else settings.gateway.batch_concurrency)
    context = call.context
    outcomes = await asyncio.gather(
        *(_store_part(call, context, body.documents, part, slots) for part in found)
    )
    stored = [_item(number, one) for number, one in enumerate(chain.from_iterable(outcomes))]
    good = sum(item.document is not None for item in stored)
    view = BatchView(stored=good, failed=len(stored) - good, items=tuple(stored))
    positions = [one.position for one in chain.from_iterable(outcomes) if one.position is not None]
    return call.reply(view, position=max(positions, default=None))


def parts(documents: Sequence[DocumentIn], most: int, most_bytes: int) -> tuple[list[range], bool]:
    """How a batch is divided into messages, in its order.

    Args:
        documents: of the batch.
        most: documents of one message.
        most_bytes: texts and vectors of one message; one document always fits.

    Returns:
        The documents of each part, and whether the parts must be sent one after the other because
        two of them speak of the same document.
    """
    found: list[range] = []
    begin = size = 0
    part_of: dict[tuple[str, str], int] = {}
    in_order = False
    for number, document in enumerate(documents):
        size += document.size
        if number > begin and (number - begin == most or size > most_bytes):
            found.append(range(begin, number))
            begin, size = number, document.size
        in_order |= part_of.setdefault(document.name, len(found)) != len(found)
    found.append(range(begin, len(documents)))
    return found, in_order


async def _store_part(
    call: Call,
    context: Context,
    documents: Sequence[DocumentIn],
    part: range,
    slots: asyncio.Semaphore,
) -> Sequence[Outcome[StoredDocument]]:
    async with slots:
        commands = (
            documents[number].to_message({**call.origin_of(str(number)), "context": context})
            for number in part
        )
        parcel = StoreDocuments(
            context=context, command_id=clock.new_id("cmd"), documents=tuple(commands)
        )
        outcome = await call.attempt("rag", parcel)
    if outcome.error is not None:
        return [Outcome(error=outcome.error)] * len(part)
    return outcome.unwrap()


def _item(number: int, outcome: Outcome[StoredDocument]) -> BatchItemView:
    if outcome.error is not None:
        problem = problem_of(outcome.error)
        detail, pointer = problem.detail, f"body/documents/{number}"
        if problem.errors:
            field, detail = problem.errors[0].pointer, problem.errors[0].detail
            if field.partition("/")[0] in DocumentIn.model_fields:
                pointer = f"{pointer}/{field}"
        return BatchItemView(
            status=problem.status, error=FieldErrorView(pointer=pointer, detail=detail)
        )
    stored = outcome.unwrap()
    view = StoredView.model_validate(stored)
    return BatchItemView(status=201 if stored.changed else 200, document=view)


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


@router.post(f"{API}/rag/feedback", response_model=FeedbackView)
async def give_feedback(call: Current, body: FeedbackIn) -> Response:
    """Says of a hit whether it answers the query; the guild learns from it how to search."""
    outcome = await call.tell("rag", body.to_message(call.origin))
    view = FeedbackView(weight=WeightView.model_validate(outcome.unwrap()))
    return call.reply(view, position=outcome.position)


@router.get(f"{API}/rag/weight", response_model=WeightView)
async def get_weight(call: Current) -> Response:
    """Says what the guild has learnt about the share of meaning in its searches."""
    weight = await call.ask("rag", GetLearntWeight(context=call.context))
    return call.reply(WeightView.model_validate(weight))


@router.post(f"{API}/rag/weight:reset", response_model=WeightView)
async def reset_weight(call: Current) -> Response:
    """Forgets all feedback of the guild: each query sets the share alone again."""
    outcome = await call.tell("rag", ForgetFeedback(**call.origin))
    return call.reply(WeightView.model_validate(outcome.unwrap()), position=outcome.position)


def _position(header: str | None) -> Position | None:
    return None if header is None else parse_position(header)
