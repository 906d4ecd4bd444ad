"""The one schema of configuration. Nothing else reads the environment or YAML.

Variables of the original guide keep their names; ours begin with ``GUILD_``, nested ones with two
underscores between the parts: ``GUILD_RUNTIME__MAX_BATCH=64``.
"""

import enum
import re
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.key_ring import BadKeyRing, KeyRing
from actors.sections.events import (
    BusSettings,
    OutboundSettings,
    RouterSettings,
    SagaSettings,
    WebhookSettings,
)
from actors.sections.gateway import AuditSettings, GatewaySettings, RateSettings, UploadSettings
from actors.sections.operating import ApiSettings, JobSettings, RolloutSettings, StackSettings
from actors.sections.runtime import PoolSettings, PoolsSettings, RuntimeSettings, TracingSettings
from actors.sections.sages import (
    IdentitySettings,
    IncidentSettings,
    KnowledgeSettings,
    TaskSettings,
)
from actors.sections.search import Arithmetic, EmbeddingProvider, EmbeddingSettings, IndexSettings
from actors.sections.storage import DatabaseSettings, LogSettings

__all__ = [
    "MIN_SECRET_BYTES",
    "ApiSettings",
    "Arithmetic",
    "AuditSettings",
    "BusSettings",
    "DatabaseSettings",
    "EmbeddingProvider",
    "EmbeddingSettings",
    "Environment",
    "GatewaySettings",
    "GuildSettings",
    "IdentitySettings",
    "IncidentSettings",
    "IndexSettings",
    "JobSettings",
    "KnowledgeSettings",
    "LogSettings",
    "OutboundSettings",
    "PoolSettings",
    "PoolsSettings",
    "RateSettings",
    "RolloutSettings",
    "RouterSettings",
    "RuntimeSettings",
    "SagaSettings",
    "StackSettings",
    "TaskSettings",
    "TracingSettings",
    "UploadSettings",
    "WebhookSettings",
    "can_be_guessed",
    "settings",
]


class Environment(enum.StrEnum):
    """Where this runs; production refuses to start on weak or missing secrets."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


MIN_SECRET_BYTES = 32
_MIN_DIFFERENT = 8
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(?:me|this)|your[-_ ](?:\w+[-_ ])?(?:secret|key)|placeholder|example|insecure",
    re.IGNORECASE,
)


class GuildSettings(BaseSettings):
    """Everything that can be set, with its default. Also the type of the Serve app's args."""

    model_config = SettingsConfigDict(
        env_prefix="GUILD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # part of it are secrets
    )

    env: Environment = Field(
        default=Environment.DEVELOPMENT, validation_alias=AliasChoices("env", "ENV")
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        description="role guild_app: owns nothing, row-level security applies",
    )
    migration_database_url: SecretStr = Field(
        default=SecretStr(""), description="role guild_owner: migrations only"
    )
    log_database_url: SecretStr = Field(
        default=SecretStr(""), description="role guild_log: reads the event log across guilds"
    )
    admin_database_url: SecretStr = Field(
        default=SecretStr(""),
        description="a superuser, or a role that may read every row: bootstrap, backup, restore",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("redis_url", "REDIS_URL")
    )
    jwt_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("jwt_secret", "JWT_SECRET")
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("secret_key", "SECRET_KEY")
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="bearer token of /metrics; without one it is closed in production",
    )
    log_level: str = Field(default="INFO", validation_alias=AliasChoices("log_level", "LOG_LEVEL"))
    ray_address: str = "auto"
    ray_namespace: str = "guild"
    generation: int = Field(default=1, ge=1)
    allow_password_grant: bool = Field(
        default=False, description="legacy: lets programs send a person's password to /oauth/token"
    )
    data_dir: Path = Field(default=Path(".guild"), description="all data of the local stack")
    node_name: str = Field(
        default="", description="of this machine in metrics; default: its host name"
    )

    database: DatabaseSettings = DatabaseSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    pools: PoolsSettings = PoolsSettings()
    router: RouterSettings = RouterSettings()
    log: LogSettings = LogSettings()
    bus: BusSettings = BusSettings()
    saga: SagaSettings = SagaSettings()
    outbound: OutboundSettings = OutboundSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    embedding_next: EmbeddingSettings | None = Field(
        default=None,
        description="the model that guilds are moved to; both are served: docs/REEMBEDDING.md",
    )
    webhooks: WebhookSettings = WebhookSettings()
    gateway: GatewaySettings = GatewaySettings()
    uploads: UploadSettings = UploadSettings()
    identity: IdentitySettings = IdentitySettings()
    audit: AuditSettings = AuditSettings()
    incident: IncidentSettings = IncidentSettings()
    task: TaskSettings = TaskSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    index: IndexSettings = IndexSettings()
    stack: StackSettings = StackSettings()
    tracing: TracingSettings = TracingSettings()
    api: ApiSettings = ApiSettings()
    jobs: JobSettings = JobSettings()
    rollout: RolloutSettings = RolloutSettings()

    @model_validator(mode="after")
    def _waits_end_in_time(self) -> Self:
        if self.bus.pull_wait_s >= self.gateway.request_timeout_s:
            raise ValueError("bus.pull_wait_s is not below gateway.request_timeout_s")
        return self

    @model_validator(mode="after")
    def _what_is_revoked_outlives_its_tokens(self) -> Self:
        longest_s = self.gateway.access_token_ttl_s + self.gateway.token_leeway_s
        if self.identity.revocation_kept_s < longest_s + self.gateway.blind_s:
            raise ValueError("identity.revocation_kept_s is shorter than an access token is good")
        return self

    @model_validator(mode="after")
    def _addresses_are_whole(self) -> Self:
        """Else a driver would take a part of a password for a port, and say so."""
        addresses = {
            "DATABASE_URL": self.database_url,
            "GUILD_LOG_DATABASE_URL": self.log_database_url,
            "GUILD_MIGRATION_DATABASE_URL": self.migration_database_url,
            "GUILD_ADMIN_DATABASE_URL": self.admin_database_url,
            "REDIS_URL": self.redis_url,
        }
        torn = [name for name, url in addresses.items() if not _whole(url.get_secret_value())]
        if torn:
            raise ValueError(
                f"{', '.join(torn)}: not a URL; a password in it must be percent-encoded"
            )
        return self

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.env is not Environment.PRODUCTION:
            return self
        required = {
            "DATABASE_URL": self.database_url,
            "GUILD_LOG_DATABASE_URL": self.log_database_url,
            "REDIS_URL": self.redis_url,
            "JWT_SECRET": self.jwt_secret,
            "SECRET_KEY": self.secret_key,
        }
        given = {name: value.get_secret_value() for name, value in required.items()}
        missing = [name for name, value in given.items() if not value.strip()]
        if missing:
            raise ValueError(f"ENV=production needs {', '.join(missing)}")
        weak = [name for name in ("JWT_SECRET", "SECRET_KEY") if can_be_guessed(given[name])]
        if weak:
            raise ValueError(
                f"{', '.join(weak)}: at least {MIN_SECRET_BYTES} bytes in production,"
                f" of {_MIN_DIFFERENT} different characters, and no placeholder"
            )
        if given["JWT_SECRET"] == given["SECRET_KEY"]:
            raise ValueError("JWT_SECRET and SECRET_KEY must differ in production")
        try:
            KeyRing.parse(given["SECRET_KEY"])
        except BadKeyRing as error:
            raise ValueError(str(error)) from None
        return self


def _whole(url: str) -> bool:
    """Whether everything up to the host is where a URL has it; empty: it is not set."""
    try:
        parts = urlsplit(url)
        return parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        return False


def can_be_guessed(secret: str) -> bool:
    """Whether somebody could guess it: too short, the same few characters, or a placeholder."""
    return (
        len(secret.encode()) < MIN_SECRET_BYTES
        or len(set(secret)) < _MIN_DIFFERENT
        or _PLACEHOLDER.search(secret) is not None
    )


@cache
def settings() -> GuildSettings:
    """The process's settings, read once from its environment."""
    return GuildSettings()
