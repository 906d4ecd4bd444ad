"""The HTTP edge."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from pydantic import Field, model_validator

from actors.sections.base import Section


class RateSettings(Section):
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


class GatewaySettings(Section):
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


class UploadSettings(Section):
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


class AuditSettings(Section):
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
