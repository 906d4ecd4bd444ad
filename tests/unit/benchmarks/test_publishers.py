"""Writers that publish over HTTP learn as much as those that ask the bus."""

import httpx
import orjson
import pytest

from actors.errors import DependencyUnavailable, ValidationError
from benchmarks.faults.publishers import HttpPublisher
from cluster.state import Login
from tests.fixtures.bus_builders import new_event


class Gateway:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.signed_in = 0
        self.posted: list[list[dict[str, object]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/login":
            self.signed_in += 1
            return httpx.Response(200, json={"access_token": f"token-{self.signed_in}"})
        assert request.headers["Authorization"] == f"Bearer token-{self.signed_in}"
        self.posted.append(orjson.loads(request.content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def publisher(self) -> HttpPublisher:
        client = httpx.AsyncClient(
            transport=httpx.MockTransport(self), base_url="http://gateway", timeout=1
        )
        return HttpPublisher(client, Login(name="admin", secret="secret"))


def published(*ids: str) -> httpx.Response:
    return httpx.Response(201, json=[{"id": one, "duplicate": False} for one in ids])


async def test_events_leave_as_one_batch_and_come_back_as_their_ids() -> None:
    gateway = Gateway(published("evt_1", "evt_2"))

    ids = await gateway.publisher().publish(
        [new_event("1", partition_key="order-1"), new_event("2", partition_key="order-2")]
    )

    assert ids == ["evt_1", "evt_2"]
    assert [one["id"] for one in gateway.posted[0]] == ["1", "2"]
    assert [one["partitionkey"] for one in gateway.posted[0]] == ["order-1", "order-2"]
    assert gateway.posted[0][0]["data"] == {"total": 3}


@pytest.mark.parametrize(
    "answer", [httpx.Response(503), httpx.Response(404), httpx.ReadTimeout("late")]
)
async def test_no_answer_and_a_bad_one_leave_the_outcome_open(
    answer: httpx.Response | Exception,
) -> None:
    with pytest.raises(DependencyUnavailable):
        await Gateway(answer).publisher().publish([new_event("1")])


async def test_a_refused_event_is_a_mistake_and_not_an_open_outcome() -> None:
    with pytest.raises(ValidationError):
        await Gateway(httpx.Response(422)).publisher().publish([new_event("1")])


async def test_a_token_that_has_expired_is_replaced_at_the_next_attempt() -> None:
    gateway = Gateway(httpx.Response(401), published("evt_1"))
    publisher = gateway.publisher()

    with pytest.raises(DependencyUnavailable):
        await publisher.publish([new_event("1")])
    ids = await publisher.publish([new_event("1")])

    assert ids == ["evt_1"]
    assert gateway.signed_in == 2
