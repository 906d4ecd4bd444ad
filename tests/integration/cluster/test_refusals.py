"""What keeps a stack from starting: one clear sentence each, and a non-zero exit."""

import fcntl
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from cluster.process import free_ports
from tests.fixtures.services import PreparedDatabase, run_now
from tests.integration.cluster.stack_process import ROOT, clean_environment, refused

pytestmark = pytest.mark.integration


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        sentence = refused(tmp_path, free_ports(1)[0])

    assert sentence.startswith(f"another stack is starting on {tmp_path}")


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        sentence = refused(tmp_path, port)

    assert sentence.startswith(f"port {port} is taken by another program")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    sentence = refused(tmp_path / "file" / "guild", free_ports(1)[0])

    assert "cannot be written (Not a directory): set GUILD_DATA_DIR" in sentence


def test_a_database_without_the_vector_extension_is_refused(
    tmp_path: Path, fresh_database: PreparedDatabase
) -> None:
    urls = {
        "DATABASE_URL": fresh_database.app_url,
        "GUILD_LOG_DATABASE_URL": fresh_database.log_url,
        "GUILD_MIGRATION_DATABASE_URL": fresh_database.owner_url,
    }

    async def drop() -> None:
        connection = await asyncpg.connect(fresh_database.admin_url)
        await connection.execute("DROP EXTENSION vector CASCADE")
        await connection.close()

    run_now(drop())

    sentence = refused(tmp_path, free_ports(1)[0], **urls)

    assert "has no `vector` extension" in sentence
    assert "python -m cluster.bootstrap" in sentence


def test_a_given_database_needs_the_urls_of_all_roles(tmp_path: Path) -> None:
    sentence = refused(tmp_path, free_ports(1)[0], DATABASE_URL="postgresql://app@127.0.0.1/x")

    assert "GUILD_LOG_DATABASE_URL and GUILD_MIGRATION_DATABASE_URL must be too" in sentence


def test_a_given_redis_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    nobody = free_ports(1)[0]

    sentence = refused(tmp_path, free_ports(1)[0], REDIS_URL=f"redis://127.0.0.1:{nobody}/0")

    assert sentence.startswith("the server of REDIS_URL cannot be reached")


def test_production_without_secrets_is_refused(tmp_path: Path) -> None:
    sentence = refused(tmp_path, free_ports(1)[0], ENV="production")

    assert sentence == (
        "ENV=production needs DATABASE_URL, GUILD_LOG_DATABASE_URL, REDIS_URL,"
        " JWT_SECRET, SECRET_KEY"
    )


def test_help_shows_an_example() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cluster.up", "--help"],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "python -m cluster.up --port 8080" in done.stdout
