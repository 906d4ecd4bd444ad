"""Users of a guild, for its administrators. Passwords are reset from the host."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from actors import clock
from actors.identity.messages import GetPrincipal, Kind, PrincipalView, SetDisabled
from actors.runtime.message import Command
from serve_app import opaque
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import UserPath
from serve_app.route import new_router
from serve_app.schemas.principal import (
    NewUserView,
    PrincipalFilter,
    UserIn,
    UserPatch,
    UsersView,
    UserView,
)
from serve_app.signing_in import NOT_STORED

router = new_router()
_ALL = f"{API}/users"
_ONE = f"{API}/users/{{user_id}}"


async def _change(call: Call, command: Command[PrincipalView]) -> Response:
    """Sends a command that answers the user."""
    outcome = await call.tell("identity", command)
    user = outcome.unwrap()
    return call.reply(UserView.of(user), version=user.version, position=outcome.position)


@router.get(_ALL, response_model=UsersView)
async def list_users(call: Current, which: Annotated[PrincipalFilter, Query()]) -> Response:
    """Lists users by id, disabled ones too."""
    page = await call.ask("identity", which.to_message(call.context, Kind.USER))
    items = tuple(UserView.of(one) for one in page.principals)
    return call.page(UsersView(items=items, next_cursor=page.next_cursor), _ALL, page.next_cursor)


@router.post(_ALL, response_model=NewUserView, status_code=201)
async def create_user(call: Current, body: UserIn) -> Response:
    """Makes a user with a random password, which this answer shows and a repeat of it does not."""
    password, receipt = opaque.new_secret(), clock.new_id("rcp")
    outcome = await call.tell("identity", body.to_message(call.origin, password, receipt))
    user = outcome.unwrap()
    return call.reply(
        NewUserView.of(user, password=password if user.receipt == receipt else None),
        status=201,
        version=user.version,
        position=outcome.position,
        headers={**NOT_STORED, "Location": f"{_ALL}/{user.principal_id}"},
    )


@router.get(_ONE, response_model=UserView)
async def get_user(call: Current, user_id: UserPath) -> Response:
    """Reads a user."""
    query = GetPrincipal(context=call.context, kind=Kind.USER, principal_id=user_id)
    user = await call.ask("identity", query)
    return call.reply(UserView.of(user), version=user.version)


@router.patch(_ONE, response_model=UserView)
async def change_user(call: Current, user_id: UserPath, body: UserPatch) -> Response:
    """Gives a user another role, and ends the sessions that had the old one."""
    return await _change(call, body.to_message(call.origin, user_id, call.version))


@router.post(_ONE + ":disable", response_model=UserView)
async def disable_user(call: Current, user_id: UserPath) -> Response:
    """Shuts a user out: no sign-in, and every token is refused within seconds."""
    return await _set_disabled(call, user_id, disabled=True)


@router.post(_ONE + ":enable", response_model=UserView)
async def enable_user(call: Current, user_id: UserPath) -> Response:
    """Lets a user sign in again; old sessions stay ended."""
    return await _set_disabled(call, user_id, disabled=False)


async def _set_disabled(call: Call, user_id: str, *, disabled: bool) -> Response:
    command = SetDisabled(**call.origin, kind=Kind.USER, principal_id=user_id, disabled=disabled)
    return await _change(call, command)
