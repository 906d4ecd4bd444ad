"""PostgreSQL under the accounts and accidents that a laptop, a container and CI bring."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from cluster.binaries import find_postgres
from cluster.bootstrap import Passwords, bootstrap
from cluster.problem import StackProblem
from cluster.process import free_ports, parse_stat
from cluster.root import choose_runner
from cluster.services import PostgresServer
from tests.fixtures.services import PreparedDatabase, run_now, service_folder
from tests.integration.cluster.stack_process import ROOT, eventually

pytestmark = pytest.mark.integration
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a way around")


def _runs(pid: int) -> bool:
    """Whether it does anything still; one that nobody has collected does not."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())[0] not in "ZX"
    except FileNotFoundError:
        return False


def make(folder: Path) -> PostgresServer:
    return PostgresServer(
        folder, port=free_ports(1)[0], password="admin", environment={}, durable=False
    )


def starts_and_answers(folder: Path) -> bool:
    server = make(folder)
    server.prepare()
    try:
        run_now(server.start(timeout_s=30))
        return run_now(server.answers())
    finally:
        server.stop()


@as_root
def test_root_starts_it_under_an_account_that_reaches_the_folder() -> None:
    with service_folder() as base:
        answered = starts_and_answers(base / "pg")

        owner = (base / "pg" / "data").stat().st_uid
    assert answered
    assert owner != 0


@as_root
def test_root_starts_it_in_a_namespace_below_a_folder_that_only_root_enters(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)

    answered = starts_and_answers(tmp_path / "pg")

    assert answered
    assert (tmp_path / "pg" / "data").stat().st_uid == 0


@as_root
def test_root_copies_programs_that_no_other_account_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.root.shutil.which", lambda _: None)  # no namespaces here
    programs = find_postgres()
    hidden = tmp_path / "site" / programs.parents[1].name
    shutil.copytree(programs.parents[1], hidden, symlinks=True)
    libraries = programs.parents[1].with_name(f"{programs.parents[1].name}.libs")
    shutil.copytree(libraries, tmp_path / "site" / libraries.name)
    tmp_path.chmod(0o700)

    with service_folder() as base:
        (base / "pg").mkdir(mode=0o700)
        runner = choose_runner(hidden / programs.relative_to(programs.parents[1]), base / "pg")

        assert runner.identity is not None
        assert runner.programs.is_relative_to(base / "pg" / "programs")


def test_a_killed_server_comes_back_with_what_was_committed() -> None:
    async def keep(url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        await connection.close()

    async def kept(url: str) -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval("SELECT n FROM kept"))
        finally:
            await connection.close()

    with service_folder() as base:
        server = make(base / "pg")
        server.prepare()
        run_now(server.start(timeout_s=30))
        run_now(keep(server.admin_url))

        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        run_now(server.start(timeout_s=30))  # at once: its predecessor may not be reaped yet

        found = run_now(kept(server.admin_url))
        server.stop()
    assert found == 7


def test_a_child_that_never_hears_of_the_death_does_not_keep_the_server_down() -> None:
    async def server_process(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))

    async def play(server: PostgresServer) -> tuple[int, bool]:
        await server.start(timeout_s=30)
        connection = await asyncpg.connect(server.admin_url)
        deaf = await server_process(connection)
        assert server.pid is not None
        # As one does that waits for a lock of a killed one: it does nothing, for ever.
        os.kill(deaf, signal.SIGSTOP)
        try:
            os.kill(server.pid, signal.SIGKILL)

            await server.start(timeout_s=30)
            connection.terminate()
            return deaf, await server.answers()
        finally:
            with suppress(ProcessLookupError):
                os.kill(deaf, signal.SIGCONT)

    with service_folder() as base:
        server = make(base / "pg")
        server.prepare()

        deaf, answers = run_now(play(server))

        server.stop()
    assert answers
    eventually(lambda: not _runs(deaf), timeout_s=30, what="the deaf child has ended")


def test_a_start_leaves_the_children_of_a_living_server_alone() -> None:
    with service_folder() as base:
        server = make(base / "pg")
        server.prepare()
        run_now(server.start(timeout_s=30))
        second = PostgresServer(
            base / "pg", port=free_ports(1)[0], password="admin", environment={}, durable=False
        )
        second.prepare()

        with pytest.raises(StackProblem, match="does not answer"):
            run_now(second.start(timeout_s=1))

        lived = run_now(server.answers())
        log = server.log.read_text()
        server.stop()
    assert lived
    assert "terminated by signal 9" not in log


def test_passwords_stand_in_private_files_only() -> None:
    with service_folder() as base:
        server = make(base / "pg")
        server.prepare()

        left = [path.name for path in (base / "pg").iterdir()]
        mode = stat.S_IMODE((base / "pg" / "data").stat().st_mode)
    assert left == ["data"]
    assert mode == 0o700


_OWNER = """
import asyncio, sys, time
from pathlib import Path
from cluster.services import PostgresServer
server = PostgresServer(Path(sys.argv[1]), port=int(sys.argv[2]), password="admin",
                        environment={}, durable=False)
server.prepare()
asyncio.run(server.start(timeout_s=30))
print(server.pid, flush=True)
time.sleep(60)
"""


def test_it_stops_cleanly_when_its_owner_is_killed() -> None:
    with service_folder() as base:
        owner = subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(base / "pg"), str(free_ports(1)[0])],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout is not None
        postmaster = int(owner.stdout.readline())

        owner.kill()
        owner.wait()

        log = base / "pg.log"
        eventually(
            lambda: "database system is shut down" in log.read_text(),
            timeout_s=60,
            what=f"{postmaster} has stopped",
        )
        assert not (base / "pg" / "data" / "postmaster.pid").exists()


async def test_preparing_a_server_twice_keeps_the_data_and_takes_the_new_passwords(
    fresh_database: PreparedDatabase,
) -> None:
    passwords = Passwords(owner="owner-of-tests", app="app-of-tests", log="log-of-tests")

    again = await bootstrap(fresh_database.admin_url, passwords, database=fresh_database.name)

    connection = await asyncpg.connect(again.app)
    assert await connection.fetchval("SELECT count(*) FROM events") == 0
    await connection.close()
