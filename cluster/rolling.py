"""A deployment, and the way back: start beside, look at it, switch, look again."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from actors.settings import RolloutSettings
from cluster import smoke
from cluster.generations import Colour, Generation, Rollout, upstream
from cluster.problem import StackProblem
from cluster.process import port_is_free
from cluster.switching import Front

Launch = Callable[[Colour, int], int]


class Rolling:
    """The steps; every one can be taken again after a command that ended in the middle."""

    def __init__(
        self,
        settings: RolloutSettings,
        *,
        folder: Path,
        front: Front,
        front_url: str,
        host: str,
        launch: Launch,
        say: Callable[[str], None],
    ) -> None:
        """Names the parties; does nothing.

        Args:
            settings: places and bounds.
            folder: where it is remembered what runs.
            front: nginx.
            front_url: where nginx answers.
            host: the name that a generation answers to.
            launch: starts a generation at a port, and returns the pid of who holds it.
            say: takes one line about what happens.
        """
        self._settings = settings
        self._folder = folder
        self._front = front
        self._front_url = front_url
        self._host = host
        self._launch = launch
        self._say = say

    def known(self) -> Rollout:
        """What runs. Whom nginx asks, its file says: a command may have died before it noted it.

        Raises:
            StackProblem: what was noted cannot be read.
        """
        rollout = Rollout.load(self._folder)
        for colour, one in rollout.generations.items():
            if colour is not rollout.live and self._front.asks(upstream(one.port)):
                return rollout.switched(colour)
        return rollout

    async def deploy(self, root: Path) -> Generation:
        """A new generation answers; the former one lives on, to go back to.

        Args:
            root: the checkout that ``launch`` starts, to be remembered.

        Raises:
            StackProblem: it did not come up, or nginx did not take it; then nothing is switched,
                and what was started is ended.
        """
        rollout = self.known()
        colour = rollout.next
        await self._end(rollout.generations.get(colour))
        rollout = rollout.without(colour)
        rollout.save(self._folder)
        port = self._settings.ports[list(Colour).index(colour)]
        await self._until_free(port)
        asked = self._front.asks(upstream(port))  # and nobody answers
        pid = self._launch(colour, port)
        born = psutil.Process(pid).create_time()
        started = Generation(colour=colour, port=port, pid=pid, born=born, root=str(root))
        rollout = rollout.with_(started)
        try:
            rollout.save(self._folder)
            self._say(f"{colour} is starting at {started.url}")
            await self._until_good(started)
            await self._switch(rollout, started)
        except BaseException:  # cancelled, too
            if asked or not self._front.asks(upstream(port)):  # nginx could be turned back
                await self._end(started)
                rollout.without(colour).save(self._folder)
            raise
        return started

    async def roll_back(self) -> Generation:
        """The former generation answers again, at once; then the one that did is ended.

        It would lead on in the database, with the version that nobody wants.

        Raises:
            StackProblem: there is none, or it is not well; then nothing is switched.
        """
        rollout = self.known()
        former = rollout.former
        if former is None or not alive(former):
            raise StackProblem("there is no former generation that lives: deploy its version again")
        if wrong := await self._faults_of(former):
            raise StackProblem(f"{former.colour} is not well: {'; '.join(wrong)}")
        await self._switch(rollout, former)
        await asyncio.sleep(self._settings.drain_s)
        await self.retire()
        return former

    async def retire(self) -> Colour | None:
        """Ends the former generation, if there is one; there is no way back after that.

        Raises:
            StackProblem: the one that should answer has died.
        """
        rollout = self.known()
        former, current = rollout.former, rollout.current
        if former is None:
            return None
        if current is None or not alive(current):
            raise StackProblem(
                f"{rollout.live} has died: go back to {former.colour}, or deploy again"
            )
        await self._end(former)
        rollout.without(former.colour).save(self._folder)
        return former.colour

    async def verify(self) -> list[str]:
        """What is wrong with the generation that answers, and with the way to it."""
        current = self.known().current
        if current is None:
            return ["nothing is deployed"]
        if not alive(current):
            return [f"{current.colour} has died"]
        through = await self._faults_through_nginx()
        return [*await self._faults_of(current), *(f"through nginx: {one}" for one in through)]

    async def _switch(self, rollout: Rollout, to: Generation) -> None:
        """Has nginx ask ``to``; where that does not work out, or is cancelled, whom it asked."""
        before = self._front.use(upstream(to.port))
        try:
            if wrong := await self._faults_after_switch():
                raise StackProblem(f"{to.colour} is not reached through nginx: {'; '.join(wrong)}")
            rollout.switched(to.colour).save(self._folder)
        except BaseException:
            self._front.use(before)
            raise
        self._say(f"nginx asks {to.colour}")

    async def _faults_after_switch(self) -> list[str]:
        """What is wrong in the end. Workers of nginx that still ask another may answer at first."""
        deadline = time.monotonic() + self._settings.switch_timeout_s
        seen: list[str] = []
        well = 0
        while well < self._settings.front_checks:
            if seen and time.monotonic() > deadline:
                return seen
            await asyncio.sleep(self._settings.poll_s)
            wrong = await self._faults_through_nginx()
            well, seen = (0, wrong) if wrong else (well + 1, seen)
        return []

    async def _until_free(self, port: int) -> None:
        """Whoever else answers there would be taken for the new generation."""
        deadline = time.monotonic() + self._settings.stop_timeout_s
        while not port_is_free(port):
            if time.monotonic() > deadline:
                raise StackProblem(
                    f"port {port} is taken by another program: stop it, or have GUILD_DATA_DIR name"
                    " the folder of the deployment before"
                )
            await asyncio.sleep(self._settings.poll_s)

    async def _until_good(self, generation: Generation) -> None:
        deadline = time.monotonic() + self._settings.ready_timeout_s
        seen: list[str] = []
        while time.monotonic() < deadline:
            if not alive(generation):
                raise StackProblem(f"{generation.colour} ended while it started: see its log")
            wrong = await self._faults_of(generation)
            if not wrong:
                return
            if wrong != seen:
                self._say("; ".join(wrong))
                seen = wrong
            await asyncio.sleep(self._settings.poll_s)
        raise StackProblem(
            f"{generation.colour} is not well after {self._settings.ready_timeout_s:g} s:"
            f" {'; '.join(seen)}"
        )

    async def _faults_of(self, generation: Generation) -> list[str]:
        timeout_s = self._settings.request_timeout_s
        return await smoke.check(generation.url, timeout_s=timeout_s, host=self._host)

    async def _faults_through_nginx(self) -> list[str]:
        timeout_s = self._settings.request_timeout_s
        return await smoke.check(self._front_url, timeout_s=timeout_s, front=True)

    async def _end(self, generation: Generation | None) -> None:
        if generation is None or not alive(generation):
            return
        self._say(f"ending {generation.colour}")
        deadline = time.monotonic() + self._settings.stop_timeout_s
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(generation.pid)
            process.terminate()
            while alive(generation):
                if time.monotonic() > deadline:
                    process.kill()  # its watchdog ends what it held
                    return
                await asyncio.sleep(self._settings.poll_s)


def alive(generation: Generation) -> bool:
    """Whether the process that was started is there, and no other of its number."""
    try:
        process = psutil.Process(generation.pid)
        same = abs(process.create_time() - generation.born) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
