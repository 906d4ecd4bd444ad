"""What the demonstration is about: one trouble of this system, seen by two of its instances."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cluster.api import Json

ALERT = "GuildLogHorizonHeld"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One alert, and what the people who answer it say.

    Attributes:
        deployment: label that both alerts of one demonstration share.
        instance: label that tells them apart, so that each has a fingerprint of its own.
        run_id: names the requests of this story: playing it again repeats them instead of
            doing anything twice.
        starts_at: when it began to fire.
    """

    deployment: str
    instance: str
    run_id: str
    starts_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    impact: str = "Dossiers, tasks and search stand still; requests are answered."
    root_cause: str = (
        "A reporting session wrote a temporary table, was left open over lunch, and held the"
        " oldest transaction of the server."
    )
    resolution: str = (
        "Ended the idle session with pg_terminate_backend;"
        " the router delivered the backlog in order."
    )
    prevention: str = "Idle transactions of the reporting role end after sixty seconds."
    lessons: str = (
        "When every subscription lags at once, look for the oldest open transaction before"
        " looking at the router. Reporting sessions need an idle-in-transaction limit."
    )

    @property
    def labels(self) -> dict[str, str]:
        """Of the alert, as its rule in ``cluster/deploy/prometheus`` sets them."""
        return {
            "alertname": ALERT,
            "severity": "high",
            "service": "elders-guild",
            "component": "postgresql",
            "deployment": self.deployment,
            "instance": self.instance,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """Of the alert."""
        return {
            "summary": "An open transaction holds the log's horizon",
            "description": "No subscription has seen events of the last 3m 20s.",
        }

    @property
    def fingerprint(self) -> str:
        """As Alertmanager has one: the same for the same labels, whenever it fires."""
        text = "\xff".join(f"{name}\xff{value}" for name, value in sorted(self.labels.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def notification(self) -> Json:
        """What Alertmanager's webhook sends, version 4."""
        group = {"alertname": ALERT, "service": "elders-guild"}
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{ALERT}", deployment="{self.deployment}"}}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "elders-guild",
            "groupLabels": group,
            "commonLabels": self.labels,
            "commonAnnotations": self.annotations,
            "externalURL": "http://127.0.0.1:9093",
            "alerts": [
                {
                    "status": "firing",
                    "labels": self.labels,
                    "annotations": self.annotations,
                    "startsAt": self.starts_at.isoformat().replace("+00:00", "Z"),
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://127.0.0.1:9090/graph",
                    "fingerprint": self.fingerprint,
                }
            ],
        }
