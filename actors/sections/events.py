"""The bus, the router and where events go."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import Field

from actors.sections.base import Section


class BusSettings(Section):
    """Publishing, subscribing, pulling, timers. Sizes in bytes."""

    max_event_bytes: int = Field(default=256 << 10, ge=1024, description="one payload")
    max_batch_events: int = Field(default=1_000, ge=1, description="events of one request")
    group_events: int = Field(default=500, ge=1, description="events of one commit")
    group_bytes: int = Field(default=4 << 20, ge=1024, description="payloads of one commit")
    groups_in_flight: int = Field(default=2, ge=1, description="commits at one time, per member")
    group_patience_s: float = Field(
        default=0.25, gt=0, description="a guild's commit takes so long: then another one beside it"
    )
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


class SagaSettings(Section):
    """Processes of several steps."""

    page: int = Field(default=200, ge=1)
    action_timeout_s: float = Field(
        default=25.0, gt=0, description="below router.ack_timeout_s, which contains it"
    )
    commit_attempts: int = Field(
        default=8, ge=1, description="when two events of one saga are handled at a time"
    )


class RouterSettings(Section):
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


class OutboundSettings(Section):
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


class WebhookSettings(Section):
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
