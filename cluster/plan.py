"""Everything that is decided before anything starts."""

from dataclasses import dataclass
from pathlib import Path

from actors.settings import GuildSettings
from cluster.bootstrap import urls
from cluster.credentials import Credentials
from cluster.environment import Addresses
from cluster.ports import Ports

DATABASE = "guild"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the stack will be.

    Attributes:
        pools: the module that is run to put supervisor, routers and pools into Ray; None: nobody.
    """

    stack_id: str
    settings: GuildSettings
    folder: Path
    credentials: Credentials
    ports: Ports
    serve_config: Path
    pools: str | None = "cluster.pools"

    @property
    def logs(self) -> Path:
        """One file for each child."""
        return self.folder / "logs"

    @property
    def own_database(self) -> bool:
        """Whether PostgreSQL is ours; a given ``DATABASE_URL`` means that it is not."""
        return not self.settings.database_url.get_secret_value()

    @property
    def own_redis(self) -> bool:
        """Whether Valkey is ours; a given ``REDIS_URL`` means that it is not."""
        return not self.settings.redis_url.get_secret_value()

    @property
    def api_url(self) -> str:
        """Where HAProxy listens."""
        return f"http://127.0.0.1:{self.ports.http}"

    @property
    def dashboard_url(self) -> str:
        """Where Ray takes Serve configs and jobs; needs the token."""
        return f"http://127.0.0.1:{self.ports.dashboard}"

    @property
    def valkey_url(self) -> str:
        """Of our own Valkey."""
        return f"redis://:{self.credentials.valkey}@127.0.0.1:{self.ports.valkey}/0"

    @property
    def admin_url(self) -> str:
        """The superuser of our own PostgreSQL."""
        password, port = self.credentials.postgres_admin, self.ports.postgres
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"

    @property
    def addresses(self) -> Addresses:
        """Where the data is, whoever runs the servers."""
        given = self.settings
        own = urls(self.admin_url, DATABASE, self.credentials.roles)
        mine = self.own_database
        return Addresses(
            app_url=own.app if mine else given.database_url.get_secret_value(),
            log_url=own.log if mine else given.log_database_url.get_secret_value(),
            owner_url=own.owner if mine else given.migration_database_url.get_secret_value(),
            redis_url=given.redis_url.get_secret_value() or self.valkey_url,
            jwt_secret=given.jwt_secret.get_secret_value() or self.credentials.jwt_secret,
            secret_key=given.secret_key.get_secret_value() or self.credentials.secret_key,
        )
