"""The Serve application of a Ray that somebody else started: the pools first, then the gateway.

`python -m cluster.up` runs `cluster.pools` beside Serve. A cluster launcher or an operator hands
over nothing but the Serve config, so there the application brings its pools along.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.serve import Application

from actors.router.actor import start_routers
from actors.runtime.identity import MemberIdentity
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from actors.runtime.supervisor import start_supervisor
from actors.settings import GuildSettings
from cluster.pools import POOLS
from serve_app import app

_POLL_S = 0.5


class PoolsNotReady(Exception):
    """A pool has no member that works; Serve shows the text and keeps the former application."""


def build(args: GuildSettings) -> Application:
    """The gateway, once every pool behind it has a member that works.

    A second call finds supervisor and routers, and only waits.

    Args:
        args: see `serve_app.app.build`.

    Raises:
        PoolsNotReady: not within `stack.start_timeout_s`.
    """
    supervisor = start_supervisor(args, POOLS)
    start_routers(args)
    wait_for_members(supervisor, POOLS, timeout_s=args.stack.start_timeout_s)
    return app.build(args)


def wait_for_members(supervisor: Any, pools: Iterable[str], *, timeout_s: float) -> None:
    """Returns when each pool has a member that is ready. Blocks.

    Args:
        supervisor: its handle.
        pools: their names.
        timeout_s: for all of them together.

    Raises:
        PoolsNotReady: they took longer.
    """
    wanted, deadline = tuple(pools), time.monotonic() + timeout_s
    missing = list(wanted)
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise PoolsNotReady(f"after {timeout_s:g} s no member is ready of {', '.join(missing)}")
        try:
            status: Status = ray.get(supervisor.status.remote(), timeout=left_s)
        except (RayError, TimeoutError):
            time.sleep(_POLL_S)  # it is being started, or started again
            continue
        missing = lacking(wanted, status.members)
        if not missing:
            return
        time.sleep(_POLL_S)


def lacking(pools: Iterable[str], members: Mapping[str, Phase]) -> list[str]:
    """The pools without a ready member.

    Args:
        pools: all there are to be.
        members: name of a member to what the supervisor knows of it.
    """
    ready = {
        identity.pool
        for name, phase in members.items()
        if phase is Phase.READY and (identity := MemberIdentity.parse(name)) is not None
    }
    return sorted(set(pools) - ready)
