"""Spans: whose trace, below what, and that nobody pays who does not trace."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime import tracing
from actors.runtime.envelope import Envelope
from actors.runtime.pickling import dumps
from actors.runtime.tracing import Kind, Span
from tests.unit.runtime.member_side import Connection, ask, mailbox
from tests.unit.runtime.samples import CONTEXT, Abacus, Echo, Refuse

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    """Everything that ended; tracing is on."""
    ended: list[Span] = []
    tracing.switch_on(ended.append, ratio=1.0)
    yield ended
    tracing.switch_off()


def traceparent(flags: str = "01") -> dict[bytes, bytes]:
    return {b"traceparent": f"00-{TRACE}-{PARENT}-{flags}".encode()}


def parents(spans: list[Span]) -> dict[str, str]:
    """Name → name of the parent; empty: the first, or a parent that is missing."""
    names = {span.place.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_id, "") for span in spans}


async def test_what_a_request_causes_is_one_tree(spans: list[Span]) -> None:
    box = mailbox(Connection(Abacus()))

    with tracing.request("cor_1", {}, begins=True) as request:
        request.rename("POST /incidents")
        with tracing.span("ask incident", Kind.CLIENT):
            await ask(box, Echo(context=CONTEXT))
        tracing.published("evt_1", "sage.incident.created", "cor_1")
    with tracing.delivery("deliver task", "evt_1", "cor_1"):  # another process, hours later
        await ask(box, Echo(context=CONTEXT))

    assert {span.place.trace_id for span in spans} == {tracing.first_of("cor_1").trace_id}
    tree = {(span.name, parents([one for one in spans])[span.name]) for span in spans}
    assert tree == {
        ("POST /incidents", ""),
        ("ask incident", "POST /incidents"),
        ("Echo", "deliver task"),
        ("publish sage.incident.created", "POST /incidents"),
        ("deliver task", "publish sage.incident.created"),
    }
    echoes = [span.parent_id for span in spans if span.name == "Echo"]
    by_name = {span.name: span.place.span_id for span in spans}
    assert echoes == [by_name["ask incident"], by_name["deliver task"]]


async def test_a_refusal_is_seen_at_the_member_that_refused(spans: list[Span]) -> None:
    box = mailbox(Connection(Abacus()))

    with tracing.request("cor_1", {}, begins=True):
        await asyncio.gather(ask(box, Refuse(context=CONTEXT)), return_exceptions=True)

    (refused,) = [span for span in spans if span.name == "Refuse"]
    assert (refused.failed, refused.kind) == ("not_found", Kind.SERVER)


def test_an_event_of_another_correlation_is_linked_with_what_caused_it(spans: list[Span]) -> None:
    with tracing.request("cor_2", {}, begins=True):
        tracing.published("evt_1", "sage.incident.resolved", "cor_1")

    published, request = spans
    assert published.place.trace_id == tracing.first_of("cor_1").trace_id
    assert published.parent_id == tracing.first_of("cor_1").span_id
    assert published.link == request.place


def test_work_that_nobody_asked_for_is_a_tree_of_its_own(spans: list[Span]) -> None:
    tracing.published("evt_1", "sage.rag.document.embedded", "cmd_1")

    first, published = spans
    assert (first.parent_id, published.parent_id) == (0, first.place.span_id)


def test_a_callers_trace_is_gone_on_with(spans: list[Span]) -> None:
    correlation_id = tracing.correlation_of(traceparent())

    with tracing.request(correlation_id, traceparent(), begins=True):
        pass
    with tracing.delivery("deliver", "evt_1", correlation_id):
        pass

    request, delivery = spans
    assert request.place.trace_id == delivery.place.trace_id == int(TRACE, 16)
    assert request.parent_id == int(PARENT, 16)


def test_each_request_of_a_callers_trace_has_a_span_of_its_own(spans: list[Span]) -> None:
    for _ in range(2):
        correlation_id = tracing.correlation_of(traceparent())
        with tracing.request(correlation_id, traceparent(), begins=True):
            tracing.published("evt_1", "custom", correlation_id)

    requests = [span for span in spans if span.name == "request"]
    published = [span for span in spans if span.name != "request"]
    assert {span.place.trace_id for span in spans} == {int(TRACE, 16)}
    assert {span.parent_id for span in requests} == {int(PARENT, 16)}
    assert len({span.place.span_id for span in requests}) == 2
    assert [span.parent_id for span in published] == [span.place.span_id for span in requests]


def test_requests_of_one_given_correlation_hang_on_the_same_span(spans: list[Span]) -> None:
    for _ in range(2):
        with tracing.request("mine", traceparent(), begins=False):
            pass

    told, one, again, other = spans
    assert told.place == again.place == tracing.first_of("mine")
    assert one.parent_id == other.parent_id == told.place.span_id
    assert one.place != other.place
    assert one.link is not None
    assert one.link.trace_id == int(TRACE, 16)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"01-" + TRACE.encode() + b"-" + PARENT.encode() + b"-01",
        b"00-" + b"0" * 32 + b"-" + PARENT.encode() + b"-01",
        b"00-" + TRACE.encode() + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE.encode().upper() + b"-" + PARENT.encode() + b"-01",
        b"\xff" * 55,
    ],
)
@pytest.mark.usefixtures("spans")
def test_what_is_no_traceparent_begins_a_trace_of_ours(header: bytes) -> None:
    assert tracing.correlation_of({b"traceparent": header}) == ""


@given(st.text(min_size=1, max_size=64))
def test_ids_follow_from_the_correlation_and_are_never_zero(correlation_id: str) -> None:
    first = tracing.first_of(correlation_id)

    assert first == tracing.first_of(correlation_id)
    assert 0 < first.trace_id < 1 << 128
    assert 0 < first.span_id < 1 << 64


def test_all_agree_on_which_correlations_are_traced() -> None:
    ended: list[Span] = []
    tracing.switch_on(ended.append, ratio=0.25)
    try:
        for number in range(400):
            with tracing.request(f"cor_{number}", {}, begins=True):
                tracing.published(f"evt_{number}", "custom", f"cor_{number}")
            with tracing.delivery("deliver", f"evt_{number}", f"cor_{number}"):
                pass
        whole = len(ended)
        with tracing.request(tracing.correlation_of(traceparent("01")), {}, begins=True):
            pass
        asked_for = len(ended) - whole
    finally:
        tracing.switch_off()

    traces = [span.place.trace_id for span in ended[:whole]]
    assert {traces.count(trace_id) for trace_id in traces} == {3}
    assert 60 <= len(set(traces)) <= 140
    assert asked_for == 1


def test_who_does_not_trace_sends_and_makes_nothing() -> None:
    with tracing.request("cor_1", traceparent(), begins=True) as request:
        inner = tracing.span("sql")
        sent = tracing.carried()

    assert request is inner is tracing.NOTHING
    assert sent == tracing.correlation_of(traceparent()) == ""
    assert tracing.received("0" * 48, "handle") is tracing.NOTHING


def test_an_envelope_without_a_trace_is_what_the_version_before_reads() -> None:
    plain, traced = Envelope(1, b"x", 1.0, 1), Envelope(1, b"x", 1.0, 1, "t" * 48)

    _, arguments = plain.__reduce__()

    assert len(arguments) == 4
    assert [pickle.loads(dumps(one)) for one in (plain, traced)] == [plain, traced]  # noqa: S301  # ours


def test_nothing_of_opentelemetry_is_imported_unless_wanted() -> None:
    program = (
        "import sys; from actors.runtime import observed;"
        "from actors.settings import GuildSettings;"
        "observed.begin(GuildSettings(), 'test');"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
