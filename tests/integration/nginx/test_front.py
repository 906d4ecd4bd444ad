"""What nginx does in front of two nodes: whom it believes, what it refuses, what it repeats."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.process import free_ports
from tests.fixtures.require import require_service
from tests.integration.nginx.nodes import Front, Node, Taken, front, front_files, tried, until

pytestmark = pytest.mark.integration

KEY = {"Idempotency-Key": "the-same"}
Nodes = tuple[Node, Node]
_ANY = "/api/v1/200"


@pytest.fixture(scope="module")
def both() -> Iterator[Nodes]:
    """The two nodes of the whole module."""
    ports = free_ports(2)
    nodes = Node("a", ports[0]), Node("b", ports[1])
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@pytest.fixture
def nodes(both: Nodes) -> Nodes:
    """Alive, and as new."""
    for node in both:
        node.forget()
    return both


@pytest.fixture
def nginx(nodes: Nodes, tmp_path: Path) -> Iterator[Front]:
    """In front of them; one that has seen none of them fail yet."""
    program = require_service("nginx")
    [port] = free_ports(1)
    config = front_files(tmp_path / "guild", port=port, nodes=[node.port for node in nodes])
    with front(program, config, port=port) as running:
        yield running


@pytest.fixture
def client(nginx: Front) -> Iterator[httpx.Client]:
    """Speaks to nginx."""
    with nginx.client() as client:
        yield client


def taken(nodes: Nodes) -> list[Taken]:
    return [request for node in nodes for request in node.taken]


def test_the_shipped_configuration_is_one_that_nginx_takes(tmp_path: Path) -> None:
    program = require_service("nginx")
    port, node = free_ports(2)
    config = front_files(tmp_path / "guild", port=port, nodes=[node])

    status, printed = tried(program, config)

    assert status == 0, printed
    assert "warn" not in printed


def test_who_calls_is_what_the_connection_says(nginx: Front, nodes: Nodes) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.7, 203.0.113.8",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Forwarded-Proto": "http",
        "Forwarded": "for=203.0.113.7",
        "X-Real-IP": "203.0.113.7",
    }

    with nginx.client(address="127.0.0.9") as client:
        client.get("/api/v1/200", headers=forged)

    [request] = taken(nodes)
    assert request.header("x-forwarded-for") == ["127.0.0.9"]
    assert request.header("x-forwarded-proto") == ["https"]
    for name in ("x-forwarded-host", "forwarded", "x-real-ip"):
        assert request.header(name) == []


def test_headers_that_serve_would_obey_do_not_arrive(client: httpx.Client, nodes: Nodes) -> None:
    orders = {
        "x-request-timeout-seconds": "0.001",
        "x-request-disconnect-disabled": "1",
        "serve_multiplexed_model_id": "model",
        "x-session-id": "mine",
    }

    client.get("/api/v1/200", headers={**orders, "Guild-Position": "1-2-3"})

    [request] = taken(nodes)
    assert request.header("guild-position") == ["1-2-3"]
    assert [request.header(name) for name in orders] == [[], [], [], []]


def test_a_request_has_one_name_from_the_first_hop_on(client: httpx.Client, nodes: Nodes) -> None:
    client.get("/api/v1/200")
    client.get("/api/v1/200", headers={"X-Request-Id": "mine"})

    names = [request.header("x-request-id") for request in taken(nodes)]
    assert sorted(len(name) for name in names) == [1, 1]
    assert ["mine"] in names


def test_headers_that_are_too_large_are_refused(client: httpx.Client, nodes: Nodes) -> None:
    fits = client.get("/api/v1/200", headers={"X-Large": "x" * 6_000})
    one = client.get("/api/v1/200", headers={"X-Large": "x" * 8_000})
    many = client.get("/api/v1/200", headers={f"X-{n}": "x" * 1_000 for n in range(20)})

    assert fits.status_code == 200
    assert (one.status_code, many.status_code) == (431, 431)
    assert one.headers["content-type"] == "application/problem+json"
    assert one.json()["type"] == "urn:elders-guild:problem:headers_too_large"
    assert len(taken(nodes)) == 1


def test_one_who_sends_headers_slowly_is_cut_off(nodes: Nodes, tmp_path: Path) -> None:
    [port] = free_ports(1)
    places = [node.port for node in nodes]
    config = front_files(tmp_path / "guild", port=port, nodes=places, header_timeout_s=1)
    with (
        front(require_service("nginx"), config, port=port) as nginx,
        nginx.connected() as connection,
    ):
        connection.sendall(b"GET /api/v1/200 HTTP/1.1\r\nHost: guild\r\n")

        try:
            answered = connection.recv(1_024)  # fails where nothing comes for ten seconds
        except ConnectionResetError:
            answered = b""

    assert not answered.startswith(b"HTTP/1.1 200")
    assert taken(nodes) == []


@pytest.mark.parametrize(
    "path", ["/metrics", "/-/healthz", "/-/routes", "//-/routes", "/x/..%2f-/routes", "/%2d/routes"]
)
def test_numbers_and_the_pages_of_serve_are_closed(nginx: Front, nodes: Nodes, path: str) -> None:
    with nginx.connected() as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: guild\r\n\r\n".encode())
        answer = connection.recv(4_096)

    assert answer.startswith(b"HTTP/1.1 404")
    assert b"application/problem+json" in answer
    assert taken(nodes) == []


@pytest.mark.parametrize(
    ("failing", "method", "headers"),
    [
        ("dead", "GET", {}),
        ("away", "GET", {}),
        ("breaks", "GET", {}),
        ("away", "PUT", {}),
        ("breaks", "DELETE", {}),
        ("dead", "POST", KEY),
        ("away", "POST", KEY),
        ("breaks", "POST", KEY),
        ("away", "PATCH", KEY),
    ],
)
def test_what_may_be_repeated_is_answered_by_the_other_node(
    client: httpx.Client, nodes: Nodes, failing: str, method: str, headers: dict[str, str]
) -> None:
    fail(nodes[0], failing)

    answers = [client.request(method, "/api/v1/200", headers=headers) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.json()["node"] for answer in answers} == {"b"}


def test_a_body_is_repeated_whole(client: httpx.Client, nodes: Nodes) -> None:
    nodes[0].away = True
    sent = b"x" * 1_000_000

    answers = [client.post("/api/v1/200", headers=KEY, content=sent) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert {request.body for request in taken(nodes)} == {sent}


@pytest.mark.parametrize("failing", ["away", "breaks"])
@pytest.mark.parametrize(("path", "headers"), [("/api/v1/200", {}), ("/oauth/200", KEY)])
def test_a_post_without_a_key_is_sent_once(
    client: httpx.Client, nodes: Nodes, failing: str, path: str, headers: dict[str, str]
) -> None:
    for node in nodes:
        fail(node, failing)

    answer = client.post(path, headers=headers)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert len(taken(nodes)) == 1


def test_a_post_without_a_key_goes_to_the_node_that_listens(
    client: httpx.Client, nodes: Nodes
) -> None:
    nodes[0].stop()

    answers = [client.post("/api/v1/200") for _ in range(4)]

    assert [answer.json()["node"] for answer in answers] == ["b"] * 4


@pytest.mark.parametrize("failing", ["dead", "away"])
def test_where_no_node_is_left_the_answer_is_503_and_says_when_to_come_back(
    client: httpx.Client, nodes: Nodes, failing: str
) -> None:
    for node in nodes:
        fail(node, failing)

    answer, signing_in = client.get("/api/v1/200"), client.post("/oauth/token")

    assert (answer.status_code, signing_in.status_code) == (503, 503)
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:elders-guild:problem:overloaded"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert signing_in.json()["error"] == "temporarily_unavailable"


def test_a_failure_of_the_guilds_own_keeps_its_name(client: httpx.Client, nodes: Nodes) -> None:
    answer = client.get("/api/v1/500")

    assert answer.status_code == 500
    assert "retry-after" not in answer.headers
    assert answer.headers["x-request-id"] == "req_of_the_guild"
    assert answer.json()["request_id"] == "req_of_the_guild"
    assert answer.json()["type"] == "urn:elders-guild:problem:internal_error"


def test_a_request_that_always_fails_takes_no_node_away_from_the_others(
    client: httpx.Client, nodes: Nodes
) -> None:
    failed = [client.get("/api/v1/500").status_code for _ in range(8)]

    answers = [client.get("/api/v1/200") for _ in range(8)]

    assert failed == [500] * 8
    assert [answer.status_code for answer in answers] == [200] * 8


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 429, 503, 504])
def test_every_other_answer_of_the_guild_passes_as_it_is(
    client: httpx.Client, nodes: Nodes, status: int
) -> None:
    answer = client.get(f"/api/v1/{status}")

    assert answer.status_code == status
    assert answer.json()["said"] == "by the guild"
    assert len(taken(nodes)) == 1


def test_events_arrive_one_by_one(client: httpx.Client, nodes: Nodes) -> None:
    seen = []

    with client.stream("GET", "/api/v1/events/stream") as answer:
        for line in answer.iter_lines():
            if line:
                seen.append(line)
                for node in nodes:  # it sends the next one only now
                    node.may_go_on.set()

    assert seen == ["data: 0", "data: 1", "data: 2"]


def test_nothing_that_may_be_repeated_fails_while_a_node_stops_and_starts(
    nginx: Front, nodes: Nodes
) -> None:
    ended = threading.Event()
    statuses: list[int] = []

    def ask(number: int) -> None:
        with nginx.client() as client:
            while not ended.is_set():
                for method in ("GET", "POST"):
                    key = {"Idempotency-Key": f"{number}"}
                    try:
                        statuses.append(client.request(method, _ANY, headers=key).status_code)
                    except httpx.HTTPError:
                        statuses.append(0)
                time.sleep(0.02)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for asker in askers:
        asker.start()
    try:
        for node in (*nodes, *nodes):
            until_asked(node)
            node.stop()
            until_asked(nodes[0] if node is nodes[1] else nodes[1])
            node.start()
            until_asked(node)
    finally:
        ended.set()
        for asker in askers:
            asker.join()

    assert set(statuses) == {200}


def until_asked(node: Node, *, times: int = 20) -> None:
    """Returns when nginx has asked it so many times more."""
    wanted = len(node.taken) + times
    until(lambda: len(node.taken) >= wanted)


def fail(node: Node, how: str) -> None:
    match how:
        case "dead":
            node.stop()
        case "away":
            node.away = True
        case _:
            node.breaks = True
