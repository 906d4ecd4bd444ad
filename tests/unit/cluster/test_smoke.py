"""When a generation may be sent requests."""

import pytest

from cluster.smoke import Seen, faults

GOOD = {
    "/healthz": Seen(200, "1"),
    "/readyz": Seen(200, "1"),
    "/api/v1/incidents": Seen(401, "1"),
    "/metrics": Seen(404),
}


def test_one_that_answers_as_a_guild_has_no_faults() -> None:
    assert faults(GOOD, front=False) == []
    assert faults(GOOD, front=True) == []


@pytest.mark.parametrize(
    ("path", "answer", "says"),
    [
        ("/healthz", Seen(0), "/healthz answers nothing and not 200"),
        ("/readyz", Seen(503, "1"), "/readyz answers 503 and not 200"),
        ("/api/v1/incidents", Seen(200, "1"), "/api/v1/incidents answers 200 and not 401"),
        ("/readyz", Seen(200), "/readyz is answered by something that is no guild"),
        ("/metrics", Seen(200, "1"), "/metrics answers 200 and not 404"),
    ],
)
def test_each_fault_is_a_sentence(path: str, answer: Seen, says: str) -> None:
    assert faults(GOOD | {path: answer}, front=True) == [says]


def test_a_generation_may_show_its_numbers_to_its_own_machine() -> None:
    assert faults(GOOD | {"/metrics": Seen(200, "1")}, front=False) == []
