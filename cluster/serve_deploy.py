"""The Serve app: deployed through Ray's REST API, as `serve deploy ray_config.yaml` does."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.problem import StackProblem

_REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.25
_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})


def read_config(path: Path, *, http_port: int) -> dict[str, Any]:
    """The Serve config, with the port that this stack listens on.

    Raises:
        StackProblem: there is no such file, or it is no config.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise StackProblem(f"the Serve config {path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not config.get("applications"):
        raise StackProblem(f"the Serve config {path} names no applications")
    config["http_options"] = {**(config.get("http_options") or {}), "port": http_port}
    return config


class ServeDeployment:
    """One deployment, from the request until the app says that it is ready."""

    def __init__(self, *, dashboard_url: str, token: str, api_url: str) -> None:
        """Names the parties; sends nothing.

        Args:
            dashboard_url: Ray's.
            token: Ray's.
            api_url: where the app will answer ``/readyz``.
        """
        self._applications = f"{dashboard_url}/api/serve/applications/"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._api_url = api_url

    async def deploy(self, config: dict[str, Any], *, timeout_s: float) -> None:
        """Hands the config over; the replicas start afterwards.

        Raises:
            StackProblem: Ray refuses it, or does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        async with httpx.AsyncClient(headers=self._headers, timeout=_REQUEST_TIMEOUT_S) as client:
            while True:
                try:
                    answer = await client.put(self._applications, json=config)
                    if answer.status_code < 500:
                        break
                    reason = f"status {answer.status_code}"
                except httpx.HTTPError as error:
                    reason = type(error).__name__
                if time.monotonic() > deadline:
                    raise StackProblem(f"Ray did not take the Serve config in time: {reason}")
                await asyncio.sleep(_POLL_S)
        if answer.status_code != 200:
            raise StackProblem(
                f"Ray refused the Serve config with status {answer.status_code}:"
                f" {' '.join(answer.text.split())[:400]}"
            )

    async def wait_ready(self, *, timeout_s: float, say: Callable[[str], None]) -> None:
        """Waits for ``200`` on ``/readyz``, through HAProxy.

        Raises:
            StackProblem: the app failed to start, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        seen = ""
        async with httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_S) as client:
            while time.monotonic() < deadline:
                try:
                    answer = await client.get(f"{self._api_url}/readyz")
                    now = f"/readyz answers {answer.status_code}"
                    if answer.status_code == 200:
                        return
                except httpx.HTTPError:
                    now = await self._status(client)
                if now != seen:
                    say(now)
                    seen = now
                await asyncio.sleep(_POLL_S)
        raise StackProblem(f"the API is not ready after {timeout_s:g} s: {seen}")

    async def _status(self, client: httpx.AsyncClient) -> str:
        try:
            answer = await client.get(self._applications, headers=self._headers)
            applications = answer.json()["applications"]
        except (httpx.HTTPError, ValueError, KeyError):
            return "Serve is starting"
        for name, application in applications.items():
            if application["status"] in _FAILED:
                reason = " ".join(str(application.get("message", "")).split())[-600:]
                raise StackProblem(f"the app {name} failed to start: {reason}")
        return ", ".join(
            f"{name} is {application['status'].lower()}"
            for name, application in applications.items()
        )
