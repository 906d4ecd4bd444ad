"""API clients of a guild, for its administrators: programs with keys of their own."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors import clock
from actors.identity.messages import (
    GetPrincipal,
    Kind,
    PrincipalView,
    RotateClientSecret,
    SetDisabled,
)
from actors.runtime.message import Command
from serve_app import opaque
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import ClientPath
from serve_app.route import new_router
from serve_app.schemas.principal import (
    ApiClientView,
    ClientIn,
    ClientsView,
    ClientWithSecretView,
    PrincipalFilter,
)
from serve_app.signing_in import NOT_STORED

router = new_router()
_ALL = f"{API}/clients"
_ONE = f"{API}/clients/{{client_id}}"


@router.get(_ALL, response_model=ClientsView)
async def list_clients(call: Current, which: Annotated[PrincipalFilter, Query()]) -> Response:
    """Lists clients by id, disabled ones too."""
    page = await call.ask("identity", which.to_message(call.context, Kind.CLIENT))
    items = tuple(ApiClientView.of(one) for one in page.principals)
    view = ClientsView(items=items, next_cursor=page.next_cursor)
    return call.page(view, _ALL, page.next_cursor)


@router.post(_ALL, response_model=ClientWithSecretView, status_code=201)
async def create_client(call: Current, body: ClientIn) -> Response:
    """Makes a client with a random secret, which this answer shows and a repeat of it does not."""
    secret, receipt = opaque.new_secret(), clock.new_id("rcp")
    command = body.to_message(call.origin, secret, receipt)
    return await _with_secret(call, command, command.secret, receipt, 201)


@router.get(_ONE, response_model=ApiClientView)
async def get_client(call: Current, client_id: ClientPath) -> Response:
    """Reads a client."""
    query = GetPrincipal(context=call.context, kind=Kind.CLIENT, principal_id=client_id)
    client = await call.ask("identity", query)
    return call.reply(ApiClientView.of(client), version=client.version)


@router.post(_ONE + ":rotate-secret", response_model=ClientWithSecretView)
async def rotate_secret(call: Current, client_id: ClientPath) -> Response:
    """Gives a client another secret and shows it, once.

    The old one and everything that it got are refused within seconds.
    """
    secret, receipt = opaque.new_secret(), clock.new_id("rcp")
    command = RotateClientSecret(**call.origin, client_id=client_id, secret=secret, receipt=receipt)
    return await _with_secret(call, command, secret, receipt, 200)


@router.post(_ONE + ":disable", response_model=ApiClientView)
async def disable_client(call: Current, client_id: ClientPath) -> Response:
    """Shuts a client out, and every token that it got."""
    return await _set_disabled(call, client_id, disabled=True)


@router.post(_ONE + ":enable", response_model=ApiClientView)
async def enable_client(call: Current, client_id: ClientPath) -> Response:
    """Lets a client in again; its old tokens stay refused."""
    return await _set_disabled(call, client_id, disabled=False)


async def _set_disabled(call: Call, client_id: str, *, disabled: bool) -> Response:
    command = SetDisabled(
        **call.origin, kind=Kind.CLIENT, principal_id=client_id, disabled=disabled
    )
    outcome = await call.tell("identity", command)
    client = outcome.unwrap()
    view = ApiClientView.of(client)
    return call.reply(view, version=client.version, position=outcome.position)


async def _with_secret(
    call: Call, command: Command[PrincipalView], secret: str, receipt: str, status: int
) -> Response:
    outcome = await call.tell("identity", command)
    client = outcome.unwrap()
    shown = secret if secret and client.receipt == receipt else None
    headers = {**NOT_STORED}
    if status == 201:
        headers["Location"] = f"{_ALL}/{client.principal_id}"
    return call.reply(
        ClientWithSecretView.of(client, client_secret=shown),
        status=status,
        version=client.version,
        position=outcome.position,
        headers=headers,
    )
