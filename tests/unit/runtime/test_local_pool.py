import pytest

from actors.errors import ElderGuildError, NotFound
from actors.runtime.local import LocalPool
from tests.unit.runtime.samples import CONTEXT, Abacus, Add, Break, Echo, Refuse, Unanswerable


async def test_a_message_is_answered_by_the_method_of_its_type() -> None:
    pool = LocalPool(Abacus().handlers())

    reply = await pool.ask(Echo(context=CONTEXT, text="hello"))

    assert reply == "hello"


async def test_an_expected_failure_reaches_the_caller_with_its_data() -> None:
    pool = LocalPool(Abacus().handlers())

    with pytest.raises(NotFound) as caught:
        await pool.ask(Refuse(context=CONTEXT, what="scroll"))

    assert caught.value.kind == "scroll"


async def test_a_bug_is_answered_without_telling_of_the_inside() -> None:
    pool = LocalPool(Abacus().handlers())

    outcome = await pool.ask_outcome(Break(context=CONTEXT, secret="password"))

    assert type(outcome.error) is ElderGuildError
    assert "password" not in str(outcome.error)


async def test_what_cannot_cross_a_process_fails_here_too() -> None:
    pool = LocalPool(Abacus().handlers())

    with pytest.raises(AttributeError, match="pickle"):
        await pool.ask(Unanswerable(context=CONTEXT))


async def test_a_type_that_nobody_handles_is_a_bug() -> None:
    pool = LocalPool({})

    outcome = await pool.ask_outcome(Add(context=CONTEXT, command_id="cmd_1"))

    assert type(outcome.error) is ElderGuildError
