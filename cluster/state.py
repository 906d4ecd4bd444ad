"""What a running stack tells others: `Stack.load(folder)` for the demo, the tests and the CLI."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

STATE_FILE = "stack.json"
SECRETS_FILE = "secrets.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The administrator made at the first start, or a client of the API."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One running stack. The file holds secrets: 0600.

    Attributes:
        down: parts that died too often, and when each is tried again.
    """

    stack_id: str
    pid: int
    folder: str
    started_at: str
    ready: bool
    api_url: str
    ray_address: str
    ray_token: str
    dashboard_url: str
    database_url: str
    log_database_url: str
    migration_database_url: str
    redis_url: str
    gcs_store_url: str
    ports: Mapping[str, int]
    pids: Mapping[str, int] = field(default_factory=dict)
    admin: Login | None = None
    alertmanager: Login | None = None
    down: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The stack of a data folder, or None when none was ever started there."""
        data = read_private(folder / STATE_FILE)
        if data is None:
            return None
        for name in ("admin", "alertmanager"):
            data[name] = Login(**data[name]) if data[name] else None
        return cls(**data)

    def save(self) -> None:
        """Replaces the file as a whole: a reader never sees half of it."""
        write_private(Path(self.folder) / STATE_FILE, asdict(self))

    def with_(self, **changes: Any) -> "Stack":
        """A changed copy."""
        return replace(self, **changes)

    @property
    def running(self) -> bool:
        """Whether its supervisor is alive."""
        try:
            command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        return b"cluster." in command

    def client_environment(self) -> dict[str, str]:
        """What a driver, a job or a CLI needs to reach this stack's Ray and its data."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.ray_token,
            "RAY_ADDRESS": self.ray_address,
            "RAY_API_SERVER_ADDRESS": self.dashboard_url,
            "GUILD_RAY_ADDRESS": self.ray_address,
            "DATABASE_URL": self.database_url,
            "GUILD_LOG_DATABASE_URL": self.log_database_url,
            "REDIS_URL": self.redis_url,
        }


def read_private(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None when there is no such file."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return dict(data)


def write_private(path: Path, data: Mapping[str, Any]) -> None:
    """Writes a JSON object that only we may read, all of it or nothing."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(data, indent=1))
    partial.rename(path)
