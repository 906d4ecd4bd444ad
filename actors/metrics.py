"""Every metric name and label of the guild, in one place.

Each process counts in its own registry. Members hand their `samples` to the supervisor with each
health check and gateways push theirs, so that any gateway can render all of them, merged, as
``/metrics``. Ray's exporter is not used: it would put ``ray_`` before every name.

Most series are summed over the processes. Some say what several processes see alike, such as the
memory of their node or the age of an event: of those the highest counts.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample as _Exposed

REGISTRY = CollectorRegistry()
UNKNOWN = math.nan
"""What nobody can tell at present; it is not shown."""

_HIGHEST: set[str] = set()
_PLAIN: set[Gauge] = set()
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


def _seen_gauge(name: str, text: str, *labels: str) -> Gauge:
    """What processes see and do not share out: the highest counts, unknown until told."""
    _HIGHEST.add(name)
    gauge = _gauge(name, text, *labels)
    if not labels:
        gauge.set(UNKNOWN)
        _PLAIN.add(gauge)
    return gauge


def _seen_counter(name: str, text: str, *labels: str) -> Counter:
    """A total that somebody else counts, such as the kernel of a node; the highest counts."""
    _HIGHEST.add(name)
    return _counter(name, text, *labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


# Names that callers of the first version know; they stay.
EVENTS_PUBLISHED = _counter("events_published", "Events committed to the log.", "type")
EVENTS_PROCESSED = _counter("events_processed", "Deliveries finished.", "subscription", "result")
HTTP_SECONDS = _histogram(
    "http_request_duration_seconds", "HTTP requests.", _SECONDS, "method", "route", "status"
)
ACTIVE_CONNECTIONS = _gauge("active_connections", "HTTP requests being answered.")
EVENT_STREAMS = _gauge("elders_guild_event_streams", "Event streams that are open.")
EVENT_STREAMS_ENDED = _counter("elders_guild_event_streams_ended", "Event streams over.", "reason")
SPANS_EXPORTED = _counter("elders_guild_spans_exported", "Spans that the collector took.")
SPANS_DROPPED = _counter("elders_guild_spans_dropped", "Spans that nobody took.", "reason")
RATE_LIMITED = _counter("elders_guild_rate_limited", "Requests over a quota.", "policy")
RATE_COUNT_AWAY = _counter(
    "elders_guild_rate_count_away", "Times that the shared count of requests did not answer."
)
AUDIT_NOTES_DROPPED = _counter(
    "elders_guild_audit_notes_dropped", "Sign-ins and refusals that the audit log does not have."
)

# Runtime.
MESSAGES = _counter(
    "elders_guild_messages", "Messages handled by a member.", "pool", "message", "outcome"
)
MESSAGE_SECONDS = _histogram(
    "elders_guild_message_duration_seconds", "Handling in a member.", _SECONDS, "pool", "message"
)
UNFINISHED = _gauge("elders_guild_unfinished_messages", "Messages running in members.", "pool")
MAILBOX_DEPTH = _gauge("elders_guild_mailbox_depth", "Messages waiting at their callers.", "pool")
BATCH_SIZE = _histogram("elders_guild_batch_size", "Messages in one call.", _SIZES, "pool")
ASKS_RETRIED = _counter("elders_guild_asks_retried", "Asks sent once more.", "pool", "reason")
REFUSED = _counter(
    "elders_guild_refused_messages",
    "Messages refused because a bound was reached.",
    "pool",
    "where",
)
MEMBERS = _gauge("elders_guild_members", "Members of the pools.", "pool", "state")
POOL_SIZE = _gauge("elders_guild_pool_size", "Members that a pool should have.", "pool")
POOL_RESIZES = _counter(
    "elders_guild_pool_resizes", "Changes of a pool's size by the supervisor.", "pool", "reason"
)
POOL_OLDEST_WAIT = _gauge(
    "elders_guild_pool_oldest_wait_seconds", "Wait of the oldest message in a mailbox.", "pool"
)
POOL_BUSY = _gauge(
    "elders_guild_pool_busy_share", "Share of time that its event loops are at work.", "pool"
)
MAX_MEMBERS = _gauge("elders_guild_max_members", "Size beyond which a pool never grows.", "pool")
RESTARTS = _counter("elders_guild_restarts", "Members started again.", "pool", "reason")
QUARANTINED = _gauge(
    "elders_guild_quarantined_members", "Members not started again for a while.", "pool"
)
LEADER_EPOCH = _seen_gauge("elders_guild_supervisor_epoch", "Epoch of the supervisor's leadership.")

# Storage and events.
QUERY_SECONDS = _histogram(
    "elders_guild_query_duration_seconds", "SQL statements, by their verb.", _SECONDS, "statement"
)
TRANSACTIONS = _counter("elders_guild_transactions", "Transactions ended.", "result")
OUTBOX_LAG_SECONDS = _seen_gauge(
    "elders_guild_outbox_lag_seconds",
    "Age of the oldest event not yet delivered, of the slowest subscription of a series.",
    "subscription",
)
SLOWEST_SECONDS = _seen_gauge(
    "elders_guild_slowest_subscription_lag_seconds",
    "The same of the few declared subscriptions that are furthest behind, by their id.",
    "subscription",
)
HORIZON_AGE_SECONDS = _seen_gauge(
    "elders_guild_log_horizon_age_seconds", "How long the oldest open transaction has been open."
)
DATABASE_CONNECTIONS = _seen_gauge(
    "elders_guild_active_connections", "Connections to the PostgreSQL server, of all databases."
)
MAX_CONNECTIONS = _seen_gauge("elders_guild_max_connections", "Connections that it allows.")
CONNECTION_USAGE = _seen_gauge(
    "elders_guild_connection_usage_percent", "Connections in use, of those allowed."
)
DATABASE_BYTES = _seen_gauge("elders_guild_database_size_bytes", "Size of the guild's database.")
REPLICATION_LAG_SECONDS = _seen_gauge(
    "elders_guild_replication_lag_seconds",
    "How far a standby is behind, where the role guild_log may see it.",
    "standby",
)
REDIS_UP = _seen_gauge("elders_guild_redis_up", "Whether Redis answers the router: 1 or 0.")
REDIS_BYTES = _seen_gauge("elders_guild_redis_memory_bytes", "Memory that Redis uses.")
REDIS_LIMIT_BYTES = _seen_gauge(
    "elders_guild_redis_memory_limit_bytes", "Memory that it may use; 0: no bound of its own."
)
DEAD_LETTERS = _counter("elders_guild_dead_letters", "Deliveries given up.", "subscription")
DEAD_LETTERS_WAITING = _seen_gauge(
    "elders_guild_dead_letters_waiting", "Dead letters that nobody has dealt with yet."
)

# What the sages hold.
KNOWLEDGE_ENTITIES = _seen_gauge(
    "elders_guild_knowledge_entities_total", "Knowledge entities of all guilds, now."
)
TASKS_BY_STATUS = _seen_gauge("elders_guild_tasks_by_status", "Tasks of all guilds.", "status")
INCIDENTS_BY_SEVERITY = _seen_gauge(
    "elders_guild_incidents_by_severity", "Open incidents of all guilds.", "severity"
)
RAG_QUERIES = _counter("elders_guild_rag_queries", "Searches, questions and dossiers.", "mode")
RAG_FEEDBACK = _counter(
    "elders_guild_rag_feedback", "Sources said to answer a query, or not to.", "origin"
)
INDEX_LARGEST_SHARD = _seen_gauge(
    "elders_guild_index_largest_shard_passages", "Passages of the largest shard of a member."
)
INDEX_SHARDS_HELD = _gauge("elders_guild_index_shards_held", "Shards that a member holds.")
INDEX_PARTIAL = _counter("elders_guild_index_partial_answers", "Answers without every shard.")
INDEX_SNAPSHOTS = _counter(
    "elders_guild_index_snapshots", "Index snapshots, by what became of them.", "outcome"
)
INDEX_UNREADABLE = _counter(
    "elders_guild_index_unreadable_events", "Events that the indexes of a member had to pass over."
)
EMBEDDED_TEXTS = _counter("elders_guild_embedded_texts", "Texts made vectors of.", "purpose")
EMBED_SECONDS = _histogram(
    "elders_guild_embed_duration_seconds",
    "Texts of one message, with waiting.",
    _SECONDS,
    "purpose",
)
EMBED_WAITING = _gauge("elders_guild_embed_waiting_texts", "Waiting or being embedded.", "purpose")
EMBED_CACHE = _counter("elders_guild_embed_cache", "Queries looked up among those known.", "result")
DENSE_LEG_OFF = _counter(
    "elders_guild_dense_leg_off",
    "Indexes asked by words alone where the meaning was wanted.",
    "reason",
)
INDEX_LAG_EVENTS = _seen_gauge(
    "elders_guild_index_lag_events",
    "What a member's index has not got: events of the log, and passages without a vector.",
    "leg",
)
INDEX_LAG_SECONDS = _seen_gauge(
    "elders_guild_index_lag_seconds", "Since when a member's index has not been level with the log."
)

# Machines. Every process of a node sees the same.
NODE_CPU_SECONDS = _seen_counter(
    "elders_guild_node_cpu_seconds", "Time of all cores together.", "node", "mode"
)
NODE_CPUS = _seen_gauge("elders_guild_node_cpus", "Cores.", "node")
NODE_MEMORY_BYTES = _seen_gauge("elders_guild_node_memory_size_bytes", "Memory.", "node")
NODE_MEMORY_FREE_BYTES = _seen_gauge(
    "elders_guild_node_memory_available_bytes", "Memory to be had without swapping.", "node"
)
NODE_DISK_BYTES = _seen_gauge(
    "elders_guild_node_disk_size_bytes",
    "Size of the file system that holds a folder.",
    "node",
    "folder",
)
NODE_DISK_FREE_BYTES = _seen_gauge(
    "elders_guild_node_disk_available_bytes", "What of it can still be written.", "node", "folder"
)
NODE_NETWORK_BYTES = _seen_counter(
    "elders_guild_node_network_bytes", "All interfaces but the loopback.", "node", "direction"
)

MOST_VALUES = {
    "type": 200,  # events: ours by name, those of subscribers' own types as one
    "subscription": 50,  # built in by name, declared ones by their sink; ids of a few
    "result": 8,
    "method": 9,
    "route": 200,  # the template, never the path
    "status": 60,  # of HTTP, and of tasks
    "reason": 12,
    "policy": 4,
    "pool": 10,
    "message": 120,  # class names
    "outcome": 16,  # codes of errors
    "where": 3,
    "state": 8,
    "statement": 7,  # the verb of SQL
    "standby": 10,
    "severity": 5,
    "mode": 8,
    "origin": 2,
    "purpose": 2,
    "leg": 2,
    "node": 100,
    "folder": 2,
    "direction": 2,
}
"""Label → how many values it may have, at most. Ids and what clients choose are no labels."""


def embed_purpose(urgent: bool) -> str:
    """The label: what the vectors are for."""
    return "query" if urgent else "passage"


class Sample(NamedTuple):
    """One number of one process, as it travels to the hub."""

    family: str
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def samples() -> tuple[Sample, ...]:
    """This process's numbers now, without what it does not know."""
    return tuple(
        Sample(family.name, one.name, tuple(sorted(one.labels.items())), one.value)
        for family in REGISTRY.collect()
        for one in family.samples
        if not one.name.endswith("_created")  # a restart must not look like a new series
        and not math.isnan(one.value)
    )


def only_grows(sample: Sample) -> bool:
    """Whether the number is a total of ours, which must outlive the process that counted it."""
    return _TYPES.get(sample.family) in ("counter", "histogram") and not is_seen(sample)


def is_seen(sample: Sample) -> bool:
    """Whether processes see this number and do not share it out: the highest counts."""
    return sample.family in _HIGHEST


def forget(*gauges: Gauge) -> None:
    """What a process said while it led and can no longer tell."""
    for gauge in gauges:
        if gauge in _PLAIN:
            gauge.set(UNKNOWN)
        else:
            gauge.clear()


def render(merged: Iterable[Sample]) -> bytes:
    """The Prometheus text of merged samples. Families unknown to this version are left out."""
    families = {
        family.name: Metric(family.name, family.documentation, family.type)
        for family in REGISTRY.collect()
    }
    for one in merged:
        if one.family in families:
            exposed = _Exposed(one.name, dict(one.labels), one.value)
            families[one.family].samples.append(exposed)
    registry = CollectorRegistry()
    registry.register(_Fixed([family for family in families.values() if family.samples]))
    return prometheus_client.generate_latest(registry)


class _Fixed:
    """A collector of what was collected elsewhere."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


_TYPES = {family.name: family.type for family in REGISTRY.collect()}
