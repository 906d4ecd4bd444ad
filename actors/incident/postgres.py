"""The Incident sage's store in PostgreSQL."""

import json
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from actors import clock
from actors.errors import InvalidTransition, NotFound, VersionConflict
from actors.events import StoredEvent
from actors.incident.domain import escalation
from actors.incident.domain.change import Change, Record
from actors.incident.domain.intake import Intake, Known, correlation_keys
from actors.incident.domain.paging import After
from actors.incident.messages import (
    OPEN_STATUSES,
    Alert,
    AlertsAccepted,
    AlertStatus,
    Dossier,
    Incident,
    IncidentId,
    ListIncidents,
    ReceiveAlerts,
    Review,
    Status,
)
from actors.runtime.message import Command, GuildId, ReplyT
from actors.storage import inbox, log, outbox, timers
from actors.storage.database import Database, Transaction
from actors.storage.timers import NewTimer

_OPEN = ", ".join(f"'{status}'" for status in sorted(OPEN_STATUSES))

_GET = "SELECT record FROM incidents WHERE guild_id = $1 AND incident_id = $2"
_GET_VERSION = """
SELECT record FROM incident_versions
WHERE guild_id = $1 AND record_id = $2 AND version <= $3
  AND $3 <= (SELECT version FROM incidents WHERE guild_id = $1 AND incident_id = $2)
ORDER BY version DESC LIMIT 1
"""
PAGE = """
SELECT record FROM incidents
WHERE guild_id = $1
  AND ($2::text[] IS NULL OR status = ANY($2))
  AND ($3::text[] IS NULL OR severity = ANY($3))
  AND ($4::text IS NULL OR assignee = $4)
  AND ($5::timestamptz IS NULL OR (detected_at, incident_id) < ($5, $6))
ORDER BY detected_at DESC, incident_id DESC
LIMIT $7
"""
_ALERTS = """
SELECT * FROM alerts WHERE guild_id = $1 AND incident_id = $2 AND fingerprint > $3
ORDER BY fingerprint LIMIT $4
"""
_DOSSIER = "SELECT record FROM dossiers WHERE guild_id = $1 AND incident_id = $2"
_REVIEW = "SELECT record FROM reviews WHERE guild_id = $1 AND incident_id = $2"

# Rows are locked in the order of their keys, so that two notifications do not wait in a ring.
_LOCK_GROUP = "SELECT pg_advisory_xact_lock(hashtextextended($1 || $2, 0))"
_KNOWN_ALERTS = """
SELECT * FROM alerts WHERE guild_id = $1 AND fingerprint = ANY($2)
ORDER BY fingerprint FOR UPDATE
"""
# The planner uses a partial index only where it sees its very condition.
_KNOWN_INCIDENTS = f"""
WITH own AS (
    SELECT correlation_key FROM incidents WHERE guild_id = $1 AND incident_id = ANY($2)
)
SELECT record FROM incidents
WHERE guild_id = $1
  AND (incident_id = ANY($2)
       OR (status IN ({_OPEN})
           AND correlation_key = ANY($3 || ARRAY(SELECT correlation_key FROM own))))
ORDER BY incident_id FOR UPDATE
"""  # noqa: S608  # constants only

_INSERT_INCIDENTS = """
INSERT INTO incidents (guild_id, incident_id, version, detected_at, record)
SELECT $1, new.* FROM unnest($2::text[], $3::int[], $4::timestamptz[], $5::jsonb[]) AS new
"""
_UPDATE_INCIDENTS = """
UPDATE incidents SET version = new.version, record = new.record
FROM unnest($2::text[], $3::int[], $4::int[], $5::jsonb[])
     AS new(incident_id, version_before, version, record)
WHERE incidents.guild_id = $1
  AND incidents.incident_id = new.incident_id AND incidents.version = new.version_before
"""
_WRITE_OF_INCIDENT = """
INSERT INTO {table} AS old (guild_id, incident_id, version, record) VALUES ($1, $2, $4, $5)
ON CONFLICT (guild_id, incident_id) DO UPDATE SET version = $4, record = $5 WHERE old.version = $3
"""
_WRITE_DOSSIER = _WRITE_OF_INCIDENT.format(table="dossiers")
_WRITE_REVIEW = _WRITE_OF_INCIDENT.format(table="reviews")
_KEEP_VERSIONS = """
INSERT INTO incident_versions (guild_id, record_id, version, record)
SELECT $1, new.* FROM unnest($2::text[], $3::int[], $4::jsonb[]) AS new
"""

# A row that another notification wrote in between has a count that is not one below ours.
_ALERT_COLUMNS = """
fingerprint, alert_id, incident_id, name, status, labels, annotations, starts_at, ends_at,
generator_url, received_count, first_received_at, last_received_at, changed_at
"""
_WRITE_ALERTS = f"""
INSERT INTO alerts (guild_id, {_ALERT_COLUMNS})
SELECT $1, new.* FROM unnest(
    $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[],
    $9::timestamptz[], $10::timestamptz[], $11::text[], $12::int[], $13::timestamptz[],
    $14::timestamptz[], $15::timestamptz[]) AS new
ON CONFLICT (guild_id, fingerprint) DO UPDATE SET
    (incident_id, name, status, labels, annotations, starts_at, ends_at, generator_url,
     received_count, last_received_at, changed_at) =
    (excluded.incident_id, excluded.name, excluded.status, excluded.labels, excluded.annotations,
     excluded.starts_at, excluded.ends_at, excluded.generator_url, excluded.received_count,
     excluded.last_received_at, excluded.changed_at)
WHERE alerts.received_count = excluded.received_count - 1
"""  # noqa: S608  # constants only

_incidents = TypeAdapter(Incident)
_dossiers = TypeAdapter(Dossier)
_reviews = TypeAdapter(Review)


class PostgresIncidentStore:
    """An `IncidentStore`; also reads the log for timelines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(
        self, guild_id: GuildId, incident_id: IncidentId, version: int | None = None
    ) -> Incident:
        """The incident as it is, or as it was at ``version``."""
        async with self._database.read(guild_id) as tx:
            if version is None:
                found = await tx.fetchval(_GET, guild_id, incident_id)
            else:
                found = await tx.fetchval(_GET_VERSION, guild_id, incident_id, version)
        if found is None:
            raise NotFound("incident", incident_id)
        return _incidents.validate_json(found)

    async def page(self, query: ListIncidents, after: After | None) -> Sequence[Incident]:
        """At most ``query.limit`` incidents, latest first, behind ``after``."""
        guild_id = query.context.caller.guild_id
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                PAGE,
                guild_id,
                [status.value for status in query.statuses] or None,
                [severity.value for severity in query.severities] or None,
                query.assignee,
                None if after is None else after.detected_at,
                None if after is None else after.incident_id,
                query.limit,
            )
        return [_incidents.validate_json(row["record"]) for row in rows]

    async def alerts(
        self, guild_id: GuildId, incident_id: IncidentId, after: str, limit: int
    ) -> Sequence[Alert]:
        """At most ``limit`` alerts of the incident with fingerprints above ``after``."""
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(_ALERTS, guild_id, incident_id, after, limit)
        return [_alert(row) for row in rows]

    async def events(
        self, guild_id: GuildId, correlation_id: str, limit: int
    ) -> Sequence[StoredEvent]:
        """The first events of a correlation, oldest first."""
        return await log.of_correlation(self._database, guild_id, correlation_id, limit)

    async def dossier(self, guild_id: GuildId, incident_id: IncidentId) -> Dossier | None:
        """The incident's dossier, or None."""
        async with self._database.read(guild_id) as tx:
            found = await tx.fetchval(_DOSSIER, guild_id, incident_id)
        return None if found is None else _dossiers.validate_json(found)

    async def review(self, guild_id: GuildId, incident_id: IncidentId) -> Review | None:
        """The incident's review, or None."""
        async with self._database.read(guild_id) as tx:
            found = await tx.fetchval(_REVIEW, guild_id, incident_id)
        return None if found is None else _reviews.validate_json(found)

    async def commit(self, cause: Command[ReplyT], reply: ReplyT, *changes: Change) -> None:
        """Writes records, their events and the command's reply in one transaction."""
        guild_id = cause.context.caller.guild_id
        try:
            async with self._database.transaction(guild_id) as tx:
                await _write(tx, cause, changes)
                await inbox.record(tx, cause, reply)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name == "incidents_one_open":
                raise InvalidTransition("incident", Status.RESOLVED, Status.OPEN) from error
            raise VersionConflict("incident", changes[0].record_id) from error

    async def receive(
        self, command: ReceiveAlerts, decide: Callable[[Known], Intake]
    ) -> AlertsAccepted:
        """Loads, decides and writes in one transaction, holding the notification's group."""
        guild_id = command.context.caller.guild_id
        try:
            async with self._database.transaction(guild_id) as tx:
                await tx.execute(_LOCK_GROUP, guild_id, command.group_key)
                intake = decide(await _known(tx, command))
                await _write(tx, command, intake.changes)
                await _write_alerts(tx, guild_id, intake.alerts)
                await inbox.record(tx, command, intake.reply)
        except asyncpg.UniqueViolationError as error:
            raise VersionConflict("alert", command.group_key) from error
        return intake.reply


async def _known(tx: Transaction, command: ReceiveAlerts) -> Known:
    guild_id = command.context.caller.guild_id
    keys = correlation_keys(command)
    alerts = [_alert(row) for row in await tx.fetch(_KNOWN_ALERTS, guild_id, list(keys))]
    own = {alert.incident_id for alert in alerts}
    rows = await tx.fetch(_KNOWN_INCIDENTS, guild_id, list(own), list(set(keys.values())))
    incidents = [_incidents.validate_json(row["record"]) for row in rows]
    return Known(
        alerts={alert.fingerprint: alert for alert in alerts},
        incidents={incident.incident_id: incident for incident in incidents},
    )


async def _write(tx: Transaction, cause: Command[Any], changes: Sequence[Change]) -> None:
    if not changes:
        return
    guild_id = cause.context.caller.guild_id
    await _write_incidents(tx, guild_id, [c for c in changes if isinstance(c.record, Incident)])
    for change in changes:
        match change.record:
            case Dossier():
                await _write_one(tx, _WRITE_DOSSIER, guild_id, change)
            case Review():
                await _write_one(tx, _WRITE_REVIEW, guild_id, change)
            case Incident():
                pass
    await tx.execute(
        _KEEP_VERSIONS,
        guild_id,
        [change.record_id for change in changes],
        [change.record.version for change in changes],
        [_json(change.record) for change in changes],
    )
    for change in changes:
        await outbox.append(
            tx,
            cause=cause,
            aggregate_id=change.record_id,
            version_before=change.version_before,
            payloads=change.events,
            correlation_id=change.record.correlation_id,
            priority=change.record.priority,
            now=_clock_of(change.record),
        )
        await _write_alarm(tx, cause, change)


async def _write_alarm(tx: Transaction, cause: Command[Any], change: Change) -> None:
    if change.cancelled_alarm is not None:
        await timers.cancel(tx, cause.context.caller.guild_id, change.cancelled_alarm)
    if change.alarm is not None:
        timer = NewTimer(
            timer_id=change.alarm.timer_id,
            name=escalation.TIMER,
            due_at=change.alarm.due_at,
            data={"incident_id": change.record.incident_id},
        )
        await timers.schedule(
            tx,
            timer,
            cause=cause,
            correlation_id=change.record.correlation_id,
            created_by=escalation.IDENTITY,
        )


async def _write_incidents(tx: Transaction, guild_id: GuildId, changes: list[Change]) -> None:
    """One statement for all that are new, one for all that are not, however many there are."""
    in_order = sorted(changes, key=lambda change: (change.version_before == 0, change.record_id))
    for is_new, group in groupby(in_order, key=lambda change: change.version_before == 0):
        some = list(group)
        ids = [change.record_id for change in some]
        versions = [change.record.version for change in some]
        records = [_json(change.record) for change in some]
        if is_new:
            detected = [c.record.detected_at for c in some if isinstance(c.record, Incident)]
            await tx.execute(_INSERT_INCIDENTS, guild_id, ids, versions, detected, records)
            continue
        before = [change.version_before for change in some]
        status = await tx.execute(_UPDATE_INCIDENTS, guild_id, ids, before, versions, records)
        if status != f"UPDATE {len(some)}":
            raise VersionConflict("incident", ids[0])


async def _write_one(tx: Transaction, query: str, guild_id: GuildId, change: Change) -> None:
    record = change.record
    status = await tx.execute(
        query,
        guild_id,
        record.incident_id,
        change.version_before,
        record.version,
        _json(record),
    )
    if status != "INSERT 0 1":
        raise VersionConflict(type(record).__name__.lower(), change.record_id)


async def _write_alerts(tx: Transaction, guild_id: GuildId, alerts: Sequence[Alert]) -> None:
    status = await tx.execute(
        _WRITE_ALERTS,
        guild_id,
        [alert.fingerprint for alert in alerts],
        [alert.alert_id for alert in alerts],
        [alert.incident_id for alert in alerts],
        [alert.name for alert in alerts],
        [alert.status.value for alert in alerts],
        [json.dumps(dict(alert.labels)) for alert in alerts],
        [json.dumps(dict(alert.annotations)) for alert in alerts],
        [alert.starts_at for alert in alerts],
        [alert.ends_at for alert in alerts],
        [alert.generator_url for alert in alerts],
        [alert.received_count for alert in alerts],
        [alert.first_received_at for alert in alerts],
        [alert.last_received_at for alert in alerts],
        [alert.changed_at for alert in alerts],
    )
    if status != f"INSERT 0 {len(alerts)}":
        raise VersionConflict("alert", "")


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(
        alert_id=row["alert_id"],
        guild_id=GuildId(row["guild_id"]),
        incident_id=IncidentId(row["incident_id"]),
        fingerprint=row["fingerprint"],
        name=row["name"],
        status=AlertStatus(row["status"]),
        labels=json.loads(row["labels"]),
        annotations=json.loads(row["annotations"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        generator_url=row["generator_url"],
        received_count=row["received_count"],
        first_received_at=row["first_received_at"],
        last_received_at=row["last_received_at"],
        changed_at=row["changed_at"],
    )


def _json(record: Record) -> str:
    match record:
        case Incident():
            return _incidents.dump_json(record).decode()
        case Dossier():
            return _dossiers.dump_json(record).decode()
        case Review():
            return _reviews.dump_json(record).decode()


def _clock_of(record: Record) -> clock.Now:
    """The events happened when the record says that it changed."""
    return lambda: record.updated_at
