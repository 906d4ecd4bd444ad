"""Messages, outcomes, and the scope of one message."""

import pytest

from actors.errors import DeadlineExceeded, NotFound
from actors.runtime import scope
from actors.runtime.message import (
    Caller,
    Command,
    GuildId,
    Outcome,
    Permission,
    Position,
    Query,
    reply_type,
)


class GetName(Query[str]):
    pass


class Nameless(Command):  # type: ignore[type-arg]  # the mistake under test
    pass


def caller(*permissions: Permission) -> Caller:
    return Caller(
        guild_id=GuildId("guild_1"), principal_id="user_1", permissions=frozenset(permissions)
    )


def test_a_message_names_its_reply() -> None:
    assert reply_type(GetName) is str


def test_a_message_without_a_reply_type_is_refused() -> None:
    with pytest.raises(TypeError, match="Nameless does not name its reply type"):
        reply_type(Nameless)


def test_admin_implies_every_permission() -> None:
    assert all(caller(Permission.ADMIN).may(permission) for permission in Permission)


def test_one_permission_is_not_another() -> None:
    assert not caller(Permission.READ).may(Permission.WRITE)


def test_positions_compare_by_transaction_before_sequence() -> None:
    assert Position(1, 9) < Position(2, 1) < Position(2, 2)


def test_an_outcome_gives_its_reply_or_raises_its_error() -> None:
    assert Outcome(reply="yes").unwrap() == "yes"
    with pytest.raises(NotFound):
        Outcome(error=NotFound("task", "task_1")).unwrap()


async def test_a_scope_counts_down_from_its_timeout() -> None:
    scope.enter(60.0)

    assert 50.0 < scope.remaining_s(100.0) <= 60.0
    assert scope.remaining_s(1.0) == 1.0


async def test_a_spent_scope_raises() -> None:
    scope.enter(0.0)

    with pytest.raises(DeadlineExceeded):
        scope.remaining_s(1.0)


async def test_a_scope_keeps_the_highest_position() -> None:
    current = scope.enter(None)

    for position in (Position(3, 1), Position(5, 2), Position(4, 9)):
        scope.note_position(position)

    assert current.position == Position(5, 2)
