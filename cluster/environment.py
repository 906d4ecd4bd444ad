"""The environment that Ray's head starts with, and that every worker, replica and job inherits."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import marker

# Not for workers: another cluster's address, the owner's rights, an interpreter without its cache.
_DROPPED = frozenset(
    {
        "RAY_ADDRESS",
        "RAY_API_SERVER_ADDRESS",
        "RAY_JOB_ID",
        "GUILD_ADMIN_DATABASE_URL",
        "GUILD_MIGRATION_DATABASE_URL",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PYTHONSTARTUP",
    }
)

ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""glibc's, of every process: few arenas, and what is freed is kept for the next who needs it.

By default a process of many threads has many arenas, each with memory that nobody uses, and gives
megabytes back to the kernel only to fault them in anew a moment later: each commit of a lexical
index takes over a thousand faults, and three quarters as long again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the data is and what signs and seals, whoever runs the servers."""

    app_url: str
    log_url: str
    owner_url: str
    redis_url: str
    jwt_secret: str
    secret_key: str


def worker_environment(
    caller: Mapping[str, str],
    *,
    stack_id: str,
    data_dir: Path,
    addresses: Addresses,
    ray_address: str,
    ray: Mapping[str, str],
) -> dict[str, str]:
    """The caller's variables with ours above them.

    Args:
        caller: the environment of `python -m cluster.up`; ``GUILD_…`` settings come from there.
        stack_id: the marker.
        data_dir: of the stack: a job finds the way to its API there.
        addresses: of the data.
        ray_address: so that a job or an actor finds its own cluster.
        ray: from `ray_environment`.
    """
    kept = {name: value for name, value in caller.items() if name not in _DROPPED}
    programs = str(Path(sys.executable).parent)
    root = str(Path(__file__).resolve().parent.parent)
    return {
        # Unless the caller has others:
        **ALLOCATOR,
        "GUILD_INDEX__SNAPSHOT_DIR": str(data_dir / "index"),
        **kept,
        # A job's entrypoint runs with the head's PATH: its `python` must be this one.
        "PATH": os.pathsep.join([programs, kept.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH", "")])]),
        "PYTHONUNBUFFERED": "1",
        **marker.environment(stack_id),
        **ray,
        "DATABASE_URL": addresses.app_url,
        "GUILD_LOG_DATABASE_URL": addresses.log_url,
        "REDIS_URL": addresses.redis_url,
        "JWT_SECRET": addresses.jwt_secret,
        "SECRET_KEY": addresses.secret_key,
        "GUILD_RAY_ADDRESS": ray_address,
        "GUILD_DATA_DIR": str(data_dir),
    }
