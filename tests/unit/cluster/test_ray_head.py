"""The command line and the environment of Ray's head."""

from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cluster.environment import Addresses, worker_environment
from cluster.ports import Ports
from cluster.ray_head import GcsStore, ray_environment, start_command

PORTS = Ports(**{name: 20_000 + number for number, name in enumerate(Ports.__dataclass_fields__)})
STORE = GcsStore(port=PORTS.gcs_store, password="store-secret")
TEMP = Path("/tmp/guild-x")  # noqa: S108 - only a name here
ADDRESSES = Addresses(
    app_url="postgresql://app",
    log_url="postgresql://log",
    owner_url="postgresql://owner",
    redis_url="redis://tail",
    jwt_secret="jwt",
    secret_key="key",
)


def workers(caller: dict[str, str]) -> dict[str, str]:
    return worker_environment(
        caller,
        stack_id="one",
        data_dir=Path("/var/guild"),
        addresses=ADDRESSES,
        ray_address="127.0.0.2:1",
        ray=ray_environment(PORTS, token="token", store=STORE, namespace="n", temp_dir=TEMP),
    )


def test_every_port_of_the_head_is_ours() -> None:
    command = start_command(PORTS, store=STORE, temp_dir=TEMP, object_store_mib=256, cpus=4)
    environment = ray_environment(PORTS, token="token", store=STORE, namespace="n", temp_dir=TEMP)

    said = " ".join(command) + " " + " ".join(environment.values())
    beside_ray = {"http", "postgres", "valkey"}
    for name in Ports.__dataclass_fields__.keys() - beside_ray:
        assert str(getattr(PORTS, name)) in said, name


def test_the_head_asks_for_loopback_and_does_not_block() -> None:
    command = start_command(PORTS, store=STORE, temp_dir=TEMP, object_store_mib=256, cpus=4)

    assert "--node-ip-address=127.0.0.2" in command
    assert "--dashboard-host=127.0.0.1" in command
    assert "--block" not in command
    assert f"--object-store-memory={256 * 1024 * 1024}" in command


def test_authentication_is_set_explicitly() -> None:
    environment = workers({})

    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN"] == "token"


async def test_no_server_believes_what_a_client_says_of_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", workers({})["FORWARDED_ALLOW_IPS"])
    server = ProxyHeadersMiddleware(app, uvicorn.Config(app).forwarded_allow_ips)
    nothing: Any = None
    claims = [(b"x-forwarded-for", b"203.0.113.7")]
    scope: Any = {"type": "http", "client": ("127.0.0.1", 1), "headers": claims}

    await server(scope, nothing, nothing)

    assert seen == [("127.0.0.1", 1)]


def test_the_longest_socket_path_fits() -> None:
    environment = ray_environment(
        PORTS, token="t", store=STORE, namespace="n", temp_dir=Path("/" + "x" * 32)
    )

    node = "f" * 56
    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        path = Path(environment[name])
        assert len(f"{path.parent}/{node}/{path.name}.4194304.tmp") <= 107


def test_indexes_are_kept_with_the_stacks_data_unless_somebody_says_where() -> None:
    name = "GUILD_INDEX__SNAPSHOT_DIR"

    assert workers({})[name] == "/var/guild/index"
    assert workers({name: "/fast/index"})[name] == "/fast/index"


@pytest.mark.parametrize("name", ["GUILD_MIGRATION_DATABASE_URL", "GUILD_ADMIN_DATABASE_URL"])
def test_workers_never_get_the_owners_or_the_administrators_rights(name: str) -> None:
    environment = workers({name: "postgresql://owner"})

    assert "postgresql://owner" not in environment.values()


def test_workers_get_the_callers_settings_but_not_another_cluster() -> None:
    environment = workers({"GUILD_ROUTER__READ_BATCH": "7", "RAY_ADDRESS": "elsewhere:6379"})

    assert environment["GUILD_ROUTER__READ_BATCH"] == "7"
    assert "RAY_ADDRESS" not in environment


def test_a_jobs_python_is_this_one() -> None:
    environment = workers({"PATH": "/usr/bin"})

    first, *rest = environment["PATH"].split(":")
    assert (Path(first) / "python").exists()
    assert rest == ["/usr/bin"]


def test_a_job_finds_the_folder_of_its_stack() -> None:
    environment = workers({"GUILD_DATA_DIR": "relative"})

    assert environment["GUILD_DATA_DIR"] == "/var/guild"
