"""PostgreSQL and the log in it."""

from pydantic import Field

from actors.sections.base import Section


class DatabaseSettings(Section):
    """PostgreSQL. Times in seconds."""

    connections_per_member: int = Field(default=2, ge=1, le=4)
    connect_timeout_s: float = 5.0
    command_timeout_s: float = 10.0
    lock_timeout_s: float = 5.0
    idle_in_transaction_timeout_s: float = 15.0
    migration_timeout_s: float = Field(
        default=3_600.0, gt=0, description="of one migration, which may rewrite a large table"
    )


class LogSettings(Section):
    """The event log: its partitions, and how long what stands beside it is kept."""

    partition_days: int = Field(default=7, ge=1, le=31)
    partitions_ahead: int = Field(default=4, ge=1, le=52)
    retention_days: int = Field(
        default=365, ge=1, description="then a partition that every cursor has passed is dropped"
    )
    identity_days: int = Field(
        default=30, ge=1, description="how long a repeated CloudEvent is recognised"
    )
    inbox_days: int = Field(default=30, ge=1, description="how long a repeated command is")
    housekeeping_s: float = Field(default=60.0, gt=0)
    housekeeping_rows: int = Field(default=10_000, ge=1, description="deleted at a time")
    max_holes: int = Field(
        default=1_000, ge=1, description="open transactions a reader remembers; above, it waits"
    )
    key_cache_s: float = Field(
        default=5.0, ge=0, description="how long a data subject's key outlives its erasure"
    )
    key_cache_entries: int = Field(default=10_000, ge=1)
    rewrap_rows: int = Field(default=500, ge=1, description="keys wrapped anew at a time")
