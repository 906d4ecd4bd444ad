"""An example of every answer and every body, made from its schema: none can be missing or stale.

What a schema says itself comes first: its example, constant, choices. Everything else is said by
the name of the field, in the one table here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Schema = Mapping[str, Any]

_MOMENT = "2026-03-01T12:00:00.000Z"
_ID = "01k0000000000000000000000a"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_SENTENCE = "The log volume of db-1 was full; it was doubled."
_MOMENTS = ("at", "begin", "end", "lease_until", "since", "starts_at", "time")
_MOST_DEPTH = 12

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "access_level": "protected",
        "access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
        "ack_id": f"dlv_{_ID}.1",
        "action": "user.disabled",
        "actor": f"user_{_ID}",
        "affected_system": "db-1",
        "alert_name": "DiskFull",
        "assignee": f"user_{_ID}",
        "aud": "elders-guild",
        "author_id": f"user_{_ID}",
        "authorization_endpoint": "https://guild.example/oauth/authorize",
        "authorization_server": "https://guild.example",
        "bearer_methods_supported": "header",
        "category": "storage",
        "category_id": "troubleshooting",
        "chunk_id": f"doc_{_ID}#0",
        "client_id": "deploy-bot",
        "client_secret": "bm90LWEtcmVhbC1zZWNyZXQtbm90LWEtcmVhbC1zZWNyZXQ",
        "code_challenge_methods_supported": "S256",
        "content_type": "text/markdown",
        "cron": "0 6 * * 1",
        "cursor": "9-1-1",
        "dense_position": "9-1-1",
        "description": _SENTENCE,
        "edited": "summary",
        "entity_type": "user",
        "event_type": "sage.incident.created",
        "exclude": f"doc_{_ID}",
        "expression": 'event.data.severity == "critical"',
        "external_id": "runbooks/disk-full.md",
        "externalURL": "https://alertmanager.example",
        "fingerprint": "c0ffee00c0ffee00",
        "generator_url": "https://prometheus.example/graph",
        "generatorURL": "https://prometheus.example/graph",
        "grant_types_supported": "authorization_code",
        "groupKey": '{}:{alertname="DiskFull"}',
        "hash": _DIGEST,
        "heading": "Disk full",
        "id": f"evt_{_ID}",
        "incident": f"inc_{_ID}",
        "incident_ref": f"inc_{_ID}",
        "instance": f"urn:elders-guild:request:req_{_ID}",
        "introspection_endpoint": "https://guild.example/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": "client_secret_basic",
        "iss": "https://guild.example",
        "issuer": "https://guild.example",
        "jti": f"jti_{_ID}",
        "jwks_uri": "https://guild.example/oauth/jwks.json",
        "keyword": "disk",
        "kind": "depends_on",
        "knowledge_ref": f"know_{_ID}",
        "login": "admin",
        "merged_into": f"inc_{_ID}",
        "min_position": "9-1-1",
        "model": "all-MiniLM-L6-v2",
        "name": "billing",
        "next_cursor": "Y3Vyc29y",
        "ordering": "aggregate",
        "owner": f"user_{_ID}",
        "owner_id": f"user_{_ID}",
        "password": "correct-horse-battery-staple",
        "pointer": "body/name",
        "pool": "knowledge",
        "position": "9-1-1",
        "prev_hash": _DIGEST,
        "receiver": "guild",
        "recurrence_of": f"inc_{_ID}",
        "redirect_uri": "https://console.example/callback",
        "ref": f"know_{_ID}",
        "refresh_token": f"guild_{_ID}.bm90LWEtcmVhbC10b2tlbg",
        "related_task": f"task_{_ID}",
        "request_id": f"req_{_ID}",
        "resolution_step": "Double the log volume",
        "resource": "https://guild.example",
        "resource_name": "Elders Guild",
        "response_modes_supported": "query",
        "response_types_supported": "code",
        "revocation_endpoint": "https://guild.example/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": "client_secret_basic",
        "runbook_url": "https://wiki.example/runbooks/disk-full",
        "scope": "read sage.incident",
        "scopes_supported": "sage.incident",
        "secret": "bm90LWEtcmVhbC1zZWNyZXQtbm90LWEtcmVhbC1zZWNyZXQ",
        "similar_to": "the disk of a database is full",
        "source": "https://ci.example",
        "source_reference": "https://wiki.example/runbooks/disk-full",
        "source_type": "document",
        "source_url": "https://wiki.example/runbooks/disk-full",
        "specversion": "1.0",
        "state": "running",
        "status": "open",
        "stream": "guild:billing",
        "sub": f"user_{_ID}",
        "subject": "db-1",
        "subject_id": f"user_{_ID}",
        "subscription": "billing",
        "subscription_id": f"sub_{_ID}",
        "tag": "storage",
        "timezone": "Europe/Berlin",
        "title": "Disk full on db-1",
        "token_endpoint": "https://guild.example/oauth/token",
        "token_endpoint_auth_methods_supported": "client_secret_basic",
        "token_type": "Bearer",
        "type": "sage.incident.created",
        "url": "https://receiver.example/hook",
        "version": "4",
        "who": f"user_{_ID}",
    }
    | {name: _MOMENT for name in _MOMENTS}
    | {
        name: _SENTENCE
        for name in (
            "content",
            "detail",
            "error",
            "excerpt",
            "impact",
            "lessons",
            "lessons_learned",
            "message",
            "prevention",
            "question",
            "quote",
            "reason",
            "resolution",
            "result",
            "root_cause",
            "summary",
            "text",
            "waived_reason",
        )
    }
)
"""What a text field of this name holds, in examples."""

_PREFIXES = MappingProxyType(
    {"incident": "inc", "entity": "know", "document": "doc", "dossier": "doss", "replay": "rep"}
)


class NoWord(Exception):
    """A text field of which nobody said what it holds; it needs a line in `WORDS`."""


def example_of(schema: Schema, components: Mapping[str, Schema], name: str = "") -> Any:
    """A value that the schema allows.

    Args:
        schema: JSON Schema as OpenAPI has it.
        components: what its references point to, by name.
        name: of the field that holds the value.

    Raises:
        NoWord: it has a text that is not in `WORDS`.
    """
    return _Maker(components).make(schema, name, 0)


class _Maker:
    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def make(self, schema: Schema, name: str, depth: int) -> Any:
        if "$ref" in schema:
            return self.make(self._components[schema["$ref"].rpartition("/")[2]], name, depth)
        for said in ("example", "const"):
            if said in schema:
                return schema[said]
        for choices in ("examples", "enum"):
            if schema.get(choices):
                return schema[choices][0]
        for several in ("allOf", "anyOf", "oneOf"):
            if several in schema:
                return self.make(schema[several][0], name, depth)
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: Schema, name: str, depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema, name, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return _text(schema, name)
            case "integer":
                return max(1, schema.get("minimum", 1))
            case "number":
                return max(0.5, schema.get("minimum", 0.5))
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return {}

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if not properties:
            rest = schema.get("additionalProperties")
            return {"team": self._value(rest, depth)} if isinstance(rest, Mapping) else {}
        if depth > _MOST_DEPTH:
            return {}
        return {key: self.make(one, key, depth + 1) for key, one in properties.items()}

    def _value(self, schema: Schema, depth: int) -> Any:
        """Of a map whose keys its maker chooses."""
        return "storage" if schema.get("type") == "string" else self.make(schema, "", depth + 1)

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        if "prefixItems" in schema:
            return [self.make(one, name, depth + 1) for one in schema["prefixItems"]]
        if depth > _MOST_DEPTH or schema.get("maxItems") == 0:
            return []
        items = schema.get("items", {})
        return [self.make(items, _singular(name), depth + 1)]


def _singular(name: str) -> str:
    return name.removesuffix("es") if name.endswith("ses") else name.removesuffix("s")


def _text(schema: Schema, name: str) -> str:
    if schema.get("format") == "date-time" or name.endswith("_at"):
        return _MOMENT
    if schema.get("contentEncoding") == "base64":
        return "AACAPw=="
    if name in WORDS:
        return WORDS[name]
    stem, _, end = name.rpartition("_")
    if end == "by":
        return f"user_{_ID}"
    if end == "id" and stem:
        return f"{_PREFIXES.get(stem.rpartition('_')[2], stem.rpartition('_')[2])}_{_ID}"
    if "sha256" in name or "digest" in name:
        return _DIGEST
    raise NoWord(name)
