"""Grafana's dashboards, from a few lines each: ``python -m cluster.dashboards`` writes the JSON.

Few and good: one for the job the guild is there for, one for what carries it. A test holds the
files equal to this, and every expression equal to the metrics that exist.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "deploy" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "guild-prometheus"}
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8
_SCHEMA = 39

Query = tuple[str, str]
"""An expression, and what Grafana calls each of its series."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph; ``unit`` is Grafana's word, such as ``s``, ``bytes`` or ``reqps``."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def graph(title: str, unit: str, *queries: Query) -> Panel:
    """Over time."""
    return Panel(title, unit, queries)


def number(title: str, unit: str, expression: str) -> Panel:
    """One number, now."""
    return Panel(title, unit, ((expression, ""),), "stat")


def rate(counter: str, by: str = "", where: str = "") -> str:
    """How often a second. What has not happened yet is 0, so that a panel is never empty."""
    inner = (
        f"rate({counter}{{{where}}}[$__rate_interval])"
        if where
        else (f"rate({counter}[$__rate_interval])")
    )
    return f"sum by ({by}) ({inner})" if by else f"sum({inner}) or vector(0)"


def quantile(histogram: str, share: float, by: str = "", where: str = "") -> str:
    """Below which value so many of them lie."""
    selector = f"{histogram}_bucket{{{where}}}" if where else f"{histogram}_bucket"
    grouped = f"le, {by}" if by else "le"
    inner = f"sum by ({grouped}) (rate({selector}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inner})"


_HTTP = "http_request_duration_seconds"
_MESSAGE = "elders_guild_message_duration_seconds"
_NO_STREAM = 'route!="/api/v1/events/stream"'
_NODE = "elders_guild_node"

DASHBOARDS = (
    Dashboard(
        "guild-main-job",
        "Elders Guild: the main job",
        (
            number("Open incidents", "none",
                   "sum(elders_guild_incidents_by_severity) or vector(0)"),
            number("Dead letters that wait", "none", "max(elders_guild_dead_letters_waiting)"),
            number("Requests refused or failed", "percentunit",
                   f'(sum(rate({_HTTP}_count{{status=~"429|5.."}}[$__rate_interval])) or vector(0))'
                   f" / sum(rate({_HTTP}_count[$__rate_interval]))"),
            graph("Incidents open, by severity", "none",
                  ("sum by (severity) (elders_guild_incidents_by_severity) or vector(0)",
                   "{{severity}}")),
            graph("Tasks", "none",
                  ("sum by (status) (elders_guild_tasks_by_status)", "{{status}}")),
            graph("Knowledge entities", "none",
                  ("max(elders_guild_knowledge_entities_total)", "entities")),
            graph("From alert to review: events", "cps",
                  (rate("events_published_total", "type",
                        'type=~"sage[.](incident|knowledge|task)[.].*"'), "{{type}}")),
            graph("How long events wait for their sage", "s",
                  ("max by (subscription) (elders_guild_outbox_lag_seconds)", "{{subscription}}")),
            graph("Dossiers, p95", "s",
                  (quantile(_MESSAGE, 0.95, where='message="FindEvidence"'), "evidence")),
        ),
    ),
    Dashboard(
        "guild-search",
        "Elders Guild: search",
        (
            graph("Searches, questions and dossiers", "reqps",
                  (rate("elders_guild_rag_queries_total", "mode"), "{{mode}}")),
            graph("Search within a member, p50 and p95", "s",
                  (quantile(_MESSAGE, 0.5, where='message="Search"'), "p50"),
                  (quantile(_MESSAGE, 0.95, where='message="Search"'), "p95")),
            graph("How far the index is behind the log", "s",
                  ("max(elders_guild_index_lag_seconds)", "behind")),
            graph("Passages without a vector", "none",
                  ('max(elders_guild_index_lag_events{leg="dense"})', "waiting")),
            graph("Texts embedded", "cps",
                  (rate("elders_guild_embedded_texts_total", "purpose"), "{{purpose}}")),
            graph("Embedding with waiting, p95", "s",
                  (quantile("elders_guild_embed_duration_seconds", 0.95, "purpose"),
                   "{{purpose}}")),
            graph("Queries known to the embedder's cache", "percentunit",
                  ('sum(rate(elders_guild_embed_cache_total{result="hit"}[$__rate_interval]))'
                   " / sum(rate(elders_guild_embed_cache_total[$__rate_interval])) or vector(0)",
                   "known")),
            graph("Answers that lack something", "cps",
                  (rate("elders_guild_dense_leg_off_total"), "by words alone"),
                  (rate("elders_guild_index_partial_answers_total"), "without every shard"),
                  (rate("elders_guild_index_unreadable_events_total"), "events passed over")),
            graph("Largest shard of a member", "none",
                  ("max(elders_guild_index_largest_shard_passages)", "passages")),
        ),
    ),
    Dashboard(
        "guild-events",
        "Elders Guild: events and delivery",
        (
            graph("Events committed", "cps", (rate("events_published_total"), "events")),
            graph("Deliveries, by what became of them", "cps",
                  (rate("events_processed_total", "result"), "{{result}}")),
            graph("Deliveries, by subscription", "cps",
                  (rate("events_processed_total", "subscription"), "{{subscription}}")),
            graph("Lag of the slowest subscription of a series", "s",
                  ("max by (subscription) (elders_guild_outbox_lag_seconds)", "{{subscription}}")),
            graph("Declared subscriptions furthest behind", "s",
                  ("max by (subscription) (elders_guild_slowest_subscription_lag_seconds)"
                   " or vector(0)", "{{subscription}}")),
            graph("Dead letters", "none",
                  ("sum by (subscription) (increase("
                   "elders_guild_dead_letters_total[$__rate_interval]))", "{{subscription}}")),
            graph("Age of the oldest open transaction", "s",
                  ("max(elders_guild_log_horizon_age_seconds)", "horizon")),
            graph("Event streams that are open", "none",
                  ("sum(elders_guild_event_streams)", "streams")),
            graph("Event streams that ended", "cps",
                  (rate("elders_guild_event_streams_ended_total"), "ended")),
        ),
    ),
    Dashboard(
        "guild-machines",
        "Elders Guild: machines and pools",
        (
            graph("CPU in use", "percentunit",
                  (f'1 - sum by (node) (rate({_NODE}_cpu_seconds_total{{mode=~"idle|iowait"}}'
                   f"[$__rate_interval])) / sum by (node) (rate({_NODE}_cpu_seconds_total"
                   "[$__rate_interval]))", "{{node}}")),
            graph("Memory in use", "percentunit",
                  (f"1 - max by (node) ({_NODE}_memory_available_bytes)"
                   f" / max by (node) ({_NODE}_memory_size_bytes)", "{{node}}")),
            graph("Disk left", "bytes",
                  (f"min by (node, folder) ({_NODE}_disk_available_bytes)",
                   "{{node}} {{folder}}")),
            graph("Network", "Bps",
                  (f"sum by (node, direction) (rate({_NODE}_network_bytes_total"
                   "[$__rate_interval]))", "{{node}} {{direction}}")),
            graph("Requests, by status", "reqps", (rate(f"{_HTTP}_count", "status"), "{{status}}")),
            graph("Requests, p95 by route", "s",
                  (quantile(_HTTP, 0.95, "route", _NO_STREAM), "{{route}}")),
            graph("Requests being answered", "none", ("sum(active_connections)", "requests")),
            graph("Members, by state", "none",
                  ("sum by (pool, state) (elders_guild_members) > 0", "{{pool}} {{state}}")),
            graph("Members wanted", "none",
                  ("max by (pool) (elders_guild_pool_size)", "{{pool}}"),
                  ("max by (pool) (elders_guild_max_members)", "{{pool}} at most")),
            graph("Messages that wait for a member", "none",
                  ("sum by (pool) (elders_guild_mailbox_depth)", "{{pool}}")),
            graph("Longest wait for a member", "s",
                  ("max by (pool) (elders_guild_pool_oldest_wait_seconds)", "{{pool}}")),
            graph("Event loops at work", "percentunit",
                  ("max by (pool) (elders_guild_pool_busy_share)", "{{pool}}")),
            graph("Messages running", "none",
                  ("sum by (pool) (elders_guild_unfinished_messages)", "{{pool}}")),
            graph("Messages in one call", "none",
                  ("sum by (pool) (rate(elders_guild_batch_size_sum[$__rate_interval]))"
                   " / sum by (pool) (rate(elders_guild_batch_size_count[$__rate_interval]))",
                   "{{pool}}")),
            graph("Handling in a member, p95", "s", (quantile(_MESSAGE, 0.95, "pool"), "{{pool}}")),
            graph("Members lost, messages refused and repeated", "cps",
                  (rate("elders_guild_restarts_total"), "lost"),
                  (rate("elders_guild_refused_messages_total"), "refused"),
                  (rate("elders_guild_asks_retried_total"), "repeated")),
            graph("SQL statements, p95", "s",
                  (quantile("elders_guild_query_duration_seconds", 0.95, "statement"),
                   "{{statement}}")),
            graph("Transactions", "cps",
                  (rate("elders_guild_transactions_total", "result"), "{{result}}")),
            graph("Connections to PostgreSQL", "percent",
                  ("max(elders_guild_connection_usage_percent)", "in use")),
            graph("Memory of Redis", "bytes",
                  ("max(elders_guild_redis_memory_bytes)", "used"),
                  ("max(elders_guild_redis_memory_limit_bytes)", "at most")),
        ),
    ),
)  # fmt: skip


def render(dashboard: Dashboard) -> str:
    """The JSON that Grafana reads; the same for the same dashboard."""
    page = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["elders-guild"],
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "schemaVersion": _SCHEMA,
        "panels": [_panel(panel, place) for place, panel in enumerate(dashboard.panels)],
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _panel(panel: Panel, place: int) -> Mapping[str, Any]:
    row, column = divmod(place, _COLUMNS)
    return {
        "id": place + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": _targets(panel.queries),
    }


def _targets(queries: Sequence[Query]) -> list[Mapping[str, Any]]:
    return [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": expression,
            "legendFormat": legend or "__auto",
        }
        for place, (expression, legend) in enumerate(queries)
    ]


def main() -> None:
    """Writes them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        path = FOLDER / f"{dashboard.uid.removeprefix('guild-')}.json"
        path.write_text(render(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
