"""A log line is one JSON object in ASCII, whatever is said, and names what it is about."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import structlog

from actors.events import DeliverEvent
from actors.router.deliveries import deliver_event
from actors.runtime import handling, logs
from actors.runtime.handling import Handling
from actors.runtime.message import Handlers
from tests.fixtures.router import stored_event
from tests.unit.runtime.samples import CONTEXT, Abacus, Add, Break


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", written)
    logs.configure.cache_clear()
    logs.configure("INFO")
    # A test before this one may have used it, and with that bound it to another page.
    monkeypatch.setattr(handling, "_log", structlog.get_logger("elders_guild.runtime"))
    yield written
    logs.configure.cache_clear()
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("plain", "plain"),
        ("später 後で", "später 後で"),
        ("half \ud800 of one", "half \ud800 of one"),
        (1 << 70, 1 << 70),
        ({"nested": [1, None, True]}, {"nested": [1, None, True]}),
        (Decimal("1.5"), "Decimal('1.5')"),
    ],
)
def test_a_line_is_one_json_object_in_ascii(page: io.StringIO, said: Any, read: Any) -> None:
    structlog.get_logger("elders_guild.test").info("something_happened", value=said)

    (line,) = page.getvalue().splitlines()
    told = json.loads(line)
    assert line.isascii()
    assert (told["message"], told["value"]) == ("something_happened", read)
    assert (told["level"], told["logger"]) == ("info", "elders_guild.test")


def lines(page: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in page.getvalue().splitlines()]


class Speaker(Abacus):
    """A sage that says something while it works, and something later."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()
        self.later: asyncio.Task[None] | None = None

    def handlers(self) -> Handlers:
        return {**super().handlers(), Add: self.speak, DeliverEvent: self.hear}

    async def speak(self, command: Add) -> int:
        structlog.get_logger("elders_guild.test").warning("thinking")
        self.later = asyncio.create_task(self._speak_later())
        return 1

    async def hear(self, _: DeliverEvent) -> None:
        structlog.get_logger("elders_guild.test").warning("heard")

    async def _speak_later(self) -> None:
        await self.over.wait()
        structlog.get_logger("elders_guild.test").warning("later")


async def test_every_line_of_a_message_says_whose_it_is(page: io.StringIO) -> None:
    context = replace(CONTEXT, causation_id="req_7")

    await Handling(Speaker().handlers(), pool="task").run(Add(context=context, command_id="cmd_1"))

    thinking, handled = lines(page)
    whose = {
        "request_id": "req_7",
        "correlation_id": "cor_1",
        "guild_id": "guild_1",
        "user_id": "usr_1",
        "command_id": "cmd_1",
        "message_type": "Add",
        "pool": "task",
    }
    assert (thinking["message"], handled["message"]) == ("thinking", "message_handled")
    assert thinking.items() >= whose.items()
    assert handled.items() >= (whose | {"outcome": "ok"}).items()
    assert handled["duration_ms"] >= 0


async def test_a_delivery_names_its_event_and_the_thing_that_changed(page: io.StringIO) -> None:
    incident = "inc_01k0000000000000000000000a"
    delivery = deliver_event("rag.projection", stored_event(5, aggregate=incident))

    await Handling(Speaker().handlers()).run(delivery)

    (heard,) = lines(page)
    assert (heard["event_id"], heard["entity_id"]) == ("evt_5", incident)
    assert heard["correlation_id"] == f"cor_{incident}"
    assert "request_id" not in heard


async def test_what_outlives_the_message_no_longer_speaks_for_it(page: io.StringIO) -> None:
    speaker = Speaker()
    await Handling(speaker.handlers()).run(Add(context=CONTEXT, command_id="cmd_1"))

    speaker.over.set()
    assert speaker.later is not None
    await speaker.later

    assert lines(page)[-1]["message"] == "later"
    assert "correlation_id" not in lines(page)[-1]


async def test_a_bug_is_an_error_with_its_fields_and_where_it_happened(page: io.StringIO) -> None:
    await Handling(Abacus().handlers()).run(Break(context=CONTEXT))

    (failed,) = [line for line in lines(page) if line["level"] == "error"]
    assert (failed["message"], failed["message_type"]) == ("message_failed", "Break")
    assert "RuntimeError" in failed["exception"]


def test_what_a_library_warns_of_is_a_line_of_ours(page: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("is %s", "odd")
    logging.getLogger("somebody.else").info("is fine")

    (line,) = lines(page)
    assert (line["level"], line["logger"], line["message"]) == (
        "warning",
        "somebody.else",
        "is odd",
    )
    assert line["timestamp"]
