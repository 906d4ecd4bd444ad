"""A log line is one JSON object in ASCII, whatever is said."""

import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import structlog

from actors.runtime import logs


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", written)
    logs.configure.cache_clear()
    logs.configure("INFO")
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
