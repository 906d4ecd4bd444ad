"""Sagas: processes of several steps, to look at."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors.bus.messages import GetSaga
from serve_app.access import API
from serve_app.call import Current
from serve_app.ids import SagaPath
from serve_app.route import new_router
from serve_app.schemas.saga import SagaFilter, SagasView, SagaView

router = new_router()
_ALL = f"{API}/sagas"


@router.get(_ALL, response_model=SagasView)
async def list_sagas(call: Current, which: Annotated[SagaFilter, Query()]) -> Response:
    """Lists sagas, newest first."""
    page = await call.ask("bus", which.to_message(call.context))
    return call.page(SagasView.model_validate(page), _ALL, page.next_cursor)


@router.get(_ALL + "/{saga_id}", response_model=SagaView)
async def get_saga(call: Current, saga_id: SagaPath) -> Response:
    """Reads a saga: its steps, and why it stands where it does."""
    saga = await call.ask("bus", GetSaga(context=call.context, saga_id=saga_id))
    return call.reply(SagaView.model_validate(saga), version=saga.version)
