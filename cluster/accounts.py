"""`guild admin`, second half: what becomes of users and clients that are there.

Like `cluster.admin` it is for whoever holds the host, and asks for no password.
"""

from collections.abc import Callable
from typing import Annotated, Any, assert_never

import typer

from actors.identity.messages import (
    ChangeRole,
    Kind,
    ListPrincipals,
    PrincipalView,
    Role,
    RotateClientSecret,
    SetDisabled,
)
from actors.runtime.message import GuildId, Permission
from actors.settings import settings
from cluster.admin import HostIdentity, by_operator, database_url, new_secret, open_identity, run

Origin = dict[str, Any]
Change = ChangeRole | SetDisabled | RotateClientSecret

_PAGE = 100
app = typer.Typer(help="Users and clients that are there already.", no_args_is_help=True)


@app.command("users")
def users_command(guild_id: str) -> None:
    """Lists users: id, login, role, and whether they are shut out."""
    run(_list(GuildId(guild_id), Kind.USER))


@app.command("clients")
def clients_command(guild_id: str) -> None:
    """Lists clients: id, scopes, and whether they are shut out."""
    run(_list(GuildId(guild_id), Kind.CLIENT))


@app.command("change-role")
def change_role_command(
    login: str,
    role: Role,
    serves: Annotated[Permission | None, typer.Option(help="for the role sage")] = None,
) -> None:
    """Gives a user another role; their sessions end."""
    run(
        _change(
            login,
            lambda one, origin: ChangeRole(
                **origin, principal_id=one.principal_id, role=role, serves=serves
            ),
        )
    )


@app.command("disable")
def disable_command(login: str) -> None:
    """Shuts a user or a client out; what they hold is refused within seconds."""
    run(_set_disabled(login, disabled=True))


@app.command("enable")
def enable_command(login: str) -> None:
    """Lets a user or a client in again."""
    run(_set_disabled(login, disabled=False))


@app.command("rotate-secret")
def rotate_secret_command(client_id: str) -> None:
    """Gives a client another secret and prints it; it cannot be shown again."""
    secret = new_secret()
    run(
        _change(
            client_id,
            lambda one, origin: RotateClientSecret(
                **origin, client_id=one.principal_id, secret=secret
            ),
        )
    )
    print(secret)


async def _list(guild_id: GuildId, kind: Kind) -> None:
    async with open_identity(database_url(), settings()) as identity:
        cursor: str | None = None
        while True:
            query = ListPrincipals(
                context=by_operator(guild_id)["context"], kind=kind, limit=_PAGE, cursor=cursor
            )
            page = await identity.sage.list_principals(query)
            for one in page.principals:
                print(_line(one))
            cursor = page.next_cursor
            if cursor is None:
                return


async def _set_disabled(login: str, *, disabled: bool) -> None:
    await _change(
        login,
        lambda one, origin: SetDisabled(
            **origin, kind=one.kind, principal_id=one.principal_id, disabled=disabled
        ),
    )


async def _change(login: str, command_of: Callable[[PrincipalView, Origin], Change]) -> None:
    async with open_identity(database_url(), settings()) as identity:
        await change(identity, login, command_of)


async def change(
    identity: HostIdentity, login: str, command_of: Callable[[PrincipalView, Origin], Change]
) -> PrincipalView:
    """Sends the command that is made for whoever has this login.

    Raises:
        ValueError: nobody is called that.
    """
    guild_id = await identity.guild_of(login)
    one = await identity.find(guild_id, login)
    command = command_of(one, by_operator(guild_id))
    match command:
        case ChangeRole():
            return await identity.sage.change_role(command)
        case SetDisabled():
            return await identity.sage.set_disabled(command)
        case RotateClientSecret():
            return await identity.sage.rotate_secret(command)
        case _:
            assert_never(command)


def _line(one: PrincipalView) -> str:
    what = one.role.value if one.role is not None else " ".join(sorted(one.permissions))
    return "\t".join((one.principal_id, one.login, what, "disabled" if one.disabled else ""))


if __name__ == "__main__":
    app()
