import pytest

from actors.bus.domain import publishing
from actors.bus.messages import EraseSubject, Erasure
from actors.bus.sage.erasure import ErasureSage
from actors.clock import new_ids
from actors.errors import NotAuthorized, ValidationError
from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from actors.settings import BusSettings
from tests.fixtures.bus_builders import GUILD, NOON, context, key, new_event, publish
from tests.fixtures.bus_memory import MemoryReadingStore
from tests.fixtures.erasure_contract import ErasureStoreContract, erase
from tests.fixtures.erasure_memory import MemoryErasableLog


class TestMemoryErasableLog(ErasureStoreContract):
    """In memory."""

    @pytest.fixture
    def log(self) -> MemoryErasableLog:
        return MemoryErasableLog()

    @pytest.fixture
    def erasure(self, log: MemoryErasableLog) -> MemoryErasableLog:
        return log

    @pytest.fixture
    def reading(self, log: MemoryErasableLog) -> MemoryReadingStore:
        return MemoryReadingStore(log.events)


async def test_an_administrator_erases_and_is_told_what_the_events_bear() -> None:
    log = MemoryErasableLog()

    done = await LocalPool(ErasureSage(log).handlers()).ask(erase())

    assert isinstance(done, Erasure)
    assert len(log.events) == 1


@pytest.mark.parametrize("held", [p for p in Permission if p is not Permission.ADMIN])
async def test_nobody_else_erases_anybody(held: Permission) -> None:
    log = MemoryErasableLog()
    command = EraseSubject(context=context(GUILD, held), command_id=key(), subject="person")

    with pytest.raises(NotAuthorized):
        await ErasureSage(log).erase(command)

    assert log.events == []


@pytest.mark.parametrize(
    "subject", ["", " ", " a", "a ", "a\u2003", "a\nb", "x" * 501, "ü" * 251, "\x7f"]
)
async def test_who_cannot_be_published_for_cannot_be_erased_either(subject: str) -> None:
    with pytest.raises(ValidationError) as refused:
        await ErasureSage(MemoryErasableLog()).erase(erase(subject))
    with pytest.raises(ValidationError) as unpublished:
        publishing.lines(publish(new_event(data_subject=subject)), BusSettings(), NOON, new_ids)

    assert refused.value.field == "subject"
    assert unpublished.value.field == "events[0].datasubject"
