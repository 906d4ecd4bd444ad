"""The one schema of configuration. Nothing else reads the environment or YAML.

Variables of the original guide keep their names; ours begin with ``GUILD_``, nested ones with two
underscores between the parts: ``GUILD_RUNTIME__MAX_BATCH=64``.
"""

import enum
import os
import re
import tempfile
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.key_ring import BadKeyRing, KeyRing


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
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", re.IGNORECASE)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Section):
    """PostgreSQL. Times in seconds."""

    connections_per_member: int = Field(default=2, ge=1, le=4)
    connect_timeout_s: float = 5.0
    command_timeout_s: float = 10.0
    lock_timeout_s: float = 5.0
    idle_in_transaction_timeout_s: float = 15.0
    migration_timeout_s: float = Field(
        default=3_600.0, gt=0, description="of one migration, which may rewrite a large table"
    )


class RuntimeSettings(_Section):
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


class PoolSettings(_Section):
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


class PoolsSettings(_Section):
    """The pools, by name. Redis, the router and the supervisor are not pools."""

    knowledge: PoolSettings = PoolSettings()
    task: PoolSettings = PoolSettings()
    incident: PoolSettings = PoolSettings()
    rag: PoolSettings = PoolSettings(memory_mib=1024)
    embedding: PoolSettings = PoolSettings(num_cpus=0.5, memory_mib=768)
    identity: PoolSettings = PoolSettings(memory_mib=384)
    bus: PoolSettings = PoolSettings(memory_mib=384)


class LogSettings(_Section):
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


class BusSettings(_Section):
    """Publishing, subscribing, pulling, timers. Sizes in bytes."""

    max_event_bytes: int = Field(default=256 << 10, ge=1024, description="one payload")
    max_batch_events: int = Field(default=1_000, ge=1, description="events of one request")
    group_events: int = Field(default=500, ge=1, description="events of one commit")
    group_bytes: int = Field(default=4 << 20, ge=1024, description="payloads of one commit")
    groups_in_flight: int = Field(default=2, ge=1, description="commits at one time, per member")
    max_waiting_events: int = Field(default=10_000, ge=1, description="events not yet committed")
    max_waiting_bytes: int = Field(default=64 << 20, ge=1024, description="their payloads")
    retry_after_s: float = Field(default=1.0, gt=0)
    publish_attempts: int = Field(default=5, ge=1, description="when a race for a place is lost")
    max_page: int = Field(default=200, ge=1)
    tail_poll_s: float = Field(default=0.25, gt=0)
    tail_wait_s: float = Field(default=15.0, gt=0)
    hold_s: float = Field(
        default=0.02, gt=0, description="of looking through events, before others have a turn"
    )
    max_tails: int = Field(default=200, ge=1, description="streams a member feeds at a time")
    heartbeat_s: float = Field(default=10.0, gt=0, description="comments of an idle SSE stream")
    stream_buffer: int = Field(default=500, ge=1, description="events a slow SSE reader may owe")
    stream_buffer_bytes: int = Field(
        default=4 << 20, ge=1024, description="the same in bytes; one event always fits"
    )
    stream_retry_s: float = Field(
        default=2.0, gt=0, description="after which an SSE client is told to come again"
    )
    max_subscriptions: int = Field(default=2_000, ge=1, description="of one guild")
    max_filter_types: int = Field(default=100, ge=1, description="patterns of one filter")
    max_expression_chars: int = Field(default=1_000, ge=1)
    max_expression_nesting: int = Field(default=2, ge=0, description="macros within macros")
    max_expression_steps: int = Field(
        default=150_000, ge=1, description="of one evaluation, told beforehand; about 0.1 µs each"
    )
    max_expression_depth: int = Field(default=64, ge=1, le=200, description="of data within data")
    compiled_filters: int = Field(default=10_000, ge=1, description="kept by a process")
    max_stream_length: int = Field(default=100_000, ge=1, description="of a subscriber's stream")
    max_webhook_batch: int = Field(default=100, ge=1, description="events of one request to it")
    max_ack_deadline_s: float = Field(default=3_600.0, ge=1)
    max_attempts: int = Field(default=100, ge=1, description="of one delivery, and its pauses")
    max_backoff_s: float = Field(default=3_600.0, gt=0)
    max_in_flight: int = Field(default=1_000, ge=1, description="deliveries of one subscription")
    max_pull: int = Field(default=500, ge=1)
    pull_wait_s: float = Field(
        default=10.0, gt=0, description="below gateway.request_timeout_s, which contains it"
    )
    pull_poll_s: float = Field(default=0.1, gt=0)
    max_waiting_pulls: int = Field(
        default=100, ge=1, description="in a member; what is there is given out all the same"
    )
    max_pull_backlog: int = Field(
        default=20_000, ge=1, description="lines that wait; then the router waits"
    )
    max_redrive: int = Field(default=1_000, ge=1, description="dead letters of one request")
    max_replays: int = Field(default=10, ge=1, description="running, of one guild")
    max_replay_speed: float = Field(default=1_000.0, gt=0)
    max_timers: int = Field(default=10_000, ge=1, description="pending, of one guild")
    min_cron_s: float = Field(default=60.0, gt=0, description="shortest time between two firings")
    max_timer_bytes: int = Field(default=16 << 10, ge=1024, description="data of one timer")
    max_timer_days: int = Field(default=1_826, ge=1, description="how far ahead a timer is set")
    meaning_chars: int = Field(default=2_000, ge=1, description="of an event that are compared")
    meaning_guilds: int = Field(
        default=1_000, ge=1, description="whose standing queries a member remembers"
    )


class SagaSettings(_Section):
    """Processes of several steps."""

    page: int = Field(default=200, ge=1)
    action_timeout_s: float = Field(
        default=25.0, gt=0, description="below router.ack_timeout_s, which contains it"
    )
    commit_attempts: int = Field(
        default=8, ge=1, description="when two events of one saga are handled at a time"
    )


class RouterSettings(_Section):
    """The event router."""

    partitions: int = Field(
        default=1, ge=1, le=64, description="router actors; each takes a share of the aggregates"
    )
    refresh_s: float = Field(
        default=0.5, gt=0, description="how soon a change of subscriptions is noticed"
    )
    max_subscriptions: int = Field(default=10_000, ge=1, description="of all guilds")
    timers_poll_s: float = Field(default=0.5, gt=0)
    timers_batch: int = Field(default=200, ge=1, description="fired in one transaction")
    redrive_poll_s: float = Field(default=0.5, gt=0)
    idle_cursor_save_s: float = Field(
        default=10.0, gt=0, description="a cursor that only passes over what nobody wants"
    )

    poll_interval_s: float = Field(default=0.5, gt=0, description="how long a lost nudge may cost")
    read_batch: int = Field(default=500, ge=1)
    places_read_at_once: int = Field(
        default=16, ge=2, description="pages of one reading; who is behind reads its own"
    )
    hold_s: float = Field(
        default=0.02, gt=0, description="of handing events out, before others have a turn"
    )
    window: int = Field(
        default=4000, ge=1, description="events read and not finished, per subscription"
    )
    max_in_flight: int = Field(default=128, ge=2, description="deliveries, per subscription")
    batches_in_flight: int = Field(
        default=2, ge=1, description="of a subscription that takes batches; others fill meanwhile"
    )
    batch_prompt_s: float = Field(
        default=0.25, gt=0, description="a batch that takes longer is not counted in flight"
    )
    lane_share: float = Field(
        default=0.25, gt=0, le=0.5, description="of max_in_flight, kept for each priority lane"
    )
    ack_timeout_s: float = Field(default=30.0, gt=0)
    max_attempts: int = Field(default=5, ge=1)
    backoff_s: tuple[float, ...] = (0.1, 0.5, 2.0, 5.0)
    patience_s: float = Field(
        default=600.0, ge=0, description="how long a pool that is away is not the event's fault"
    )
    cursor_save_s: float = Field(default=0.2, gt=0)
    max_lag_counted: int = Field(default=10_000, ge=1)
    lags_shown: int = Field(
        default=20, ge=0, description="declared subscriptions that metrics name, the slowest"
    )
    look_s: float = Field(
        default=10.0, gt=0, description="between looks at what PostgreSQL and Redis use"
    )
    count_s: float = Field(
        default=60.0, gt=0, description="between counts of entities, tasks and incidents"
    )
    max_redrive: int = Field(default=500, ge=1, description="dead letters in one redrive")
    num_cpus: float = Field(default=0.1, gt=0)
    memory_mib: int = Field(default=384, ge=32)
    stream_key: str = "guild:events"
    stream_timeout_s: float = Field(default=1.0, gt=0)
    stream_retry_s: float = Field(default=2.0, gt=0, description="pause after Redis was away")
    stream_rest_s: float = Field(
        default=0.02, ge=0, description="pause after each write to the Redis tail"
    )
    stream_max_length: int = Field(default=10_000, ge=1, description="entries of the Redis tail")
    stream_batch: int = Field(default=100, ge=1, description="entries of one write to a stream")
    rest_after: int = Field(
        default=10, ge=1, description="failures in a row, then a webhook or stream is left alone"
    )
    rest_s: float = Field(default=1.0, gt=0, description="the first rest; each further one doubles")
    rest_max_s: float = Field(default=30.0, gt=0)


class OutboundSettings(_Section):
    """HTTP to addresses that somebody else names. Sizes in bytes."""

    allow_http: bool = Field(default=False, description="for development: nothing is encrypted")
    ports: tuple[int, ...] = Field(default=(443,), description="empty: every port")
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="called although they are not public"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names that may lead anywhere; lower case"
    )
    ca_file: Path | None = Field(
        default=None, description="PEM: authorities trusted beside the public ones"
    )
    max_url_chars: int = Field(default=2_048, ge=16)
    connect_timeout_s: float = Field(default=5.0, gt=0, description="name, connection and TLS")
    timeout_s: float = Field(default=10.0, gt=0, description="of a whole exchange")
    max_answer_bytes: int = Field(default=5 << 20, ge=0)
    unread_bytes: int = Field(
        default=64 << 10, ge=0, description="of an answer nobody wants, read to keep a connection"
    )
    unread_s: float = Field(default=1.0, gt=0)
    max_connections: int = Field(default=256, ge=1, description="of one process")
    max_idle_connections: int = Field(default=64, ge=0)
    idle_s: float = Field(default=30.0, gt=0)
    addresses_tried: int = Field(default=3, ge=1, description="of a name that has several")
    resolver_threads: int = Field(default=4, ge=1, le=64)
    retry_after_s: float = Field(default=1.0, gt=0, description="when all connections are in use")


class WebhookSettings(_Section):
    """Deliveries to addresses. Sizes in bytes."""

    origin: str = Field(
        default="elders-guild", description="as whom we ask and deliver: your public host name"
    )
    requests_per_minute: int = Field(
        default=60_000, ge=1, description="what we ask for; the address says what it allows"
    )
    agree_timeout_s: float = Field(default=5.0, gt=0)
    timeout_s: float = Field(
        default=15.0, gt=0, description="of one request; a shorter ack deadline comes first"
    )
    requests_at_once: int = Field(default=8, ge=1, description="to one subscription's address")
    max_request_bytes: int = Field(
        default=1 << 20, ge=1024, description="of a batch; a larger one is several requests"
    )
    retry_after_s: float = Field(default=5.0, gt=0, description="after a 429 that does not say")
    max_retry_after_s: float = Field(default=3_600.0, gt=0, description="the longest we obey")


class RateSettings(_Section):
    """Requests that one holder may make in a window, over all replicas of the gateway."""

    window_s: int = Field(default=10, ge=1, le=3_600)
    principal: int = Field(default=12_000, ge=1, description="of one person or client")
    guild: int = Field(default=48_000, ge=1, description="of all in one guild together")
    lease_share: float = Field(
        default=0.02, gt=0, le=1, description="of a quota, drawn at a time by one replica"
    )
    alone_share: float = Field(
        default=0.25, gt=0, le=1, description="of a quota, one replica's while Redis is away"
    )
    holders: int = Field(default=10_000, ge=1, description="remembered by a replica")
    timeout_s: float = Field(default=0.1, gt=0, description="for Redis to count")
    rest_s: float = Field(default=1.0, gt=0, description="before a Redis that failed is asked")
    connections: int = Field(default=4, ge=1, description="of a replica to Redis")


_ORIGIN = re.compile(
    r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9a-f:]+\](?::[0-9]{1,5})?"
)
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]")


class GatewaySettings(_Section):
    """The HTTP edge. Sizes in bytes."""

    max_body_bytes: int = 1 << 20
    max_intake_body_bytes: int = 8 << 20
    max_intake_alerts: int = 5_000
    max_documents_body_bytes: int = 8 << 20
    max_events_body_bytes: int = 4 << 20
    max_form_bytes: int = 16 << 10
    max_target_bytes: int = Field(default=8 << 10, ge=1024, description="path and query")
    max_headers: int = Field(default=100, ge=10)
    max_header_bytes: int = Field(default=32 << 10, ge=1024, description="of all together")
    max_digits: int = Field(default=308, ge=20, description="of one number")
    body_timeout_s: float = Field(
        default=15.0, gt=0, description="for a whole body to arrive; then 408"
    )
    rate: RateSettings = RateSettings()
    cors_origins: tuple[str, ...] = Field(
        default=(), description="web pages that may call us, exactly; empty: none"
    )
    cors_max_age_s: int = Field(default=600, ge=0, le=86_400)
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names we answer to, without port; empty: every name"
    )
    hsts_s: int = Field(
        default=31_536_000, ge=0, description="in production, and behind TLS; 0: never said"
    )
    publish_openapi: bool | None = Field(default=None, description="None: outside production")
    max_json_depth: int = Field(default=32, ge=1)
    max_json_keys: int = Field(default=1_000, ge=1)
    max_bulk_json_keys: int = Field(default=400_000, ge=1, description="intake and batches")
    max_json_items: int = Field(default=250_000, ge=1, description="of all lists of one body")
    max_batch_documents: int = Field(default=500, ge=1)
    batch_part_bytes: int = Field(
        default=1 << 20, ge=1024, description="texts and vectors of a batch in one message"
    )
    batch_concurrency: int = Field(default=4, ge=1, description="such messages at a time")
    max_ongoing_requests: int = 512
    max_in_flight: int = Field(
        default=384, ge=1, description="above it we answer 503 ourselves; below Serve's own bound"
    )
    max_streams: int = Field(
        default=100, ge=1, description="event streams of one replica; part of max_in_flight"
    )
    max_streams_each: int = Field(default=20, ge=1, description="of them one identity's")
    stopping_poll_s: float = Field(
        default=1.0, gt=0, description="how soon open streams notice that their replica stops"
    )
    retry_after_s: float = Field(default=1.0, gt=0)
    token_cache_entries: int = Field(default=4_096, ge=0, description="verified access tokens")
    request_timeout_s: float = 15.0
    access_token_ttl_s: int = Field(default=900, ge=60, le=3600)
    token_leeway_s: int = Field(default=30, ge=0, le=60)
    revocation_poll_s: float = Field(
        default=0.5, gt=0, le=1, description="between looks for what was revoked"
    )
    revocation_timeout_s: float = Field(default=2.0, gt=0, description="of one look")
    revocation_page: int = Field(
        default=1_000, ge=2, le=10_000, description="more than one transaction adds"
    )
    max_revocations: int = Field(
        default=200_000, ge=1, description="remembered; with more of them nobody is admitted"
    )
    blind_admin_s: float = Field(
        default=5.0, gt=0, description="without such a look, and administrators are refused"
    )
    blind_s: float = Field(default=60.0, gt=0, description="the same for everybody")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="whose X-Forwarded-For is believed; each must append to it"
    )
    metrics_push_s: float = 2.0
    issuer: str = Field(
        default="http://127.0.0.1:8000",
        pattern=r"^https?://[A-Za-z0-9.\[\]:-]+$",
        description="our public address, which tokens name and all metadata begins with",
    )
    audience: str = "elders-guild-api"

    @model_validator(mode="after")
    def _names_are_exact(self) -> Self:
        if not all(_ORIGIN.fullmatch(origin) for origin in self.cors_origins):
            raise ValueError("cors_origins are scheme://host[:port] in lower case, never *")
        if not all(_HOST.fullmatch(host) for host in self.allowed_hosts):
            raise ValueError("allowed_hosts are names in lower case, without a port, never *")
        return self


class UploadSettings(_Section):
    """Files and pages over HTTP. Sizes in bytes; larger files are for `guild ingest`."""

    max_bytes: int = Field(default=10 << 20, ge=1, description="counted while they arrive")
    max_unpacked_bytes: int = Field(default=100 << 20, ge=1, description="of one Word document")
    max_parts: int = Field(default=1_000, ge=1, description="pages, or parts of an archive")
    max_ratio: int = Field(default=100, ge=1, description="unpacked to packed")
    max_tags: int = Field(default=30_000, ge=1, description="of a page, attributes included")
    body_timeout_s: float = Field(default=30.0, gt=0, description="until a file has arrived")
    at_once: int = Field(
        default=8, ge=1, description="in memory of one replica; more are answered 503"
    )
    at_once_each: int = Field(default=4, ge=1, description="of these, for one guild")
    parsers: int = Field(default=2, ge=1, le=64, description="processes of one replica")
    parser_memory_bytes: int = Field(default=256 << 20, ge=128 << 20, description="of each")
    parse_cpu_s: float = Field(default=1.0, gt=0, description="processor time for one file")
    parse_timeout_s: float = Field(default=5.0, gt=0, description="the same on a busy machine")
    files_each_parser: int = Field(default=200, ge=1, description="then its process is replaced")
    retry_after_s: float = Field(default=2.0, gt=0)

    fetch_hosts: dict[str, tuple[str, ...]] = Field(
        default={},
        description="id of a guild, or * for every one, to hosts whose pages it may have fetched;"
        " *.example.com: every host below. Empty: nothing is fetched",
    )
    fetch_redirects: int = Field(default=3, ge=0, le=10)
    fetch_timeout_s: float = Field(default=10.0, gt=0, description="redirects included")
    fetch_max_bytes: int = Field(default=5 << 20, ge=1)


class AuditSettings(_Section):
    """The audit log; what the gateway saw is written in the background."""

    flush_s: float = Field(default=0.5, ge=0, description="what a killed process may take along")
    merge_s: float = Field(
        default=60.0, ge=0, description="equal notes become one entry, after the first of them"
    )
    max_waiting: int = Field(default=1_000, ge=1, description="different notes of one replica")
    max_waiting_logins: int = Field(
        default=250, ge=0, description="of those, about logins that may be nobody's"
    )
    attempts: int = Field(default=20, ge=1, description="at writing, then they are dropped")
    timeout_s: float = Field(default=5.0, gt=0, description="of one attempt")
    verify_rows: int = Field(default=1_000, ge=1, description="in memory while it is verified")


class IdentitySettings(_Section):
    """Sign-in. A password check takes 64 MiB and every core it gets, so few run at once."""

    hash_concurrency: int = Field(default=2, ge=1, le=16)
    hash_queue: int = Field(default=8, ge=0, description="sign-ins waiting for their turn")
    hash_retry_after_s: float = Field(default=2.0, gt=0)
    account_failures: int = Field(
        default=5, ge=1, description="of one login within the window, before it is slowed down"
    )
    account_window_s: float = Field(default=900.0, gt=0, le=3_600)
    account_pause_s: float = Field(default=1.0, gt=0, description="the first; it doubles")
    account_pause_max_s: float = Field(default=30.0, gt=0)
    address_failures: int = Field(default=20, ge=1, description="of one address within the window")
    address_window_s: float = Field(default=60.0, gt=0, le=3_600)
    session_idle_s: float = Field(
        default=7 * 86_400.0, gt=0, description="a refresh token that is not used ends"
    )
    session_s: float = Field(
        default=30 * 86_400.0, gt=0, description="then a person signs in again, come what may"
    )
    code_s: float = Field(default=60.0, gt=0, le=600, description="life of an authorization code")
    revocation_kept_s: float = Field(
        default=3_900.0, gt=0, description="longer than any access token is good"
    )
    max_denied_tokens: int = Field(
        default=5_000, ge=1, description="of one guild at a time; each replica remembers them"
    )


class IncidentSettings(_Section):
    """Policies of the Incident sage."""

    reopen_window_s: int = Field(default=600, ge=0)
    dossier_size: int = Field(default=5, ge=1, le=20)
    max_runbook_steps: int = Field(default=20, ge=1, le=100)
    alerts_in_event: int = Field(default=50, ge=1)
    timeline_limit: int = Field(default=500, ge=1, description="entries of a timeline or a review")
    escalate_critical_s: float = Field(default=300.0, gt=0, description="nobody acknowledged it")
    escalate_high_s: float = Field(default=900.0, gt=0)
    escalate_medium_s: float = Field(default=3600.0, gt=0, description="below medium: never")
    max_escalations: int = Field(default=3, ge=0, le=10)


class TaskSettings(_Section):
    """Bounds of the Task sage."""

    max_tasks_per_event: int = Field(
        default=50, ge=1, le=200, description="made from one runbook or one review"
    )
    max_relations: int = Field(default=100, ge=1, le=1000, description="of one task")
    max_order_edges: int = Field(
        default=10_000, ge=1, description="followed when a ring is looked for"
    )


class KnowledgeSettings(_Section):
    """Policies of the Knowledge sage."""

    max_categories: int = Field(default=500, ge=11, description="of one guild")
    restore_within_days: int = Field(default=90, ge=1, description="a deleted entity's way back")


class Arithmetic(enum.StrEnum):
    """How the local model computes two thirds of its products; everything else is float32."""

    FLOAT32 = "float32"
    INT8 = "int8"


class EmbeddingProvider(enum.StrEnum):
    """Who turns texts into vectors."""

    MINILM = "minilm"
    """The local model."""

    OPENAI = "openai"
    """Any server with the embeddings API of OpenAI."""


class EmbeddingSettings(_Section):
    """What turns texts into vectors. Fields from ``base_url`` on are of the provider ``openai``."""

    provider: EmbeddingProvider = EmbeddingProvider.MINILM
    arithmetic: Arithmetic = Field(
        default=Arithmetic.FLOAT32,
        description="of the local model; int8 is faster and less exact, and the two do not mix",
    )
    background_threads: int | None = Field(
        default=None, ge=1, le=64, description="for passages; default one for each core"
    )
    max_background_threads: int = Field(default=8, ge=1, description="of that default")
    background_nice: int = Field(
        default=10, ge=0, le=19, description="how far those threads stand back behind queries"
    )
    max_waiting_texts: int = Field(
        default=2_048, ge=1, description="in a member, of queries and of passages each"
    )
    retry_after_s: float = Field(default=1.0, gt=0, description="what a full embedder advises")

    base_url: str = Field(
        default="", description="such as https://api.openai.com/v1; /embeddings is put behind it"
    )
    model: str = Field(default="", max_length=200, description="as that server names it")
    api_key: SecretStr = Field(default=SecretStr(""), description="empty: none is sent")
    dimension: int = Field(default=1_536, ge=2, le=16_000, description="of that model's vectors")
    batch_texts: int = Field(default=32, ge=1, le=2_048, description="texts of one request")
    max_text_chars: int = Field(
        default=8_000, ge=100, description="of one text; the rest is not embedded"
    )
    max_in_flight: int = Field(
        default=4, ge=1, le=256, description="requests of a member, for queries and passages each"
    )
    timeout_s: float = Field(default=15.0, gt=0, description="of one request")
    query_timeout_s: float = Field(default=2.0, gt=0, description="the same where somebody waits")
    attempts: int = Field(default=5, ge=1, description="of one request, the first included")
    retry_delay_s: float = Field(default=0.25, gt=0, description="the first; it doubles")
    retry_delay_max_s: float = Field(default=8.0, gt=0)
    retry_budget_s: float = Field(
        default=30.0, ge=0, description="for passages; below index.embed_claim_s"
    )
    query_retry_budget_s: float = Field(
        default=1.0, ge=0, description="for queries; below index.query_embed_timeout_s"
    )
    max_answer_bytes: int = Field(default=32 << 20, ge=1024)

    @model_validator(mode="after")
    def _names_its_endpoint(self) -> Self:
        if self.provider is not EmbeddingProvider.OPENAI:
            return self
        if not _ENDPOINT.fullmatch(self.base_url):
            raise ValueError("provider openai needs base_url, a plain http or https URL")
        if not self.model:
            raise ValueError("provider openai needs model")
        return self


class IndexSettings(_Section):
    """Search: passages, the two legs, their fusion."""

    max_embed_texts: int = Field(default=64, ge=1, description="texts in one message")
    embed_claim: int = Field(default=32, ge=1, description="passages of one claim")
    embed_claims: int = Field(
        default=4, ge=1, le=64, description="claims a member has embedded at the same time"
    )
    embed_claim_s: float = Field(default=60.0, gt=0, description="then another member may try")
    embed_aside_s: float = Field(
        default=600.0, gt=0, description="then a passage that the embedder refuses is tried again"
    )
    embed_poll_s: float = Field(default=0.5, gt=0)
    query_embed_timeout_s: float = Field(
        default=2.0, gt=0, description="then a search goes on with its words alone"
    )
    query_cache_entries: int = Field(default=4096, ge=0)
    chunk_max_words: int = Field(default=180, ge=20)
    max_document_chars: int = Field(default=1_000_000, ge=1)
    max_whole_chars: int = Field(
        default=20_000, ge=1, description="of a document with a vector: it is one passage"
    )
    group_documents: int = Field(default=200, ge=1, description="of one message, and of one commit")
    group_bytes: int = Field(default=4 << 20, ge=1024, description="their texts and vectors")
    groups_in_flight: int = Field(default=2, ge=1, description="commits at one time, per member")
    max_waiting_documents: int = Field(default=5_000, ge=1, description="not yet committed")
    max_waiting_bytes: int = Field(default=64 << 20, ge=1024, description="their texts and vectors")
    store_hold_s: float = Field(
        default=0.02, gt=0, description="of cutting documents, before others have a turn"
    )
    store_attempts: int = Field(default=5, ge=1, description="when a race for a version is lost")
    retry_after_s: float = Field(default=1.0, gt=0)
    max_source_chars: int = Field(
        default=50_000, ge=1000, description="of an incident, task or entity; the rest is not found"
    )
    max_query_chars: int = Field(default=4_000, ge=1)
    candidates: int = Field(default=200, ge=10, description="passages each leg proposes")
    fold_rows: int = Field(
        default=1024, ge=1, description="vectors without a code that get theirs together"
    )
    compress_rows: int = Field(
        default=20_000, ge=256, description="vectors above which they get codes"
    )
    max_dead_share: float = Field(default=0.25, gt=0, lt=1)
    tend_retry_s: float = Field(
        default=30.0,
        gt=0,
        description="before compressing or compacting that failed is tried again",
    )
    load_page: int = Field(default=200, ge=1, description="sources read at a time")
    tail_batch: int = Field(default=500, ge=1)
    tail_poll_s: float = Field(default=0.25, gt=0)
    tail_hurry_s: float = Field(default=0.01, gt=0, description="poll while a search waits for it")
    max_results: int = Field(default=100, ge=1)
    position_wait_s: float = Field(default=0.5, ge=0)
    ahead_timeout_s: float = Field(
        default=1.0, gt=0, description="reading what a search waits for out of turn"
    )
    max_position_wait_s: float = Field(
        default=10.0, ge=0, description="what a search may ask for instead"
    )
    max_removals: int = Field(
        default=10_000, ge=1, description="that an index has not read yet and a search leaves out"
    )
    removals_timeout_s: float = Field(
        default=1.0, gt=0, description="then a search says that it may be stale"
    )
    max_ahead: int = Field(
        default=2_000,
        ge=1,
        description="sources of others that were read and are not stored yet, with their texts",
    )
    snapshot_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"guild-index-{os.getuid()}",
        description="where the members of this node keep their indexes; nobody else may enter it",
    )
    snapshot_s: float = Field(default=300.0, gt=0, description="between two of one guild")
    snapshot_poll_s: float = Field(default=20.0, gt=0, description="between looks for one due")
    snapshot_max_age_s: float = Field(
        default=86_400.0, gt=0, description="then an index is built from the database"
    )
    snapshot_passages: int = Field(
        default=2_000, ge=0, description="below that building it anew is as quick"
    )
    shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="of every guild's index; one number for the whole deployment",
    )
    replicas: int = Field(
        default=0, ge=0, description="members that hold a shard; 0: all, which needs no second hop"
    )
    max_shard_vectors: int = Field(
        default=300_000, ge=1, description="above it a warning says how many shards are wanted"
    )
    gather_timeout_s: float = Field(
        default=2.0, gt=0, description="then an answer is partial and says so"
    )
    rebalance_after_s: float = Field(
        default=20.0, ge=0, description="members unchanged so long, before shards move"
    )
    rebalance_poll_s: float = Field(
        default=5.0, gt=0, description="between looks whether a shard may go"
    )
    feedback_kept: int = Field(
        default=500, ge=1, le=5_000, description="of a guild, the newest; the others are forgotten"
    )
    max_runbook_steps: int = Field(default=20, ge=1, le=100)
    answer_passages: int = Field(default=8, ge=1)
    answer_quotes: int = Field(default=3, ge=1)


class ApiSettings(_Section):
    """How commands and jobs reach the API; without a URL they use the local stack of `data_dir`."""

    url: str = Field(default="", description="without a path")
    login: str = Field(default="", description="of a person; or a client's id and secret")
    password: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    patience_s: float = Field(
        default=300.0, gt=0, description="one request is repeated for so long"
    )
    timeout_s: float = Field(default=60.0, gt=0, description="one attempt")


class JobSettings(_Section):
    """Ingestion of files and evaluation: `python -m cluster.jobs.…`. Sizes in bytes."""

    state_dir: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "state" / "elders-guild",
        description="journals: what was confirmed, for each root and prefix",
    )
    max_file_bytes: int = Field(default=64 << 20, ge=1, description="larger files are refused")
    max_unpacked_bytes: int = Field(default=128 << 20, ge=1, description="of one Word document")
    max_parts: int = Field(default=5_000, ge=1, description="pages, or parts of an archive")
    max_depth: int = Field(default=64, ge=1, description="folders within folders")
    parsers: int = Field(default=2, ge=1, le=64, description="files read at a time")
    parser_memory_bytes: int = Field(default=1 << 30, ge=64 << 20, description="of each process")
    parse_timeout_s: float = Field(default=60.0, gt=0, description="for one file")
    files_each_parser: int = Field(default=500, ge=1, description="then its process is replaced")
    batch_documents: int = Field(default=50, ge=1, le=100)
    batch_bytes: int = Field(default=2 << 20, ge=1, description="of text; one document may be more")
    batches_in_flight: int = Field(default=3, ge=1, le=32)
    batch_linger_s: float = Field(default=0.2, ge=0, description="a batch waits for the next file")
    document_attempts: int = Field(default=8, ge=1, description="while the guild is busy")
    document_pause_s: float = Field(default=0.5, gt=0, description="doubles with each attempt")
    deletes_in_flight: int = Field(default=8, ge=1, le=64)
    errors_listed: int = Field(default=1_000, ge=1, description="more are only counted")
    progress_every_s: float = Field(default=5.0, gt=0, description="where there is no terminal")
    searchable_within_s: float = Field(default=86_400.0, gt=0, description="--wait gives up then")
    searchable_poll_s: float = Field(default=1.0, gt=0)
    questions_in_flight: int = Field(default=4, ge=1, le=64)
    max_line_bytes: int = Field(default=8 << 20, ge=1, description="of a data set's file")
    reembed_rounds: int = Field(
        default=50, ge=1, description="over a guild whose passages change all the while"
    )
    reembed_cleared: int = Field(
        default=1_000, ge=1, description="vectors put in place at a time behind a switch"
    )
    switch_timeout_s: float = Field(
        default=50.0, gt=0, description="of a statement that counts all passages of a guild"
    )
    cluster_url: str = Field(
        default="", description="Ray's dashboard, which takes jobs; empty: the local stack's"
    )
    cluster_token: SecretStr = Field(default=SecretStr(""), description="Ray's")
    stopped_within_s: float = Field(default=30.0, gt=0, description="a job that is told to end")
    replay_within_s: float = Field(default=86_400.0, gt=0, description="then it is not followed")
    replay_poll_s: float = Field(default=1.0, gt=0)
    rebuild_within_s: float = Field(
        default=3_600.0, gt=0, description="for all members of a pool to come back"
    )
    rebuild_poll_s: float = Field(default=0.5, gt=0)
    task_every_s: float = Field(
        default=5.0, gt=0, description="between two changes of the task that shows a job"
    )
    backup_within_s: float = Field(
        default=86_400.0, gt=0, description="a backup or a restore is given up then"
    )
    backup_processes: int = Field(default=2, ge=1, le=32, description="that dump at a time")


class TracingSettings(_Section):
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


class StackSettings(_Section):
    """The local stack: one supervisor process and what it starts. Not used in production."""

    http_port: int = Field(default=8000, ge=1, le=65535)
    start_timeout_s: float = Field(default=180.0, gt=0, description="from the command to ready")
    service_timeout_s: float = Field(default=60.0, gt=0, description="one server's start")
    stop_timeout_s: float = Field(default=15.0, gt=0, description="one server's orderly stop")
    ray_attempts: int = Field(default=3, ge=1, description="a busy machine fails Ray's start")
    check_period_s: float = Field(default=0.25, gt=0, description="how soon a death is noticed")
    restarts: int = Field(default=20, ge=1, description="of one part within the window")
    restart_window_s: float = Field(default=300.0, gt=0)
    restart_delay_s: float = Field(default=0.1, ge=0, description="doubles with each restart")
    restart_delay_max_s: float = Field(default=5.0, gt=0)
    restart_rest_s: float = Field(
        default=60.0, gt=0, description="how long what died too often stays down; doubles"
    )
    restart_rest_max_s: float = Field(default=600.0, gt=0)
    max_connections: int = Field(default=200, ge=20, description="of the embedded PostgreSQL")
    valkey_memory_mib: int = Field(default=256, ge=16)
    object_store_mib: int = Field(default=256, ge=80)


class RolloutSettings(_Section):
    """Two generations on one machine behind one nginx: `scripts/deploy.sh`."""

    ports: tuple[int, int] = Field(default=(8001, 8002), description="of blue and of green")
    nginx_config: Path = Field(
        default=Path("/etc/nginx/guild/nginx.conf"),
        description="upstream.conf beside it is written anew with each switch",
    )
    front_url: str = Field(default="", description="the public address; empty: gateway.issuer")
    ready_timeout_s: float = Field(default=300.0, gt=0, description="from the start to all checks")
    poll_s: float = Field(default=0.5, gt=0)
    request_timeout_s: float = Field(default=5.0, gt=0, description="of one check")
    front_checks: int = Field(default=5, ge=1, description="in a row, after a switch")
    switch_timeout_s: float = Field(
        default=5.0, gt=0, description="until those went well; then the switch is undone"
    )
    drain_s: float = Field(
        default=20.0, ge=0, description="from a switch back to the end of the one that answered"
    )
    stop_timeout_s: float = Field(default=60.0, gt=0, description="of a generation")


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
