"""Alertmanager's webhook, version 4: the one place where unknown fields are accepted.

Newer Alertmanagers send ``notification_reason`` and ``routeLabels``, Grafana ``orgId``,
``silenceURL`` and more; none of that may turn an alert away.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from actors.incident.messages import AlertsAccepted, AlertStatus, IncomingAlert, ReceiveAlerts
from serve_app.call import Origin
from serve_app.schemas.common import example
from serve_app.strict import Moment, View

_LabelName = Annotated[str, Field(min_length=1, max_length=200)]
_LabelValue = Annotated[str, Field(max_length=1_024)]
_Labels = Annotated[dict[_LabelName, _LabelValue], Field(max_length=64)]
_Annotations = Annotated[
    dict[_LabelName, Annotated[str, Field(max_length=16_384)]], Field(max_length=64)
]
_Url = Annotated[str, Field(max_length=4_096)]
_ZERO_YEAR = 1


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class AlertIn(_Lenient):
    """One alert of the notification."""

    status: AlertStatus
    labels: _Labels
    annotations: _Annotations = Field(default_factory=dict)
    starts_at: Moment = Field(alias="startsAt")
    ends_at: Moment | None = Field(default=None, alias="endsAt")
    generator_url: _Url = Field(default="", alias="generatorURL")
    fingerprint: str = Field(pattern="^[A-Za-z0-9_.:-]{1,128}$")

    def to_alert(self) -> IncomingAlert:
        """The alert; an end in the year 1 means that it still fires."""
        ended = self.ends_at is not None and self.ends_at.year > _ZERO_YEAR
        return IncomingAlert(
            fingerprint=self.fingerprint,
            status=self.status,
            labels=self.labels,
            annotations=self.annotations,
            starts_at=_plausible(self.starts_at),
            ends_at=self.ends_at if ended else None,
            generator_url=self.generator_url,
        )


class NotificationIn(_Lenient):
    """One notification: alerts that Alertmanager has grouped."""

    version: Literal["4"]
    group_key: str = Field(alias="groupKey", min_length=1, max_length=4_096)
    truncated_alerts: int = Field(default=0, ge=0, alias="truncatedAlerts")
    status: AlertStatus
    receiver: str = Field(max_length=256)
    group_labels: _Labels = Field(default_factory=dict, alias="groupLabels")
    common_labels: _Labels = Field(default_factory=dict, alias="commonLabels")
    common_annotations: _Annotations = Field(default_factory=dict, alias="commonAnnotations")
    external_url: _Url = Field(default="", alias="externalURL")
    alerts: tuple[AlertIn, ...] = Field(min_length=1)

    model_config = ConfigDict(
        json_schema_extra=example(
            version="4",
            groupKey='{}:{alertname="DiskFull"}',
            truncatedAlerts=0,
            status="firing",
            receiver="guild",
            groupLabels={"alertname": "DiskFull"},
            commonLabels={"alertname": "DiskFull", "severity": "critical"},
            commonAnnotations={"summary": "the disk is full"},
            externalURL="http://alertmanager.example:9093",
            alerts=[
                {
                    "status": "firing",
                    "labels": {"alertname": "DiskFull", "severity": "critical"},
                    "annotations": {"summary": "the disk is full"},
                    "startsAt": "2026-03-01T12:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus.example:9090/graph",
                    "fingerprint": "c0ffee0123456789",
                }
            ],
        )
    )

    def to_message(self, origin: Origin) -> ReceiveAlerts:
        """The notification as the Incident sage takes it."""
        return ReceiveAlerts(
            **origin,
            alerts=tuple(alert.to_alert() for alert in self.alerts),
            group_key=self.group_key,
            receiver=self.receiver,
            group_labels=self.group_labels,
            common_labels=self.common_labels,
            common_annotations=self.common_annotations,
            external_url=self.external_url,
        )


class AcceptedView(View):
    """What became of a notification."""

    accepted: int
    deduplicated: int
    incidents: tuple[str, ...]

    @classmethod
    def from_reply(cls, reply: AlertsAccepted) -> "AcceptedView":
        """The counts and the incidents that the alerts belong to now."""
        return cls.model_validate(reply)


def _plausible(moment: datetime) -> datetime:
    """The zero time of Go, seen in hand-made alerts, is no start: the epoch stands for it."""
    return moment if moment.year > _ZERO_YEAR else datetime(1970, 1, 1, tzinfo=UTC)
