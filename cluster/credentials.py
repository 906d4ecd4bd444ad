"""The local stack's own secrets: made once, kept in one file that only we may read."""

import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from cluster.bootstrap import Passwords
from cluster.problem import StackProblem
from cluster.state import SECRETS_FILE, read_private, write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Random, 256 bits each. Losing the file means losing the embedded database's passwords."""

    postgres_admin: str
    guild_owner: str
    guild_app: str
    guild_log: str
    valkey: str
    gcs_store: str
    ray_token: str
    jwt_secret: str
    secret_key: str
    admin_password: str
    alertmanager_secret: str

    @property
    def roles(self) -> Passwords:
        """Those of the database's three roles."""
        return Passwords(owner=self.guild_owner, app=self.guild_app, log=self.guild_log)

    @classmethod
    def load_or_make(cls, folder: Path) -> Self:
        """The stack's secrets; what a newer version needs besides is added.

        Raises:
            StackProblem: the file cannot be understood.
        """
        path = folder / SECRETS_FILE
        try:
            kept = read_private(path) or {}
        except ValueError as error:
            raise StackProblem(f"{path} is damaged: restore it, or remove {folder}") from error
        # Hexadecimal: they stand in URLs, in configuration files and in HTTP headers.
        made = cls(
            **{
                field.name: str(kept.get(field.name) or secrets.token_hex(32))
                for field in fields(cls)
            }
        )
        if asdict(made) != kept:
            write_private(path, asdict(made))
        return made
