"""Mailboxes, pools, their supervisor, and traces."""

import os
import tempfile
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from actors.sections.base import Section


class RuntimeSettings(Section):
    """Mailboxes, pools and their supervisor."""

    mailbox_capacity: int = Field(
        default=2048,
        ge=1,
        description="messages waiting, per member; and for the turn of their key, per pool",
    )
    max_batch: int = Field(default=64, ge=1, description="messages in one call")
    max_batch_bytes: int = Field(default=1 << 20, ge=1024)
    calls_in_flight: int = Field(default=2, ge=1, description="submits in flight, per member")
    worth_a_call: int = Field(
        default=16, ge=1, description="messages waiting before a call joins one in flight"
    )
    socket_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"guild-sockets-{os.getuid()}",
        description="where the actors of this node listen; nobody else may enter it",
    )
    socket_retry_s: float = Field(
        default=1.0, gt=0, description="an actor without a socket is looked for again after this"
    )
    direct_calls_in_flight: int = Field(
        default=64, ge=1, description="submits in flight to a member on this node"
    )
    linger_ms: float = Field(
        default=10.0, ge=0, description="a batch's reply waits this long for its slow messages"
    )
    collect_timeout_s: float = Field(
        default=1.0,
        gt=0,
        description="a member with nothing to collect says so after this; one that does not even"
        " that, within the submit time more, is lost",
    )
    uncollected_ttl_s: float = Field(
        default=60.0, gt=0, description="a member keeps late replies of a silent caller so long"
    )
    max_unfinished: int = Field(default=1024, ge=1, description="messages running in a member")
    retry_after_s: float = Field(default=1.0, gt=0, description="what a full mailbox advises")
    submit_timeout_s: float = Field(
        default=2.0, gt=0, description="a member that takes longer to accept a batch is avoided"
    )
    avoid_s: float = Field(default=2.0, gt=0, description="how long such a member is avoided")
    suspect_pause_s: float = Field(
        default=2.0, ge=0, description="after a death, before a member is given what may kill it"
    )
    lone_suspect_s: float = Field(
        default=4.0, ge=0, description="the same where no other member works"
    )
    fill_before_spreading: int = Field(
        default=32, ge=1, description="messages given to one member before a second one is used"
    )
    nudge_period_s: float = Field(default=0.005, ge=0)
    default_timeout_s: float = Field(default=10.0, gt=0)
    retry_budget_s: float = Field(
        default=1.5, ge=0, description="how long the pool retries what is safe to repeat"
    )
    failover_budget_s: float = Field(
        default=5.0, ge=0, description="how long a message waits for a member that can take it"
    )
    retry_delay_s: float = Field(default=0.05, gt=0)
    health_period_s: float = Field(default=1.0, gt=0)
    health_timeout_s: float = Field(default=3.0, gt=0)
    health_misses: int = Field(default=3, ge=1, description="silences after which a member hangs")
    placement_timeout_s: float = Field(
        default=60.0, gt=0, description="a member without a process for so long is given up"
    )
    restart_window_s: float = Field(default=60.0, gt=0)
    restarts_allowed: int = Field(
        default=5, ge=1, description="restarts of a member within the window before it must rest"
    )
    quarantine_s: float = Field(default=30.0, gt=0, description="first rest; doubles each time")
    quarantine_max_s: float = Field(default=300.0, gt=0)
    grow_above: int = Field(default=48, ge=1, description="messages a ready member: pool grows")
    grow_wait_s: float = Field(
        default=0.5, gt=0, description="wait of the oldest message in a mailbox: pool grows"
    )
    grow_busy: float = Field(
        default=0.85, gt=0, description="share of time an event loop is at work: pool grows"
    )
    grow_after_s: float = Field(default=3.0, ge=0, description="how long that must last")
    shrink_below: int = Field(default=4, ge=0, description="messages a member: pool shrinks")
    shrink_busy: float = Field(
        default=0.5, ge=0, description="busy share that the others may reach when one member goes"
    )
    shrink_after_s: float = Field(default=120.0, ge=0, description="how long that must last")
    shrink_patience_max: int = Field(
        default=8, ge=1, description="times that, after members that were missed when they had gone"
    )
    metrics_silent_s: float = Field(
        default=15.0, gt=0, description="a process silent for so long has no gauges"
    )
    metrics_fold_s: float = Field(default=600.0, gt=0)
    node_look_s: float = Field(
        default=5.0, gt=0, description="between looks at the machine, per process"
    )
    drain_timeout_s: float = Field(default=15.0, gt=0)
    directory_poll_s: float = Field(default=10.0, gt=0, description="long poll of the member list")
    gc_threshold: int = Field(
        default=10_000, ge=100, description="objects made before Python looks for rings of them"
    )
    restart_backoff_s: float = 0.5
    restart_backoff_max_s: float = 10.0
    leader_lease_s: float = Field(default=5.0, gt=0)


class PoolSettings(Section):
    """One pool of actors. CPU and memory are what Ray is told a member needs."""

    min_size: int = Field(default=1, ge=1, le=64)
    max_size: int = Field(default=4, ge=1, le=64)
    num_cpus: float = Field(default=0.1, gt=0)
    memory_mib: int = Field(default=256, ge=32)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError("min_size is above max_size")
        return self


class PoolsSettings(Section):
    """The pools, by name. Redis, the router and the supervisor are not pools."""

    knowledge: PoolSettings = PoolSettings()
    task: PoolSettings = PoolSettings()
    incident: PoolSettings = PoolSettings()
    rag: PoolSettings = PoolSettings(memory_mib=1024)
    embedding: PoolSettings = PoolSettings(num_cpus=0.5, memory_mib=768)
    identity: PoolSettings = PoolSettings(memory_mib=384)
    bus: PoolSettings = PoolSettings(memory_mib=384)


class TracingSettings(Section):
    """Spans for an OTLP collector; without an endpoint there are none."""

    endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
        description="such as http://jaeger:4318; /v1/traces is added where there is no path",
    )
    token: SecretStr = Field(default=SecretStr(""), description="sent as a bearer token")
    sample_ratio: float = Field(default=1.0, ge=0, le=1, description="of the correlations")
    queue: int = Field(default=4_096, ge=1, description="spans that wait, of one process")
    batch: int = Field(default=512, ge=1, description="spans of one request")
    flush_s: float = Field(default=1.0, gt=0)
    timeout_s: float = Field(default=3.0, gt=0, description="of one request")
