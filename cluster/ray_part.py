"""Ray with what runs in it: head, pools, Serve app. Dies and starts again as one."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cluster.environment import worker_environment
from cluster.keeper import Part
from cluster.plan import Plan
from cluster.problem import StackProblem
from cluster.process import run
from cluster.ray_head import (
    NODE_ADDRESS,
    GcsStore,
    RayHead,
    ray_environment,
    short_temp_dir,
)
from cluster.serve_deploy import ServeDeployment, read_config
from cluster.services import ValkeyServer

_STORE_MIB = 128
_DRIVER_TIMEOUT_S = 120.0
_ROOT = Path(__file__).resolve().parent.parent


class RayPart:
    """The head and its store, then what is deployed into it. Main thread only."""

    def __init__(
        self, plan: Plan, server_environment: dict[str, str], say: Callable[[str], None]
    ) -> None:
        """Names everything; starts nothing."""
        self._plan = plan
        self._say = say
        self._numbers = plan.settings.stack
        self._starts = 0
        self._restarting = False
        self._head: RayHead | None = None
        self._environment: dict[str, str] = {}
        self._config = read_config(plan.serve_config, http_port=plan.ports.http)
        self._serve = ServeDeployment(
            dashboard_url=plan.dashboard_url,
            token=plan.credentials.ray_token,
            api_url=plan.api_url,
        )
        self.store = ValkeyServer(
            plan.folder / "gcs-store",
            port=plan.ports.gcs_store,
            password=plan.credentials.gcs_store,
            environment=server_environment,
            log=plan.logs / "gcs-store.log",
            max_memory_mib=_STORE_MIB,
        )

    @property
    def address(self) -> str:
        """For ``ray.init(address=…)``."""
        return f"{NODE_ADDRESS}:{self._plan.ports.gcs}"

    @property
    def head(self) -> RayHead:
        """The running head."""
        if self._head is None:
            raise RuntimeError("start_head() comes first")
        return self._head

    async def start_head(self) -> None:
        """Starts the GCS's store, then Ray; a start that fails is tried again.

        Raises:
            StackProblem: the last attempt failed.
        """
        for attempt in range(1, self._numbers.ray_attempts + 1):
            try:
                await self._try_head()
                break
            except StackProblem as problem:
                if attempt == self._numbers.ray_attempts:
                    raise
                self._say(f"{problem}; trying again")
                await asyncio.to_thread(self.head.end, timeout_s=self._numbers.stop_timeout_s)

    async def _try_head(self) -> None:
        # What an earlier Ray left there is about processes that are gone.
        await asyncio.to_thread(self.store.stop)
        shutil.rmtree(self.store.folder, ignore_errors=True)
        await asyncio.to_thread(self.store.prepare)
        await self.store.start(timeout_s=self._numbers.service_timeout_s)
        self._head = self._new_head()
        await asyncio.to_thread(self._head.start)
        self._say("Ray is up")

    async def deploy(self) -> None:
        """Starts pools and Serve app, side by side, and waits until the API is ready."""
        async with asyncio.TaskGroup() as group:
            if self._plan.pools is not None:
                group.create_task(self._start_pools(self._plan.pools))
            group.create_task(self._deploy_app())

    def parts(self) -> list[Part]:
        """For the keeper: the store, Ray as a whole, and each of the head's daemons."""
        store = Part(
            name="Valkey of Ray's GCS",
            alive=lambda: self._restarting or self.store.alive,
            restart=self._restart_store,
        )
        whole = Part(
            name="Ray",
            alive=lambda: self._restarting or self.head.raylet_alive,
            restart=self._restart,
        )
        return [store, whole, *(self._daemon(name) for name in self.head.daemons)]

    async def _restart_store(self) -> None:
        await self.store.start(timeout_s=self._numbers.service_timeout_s)

    async def _restart(self) -> None:
        """Ends what is left of Ray and starts it, pools and app anew."""
        self._restarting = True  # what we end here did not die
        try:
            await asyncio.to_thread(self.head.end, timeout_s=self._numbers.stop_timeout_s)
            await self.start_head()
        finally:
            self._restarting = False
        await self.deploy()

    def _daemon(self, name: str) -> Part:
        async def restart() -> None:
            self.head.restart_daemon(name)

        def alive() -> bool:
            # Without a raylet there is no Ray to belong to.
            return self._restarting or not self.head.raylet_alive or self.head.daemon_alive(name)

        return Part(name=f"Ray's {name}", alive=alive, restart=restart)

    def _new_head(self) -> RayHead:
        plan = self._plan
        self._starts += 1
        store = GcsStore(port=plan.ports.gcs_store, password=plan.credentials.gcs_store)
        temp_dir = short_temp_dir(plan.folder)
        self._environment = worker_environment(
            os.environ,
            stack_id=plan.stack_id,
            data_dir=plan.folder,
            addresses=plan.addresses,
            ray_address=self.address,
            ray=ray_environment(
                plan.ports,
                token=plan.credentials.ray_token,
                store=store,
                namespace=f"{plan.stack_id}-{self._starts}",
                temp_dir=temp_dir,
            ),
        )
        return RayHead(
            stack_id=plan.stack_id,
            ports=plan.ports,
            store=store,
            temp_dir=temp_dir,
            log=plan.logs / "ray.log",
            environment=self._environment,
            object_store_mib=self._numbers.object_store_mib,
        )

    async def _start_pools(self, module: str) -> None:
        log = self._plan.logs / "pools.log"
        status, printed = await asyncio.to_thread(
            run,
            [sys.executable, "-m", module],
            timeout_s=_DRIVER_TIMEOUT_S,
            environment=self._environment,
            cwd=_ROOT,
        )
        log.write_text(printed)
        if status != 0:
            last = (printed.strip().splitlines() or ["it printed nothing"])[-1]
            raise StackProblem(f"the pools did not start, see {log}: {last}")
        self._say("supervisor and router are in place")

    async def _deploy_app(self) -> None:
        timeout_s = self._numbers.start_timeout_s
        await self._serve.deploy(self._config, timeout_s=timeout_s)
        self._say("Serve has taken the app")
        await self._serve.wait_ready(timeout_s=timeout_s, say=self._say)
