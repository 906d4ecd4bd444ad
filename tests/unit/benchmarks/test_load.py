"""The load client counts what came back, and the gateway's goals read the right figures."""

import pytest

from benchmarks.gateway import goals
from benchmarks.load.client import Seen, reply_end, request

REPLY = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 2\r\n\r\n{}"


def test_a_reply_ends_where_its_length_says_and_not_before() -> None:
    ends = [reply_end(REPLY[:length]) for length in range(len(REPLY))]

    assert set(ends) == {None}
    assert reply_end(REPLY + b"HTTP/1.1") == len(REPLY)


def test_a_reply_without_a_length_is_refused_and_not_waited_for() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        reply_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


def test_a_request_names_its_host_and_path() -> None:
    assert request(8000, "/noop") == b"GET /noop HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
    assert request(8000, "/noop", "a.b").endswith(b"\r\nAuthorization: Bearer a.b\r\n\r\n")


def test_the_summary_counts_only_replies() -> None:
    seen = Seen(latencies_ms=[1.0] * 95 + [9.0] * 5, failed=2, unanswered=1, seconds=10.0)

    summary = seen.summary()

    assert summary["rps"] == 10.0
    assert (summary["p50_ms"], summary["p95_ms"], summary["p99_ms"]) == (1.0, 1.0, 9.0)
    assert (summary["failed"], summary["unanswered"]) == (2, 1)


def test_a_run_without_a_single_reply_has_no_figures() -> None:
    with pytest.raises(ValueError, match="no reply at all; 3 failed"):
        Seen(failed=3, seconds=1.0).summary()


def test_each_goal_reads_its_own_row() -> None:
    medians = {
        "c16 r1": {"mailbox_noop": 0.7, "mailbox_handle": 9.0},
        "c64 r1": {"mailbox_noop": 0.4, "mailbox_handle": 9.0},
        "c16 r2": {"mailbox_noop": 0.1, "mailbox_handle": 2.5},
        "c64 r2": {"mailbox_noop": 0.1, "mailbox_handle": 1.5},
        "open load": {"p95_ratio": 1.5, "rate_ratio": 0.6},
    }

    met = {goal.name: goal.met for goal in goals(medians)}

    assert met == {
        "mailbox_noop_c16_r1": True,
        "mailbox_noop_c64_r1": False,
        "mailbox_handle_c16_r2": True,
        "mailbox_handle_c64_r2": False,
        "slow_neighbours_p95": True,
        "slow_neighbours_rate": False,
    }


def test_what_was_not_measured_is_unmet() -> None:
    assert not any(goal.met for goal in goals({}))
