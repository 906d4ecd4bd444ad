"""The steps of a production start that the local stack takes by itself."""

import asyncio
import threading
from collections.abc import Iterator

import asyncpg
import pytest

from actors.settings import settings
from cluster import bootstrap, migrate
from cluster.process import free_ports
from cluster.services import PostgresServer
from tests.fixtures.services import run_now, service_folder

pytestmark = pytest.mark.integration

_ROLES = {
    "DATABASE_URL": "guild_app:the%2Fapp",
    "GUILD_LOG_DATABASE_URL": "guild_log:the-log",
    "GUILD_MIGRATION_DATABASE_URL": "guild_owner:the-owner",
}


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with service_folder() as folder:
        server = PostgresServer(
            folder / "pg", port=free_ports(1)[0], password="admin", environment={}, durable=False
        )
        server.prepare()
        run_now(server.start(timeout_s=60))
        yield server
        server.stop()


def test_the_database_of_the_environment_is_prepared_and_migrated_once_it_answers(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, login in _ROLES.items():
        monkeypatch.setenv(name, f"postgresql://{login}@127.0.0.1:{server.port}/guild")
    for module in (bootstrap, migrate):
        monkeypatch.setattr(module, "settings", settings.__wrapped__)
    admin_url = f"postgresql://postgres:admin@127.0.0.1:{server.port}/postgres"

    prepared = bootstrap.main(["--admin-url", admin_url, "--from-environment"])

    printed = capsys.readouterr()
    assert (prepared, printed.out) == (0, ""), printed.err

    server.stop()
    assert migrate.main() == 1
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(migrate.main(["--wait", "60"])))
    waiting.start()
    run_now(server.start(timeout_s=60))
    waiting.join()

    assert codes == [0]
    assert "applied" in capsys.readouterr().out
    asyncio.run(_signs_in(f"postgresql://guild_app:the%2Fapp@127.0.0.1:{server.port}/guild"))


def test_a_role_whose_password_is_not_given_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, login in (_ROLES | {"GUILD_LOG_DATABASE_URL": "guild_app:x"}).items():
        monkeypatch.setenv(name, f"postgresql://{login}@127.0.0.1:1/guild")
    monkeypatch.setattr(bootstrap, "settings", settings.__wrapped__)

    code = bootstrap.main(["--admin-url", "postgresql://127.0.0.1:1/x", "--from-environment"])

    assert code == 1
    assert "guild_log" in capsys.readouterr().err


async def _signs_in(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.close()
