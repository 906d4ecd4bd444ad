"""A statement is counted by its verb, and shown where its trace is sampled."""

from collections.abc import Iterator

import pytest

from actors import metrics
from actors.runtime import tracing
from actors.runtime.tracing import Kind, Place, Span
from actors.storage.measured import Measured


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    ended: list[Span] = []
    tracing.switch_on(ended.append, ratio=1.0)
    yield ended
    tracing.switch_off()


def counted(verb: str) -> float:
    value = metrics.REGISTRY.get_sample_value
    return value("elders_guild_query_duration_seconds_count", {"statement": verb}) or 0.0


@pytest.mark.parametrize(
    ("query", "verb"),
    [("\n  SELECT 1", "select"), ("VACUUM", "other"), ("", "other"), ("COMMIT", "commit")],
)
def test_a_statement_is_counted_by_its_verb(query: str, verb: str) -> None:
    before = counted(verb)

    with Measured(query):
        pass

    assert counted(verb) == before + 1


def test_a_statement_of_a_trace_is_shown_in_one_line(spans: list[Span]) -> None:
    with Span("request", Kind.SERVER, Place(5, 1), 0), Measured("SELECT *\n  FROM tasks"):
        pass

    sql, _ = spans
    assert (sql.name, sql.attributes) == ("sql", {"db.query.text": "SELECT * FROM tasks"})


def test_a_statement_of_no_trace_is_no_span(spans: list[Span]) -> None:
    with Measured("SELECT 1"):
        pass

    assert spans == []
