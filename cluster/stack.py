"""The local stack: in which order it starts, what is watched, and how it ends."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from pydantic import SecretStr

from actors.storage.migrate import MigrationError, migrate
from cluster import marker
from cluster.admin import ADMIN_LOGIN, ALERTMANAGER_CLIENT, ensure_first_guild
from cluster.bootstrap import bootstrap
from cluster.keeper import Listener, Part, keep
from cluster.plan import DATABASE, Plan
from cluster.ports import as_mapping
from cluster.preflight import require_database, require_redis
from cluster.problem import StackProblem
from cluster.process import adopt_orphans, reap_adopted
from cluster.ray_head import SERVERS
from cluster.ray_part import RayPart
from cluster.services import PostgresServer, Service, ValkeyServer
from cluster.state import Login, Stack
from cluster.watchdog import GENTLE_PROGRAMS, Watchdog


class LocalStack:
    """Servers, Ray, pools and the Serve app, started and kept by this one process.

    Belongs to the main thread's event loop.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        """Names everything; starts nothing.

        Args:
            plan: what to start.
            say: takes one line about what happens.

        Raises:
            StackProblem: the Serve config cannot be read.
        """
        self._plan = plan
        self._say = say
        numbers, environment = plan.settings.stack, marker.environment(plan.stack_id)
        self._postgres = PostgresServer(
            plan.folder / "postgres",
            port=plan.ports.postgres,
            password=plan.credentials.postgres_admin,
            environment=environment,
            log=plan.logs / "postgres.log",
            max_connections=numbers.max_connections,
        )
        self._valkey = ValkeyServer(
            plan.folder / "valkey",
            port=plan.ports.valkey,
            password=plan.credentials.valkey,
            environment=environment,
            log=plan.logs / "valkey.log",
            max_memory_mib=numbers.valkey_memory_mib,
        )
        self._ray = RayPart(plan, environment, say)
        self._watchdog = Watchdog(plan.stack_id, plan.logs / "watchdog.log")
        self.state = Stack(
            stack_id=plan.stack_id,
            pid=os.getpid(),
            folder=str(plan.folder.resolve()),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ready=False,
            api_url=plan.api_url,
            ray_address=self._ray.address,
            ray_token=plan.credentials.ray_token,
            dashboard_url=plan.dashboard_url,
            database_url=plan.addresses.app_url,
            log_database_url=plan.addresses.log_url,
            migration_database_url=plan.addresses.owner_url,
            redis_url=plan.addresses.redis_url,
            gcs_store_url=self._ray.store.url,
            ports=as_mapping(plan.ports),
        )

    async def start(self) -> None:
        """Starts everything, as much as possible at once, and returns when the API is ready.

        Raises:
            StackProblem: something does not start; call `stop` nevertheless.
        """
        await self._check_given()
        adopt_orphans()
        self._end_leftovers()
        self._watchdog.start()
        self.state.save()
        await _together(self._start_database(), self._start_redis(), self._ray.start_head())
        await _together(self._first_guild(), self._ray.deploy())
        self.state = self.state.with_(ready=True)
        self._publish()

    async def keep_running(self) -> NoReturn:
        """Starts again what dies, until cancelled. What dies too often rests in between."""
        numbers = self._plan.settings.stack
        listener = Listener(say=self._say, restarted=self._publish, resting=self._note_rest)
        keepers = [keep(part, numbers, listener) for part in self._parts()]
        await _together(self._reap_for_ever(), *keepers)
        raise AssertionError("the reaper never ends")

    def stop(self) -> list[int]:
        """Ends everything in order: Ray, Valkey, PostgreSQL. Blocks; returns pids that remain."""
        timeout_s = self._plan.settings.stack.stop_timeout_s
        marker.end(self._plan.stack_id, timeout_s=timeout_s, spare=SERVERS)
        for service in (self._ray.store, self._valkey, self._postgres):
            service.stop(timeout_s=timeout_s)
        left = marker.end(self._plan.stack_id, timeout_s=timeout_s)
        self._watchdog.stop()
        reap_adopted()
        self.state = self.state.with_(ready=False, pids={})
        self.state.save()
        return left

    async def _check_given(self) -> None:
        """Before anything starts: a wrong address should cost a second, not a minute."""
        at = self._plan.addresses
        if not self._plan.own_database:
            await require_database(at.owner_url, at.app_url, at.log_url)
        if not self._plan.own_redis:
            await require_redis(at.redis_url)

    def _end_leftovers(self) -> None:
        """Of an earlier run whose supervisor and watchdog were both killed."""
        try:
            earlier = Stack.load(self._plan.folder)
        except (ValueError, TypeError):  # written by another version
            return
        if earlier is not None and marker.find(earlier.stack_id):
            self._say("ending what an earlier run left")
            marker.end(
                earlier.stack_id,
                timeout_s=self._plan.settings.stack.stop_timeout_s,
                gently=GENTLE_PROGRAMS,
            )

    async def _start_database(self) -> None:
        at = self._plan.addresses
        if self._plan.own_database:
            await self._start_service(self._postgres)
            await bootstrap(self._plan.admin_url, self._plan.credentials.roles, database=DATABASE)
        try:
            timeout_s = self._plan.settings.database.migration_timeout_s
            applied = await migrate(at.owner_url, timeout_s=timeout_s)
        except MigrationError as error:
            raise StackProblem(f"the migration failed: {error}") from error
        self._say(f"the database is up, {len(applied)} migrations applied")

    async def _start_redis(self) -> None:
        if self._plan.own_redis:
            await self._start_service(self._valkey)
            self._say("Valkey is up")

    async def _start_service(self, service: Service) -> None:
        await asyncio.to_thread(service.prepare)
        await service.start(timeout_s=self._plan.settings.stack.service_timeout_s)

    async def _first_guild(self) -> None:
        credentials, at = self._plan.credentials, self._plan.addresses
        secret_key = {"secret_key": SecretStr(at.secret_key)}
        made = await ensure_first_guild(
            at.owner_url,
            at.app_url,
            config=self._plan.settings.model_copy(update=secret_key),
            admin_password=credentials.admin_password,
            client_secret=credentials.alertmanager_secret,
        )
        if made is None and not self._plan.own_database:
            return  # a server of somebody else's: we know a login only if we made it
        self.state = self.state.with_(
            admin=Login(name=ADMIN_LOGIN, secret=credentials.admin_password),
            alertmanager=Login(name=ALERTMANAGER_CLIENT, secret=credentials.alertmanager_secret),
        )

    def _parts(self) -> list[Part]:
        async def restart_watchdog() -> None:
            self._watchdog.start()

        watchdog = Part(
            name="the watchdog", alive=lambda: self._watchdog.alive, restart=restart_watchdog
        )
        services: list[Service] = []
        services += [self._postgres] if self._plan.own_database else []
        services += [self._valkey] if self._plan.own_redis else []
        return [watchdog, *(self._server(service) for service in services), *self._ray.parts()]

    def _server(self, service: Service) -> Part:
        async def restart() -> None:
            await service.start(timeout_s=self._plan.settings.stack.service_timeout_s)

        return Part(name=service.name, alive=lambda: service.alive, restart=restart)

    async def _reap_for_ever(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._plan.settings.stack.check_period_s)
            reap_adopted()

    def _note_rest(self, part: str, rest_s: float) -> None:
        """For the doctor: who stays down, and until when."""
        down = {name: until for name, until in self.state.down.items() if name != part}
        if rest_s:
            until = datetime.now(UTC) + timedelta(seconds=rest_s)
            down[part] = until.isoformat(timespec="seconds")
        self.state = self.state.with_(down=down)
        self.state.save()

    def _publish(self) -> None:
        pids = {"watchdog": self._watchdog.pid or 0, **self._ray.head.pids}
        for name, service in (
            ("postgres", self._postgres),
            ("valkey", self._valkey),
            ("gcs_store", self._ray.store),
        ):
            if service.pid is not None:
                pids[name] = service.pid
        self.state = self.state.with_(pids=pids)
        self.state.save()


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Runs all of it; the first problem cancels the rest and is raised by itself.

    Raises:
        StackProblem: the first one.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except* StackProblem as problems:
        first: BaseException = problems
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
