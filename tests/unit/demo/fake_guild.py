"""The HTTP side of a guild in memory: just enough for the loop, with trouble on demand."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx

Json = dict[str, Any]
OURS = {"Guild-Version": "1"}


class FakeGuild:
    """Answers the requests of `play_loop`; each POST takes effect once per key.

    Attributes:
        trouble: asked before each request; a response or an exception it gives comes first.
        effects: every effect in order, such as ``acknowledge inc_1``.
        learns: whether later dossiers show what was published.
    """

    def __init__(self, *, learns: bool = True) -> None:
        self.trouble: Iterator[httpx.Response | Exception | None] = iter(())
        self.effects: list[str] = []
        self.keys: list[str] = []
        self.learns = learns
        self._numbers = count(1)
        self._replies: dict[str, httpx.Response] = {}
        self._incidents: dict[str, Json] = {}
        self._entities: dict[str, Json] = {}

    def transport(self) -> httpx.MockTransport:
        """What a client takes for the network."""
        return httpx.MockTransport(self._arrive)

    def _arrive(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/oauth/"):
            return _ok({"access_token": "token"})
        trouble = next(self.trouble, None)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            return trouble
        if request.method == "GET":
            return self._read(request)
        key = request.headers["Idempotency-Key"]
        self.keys.append(key)
        if key not in self._replies:
            self._replies[key] = self._change(request)
        return self._replies[key]

    def _read(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.removeprefix("/api/v1/").split("/")
        match parts:
            case ["incidents", incident_id, "dossier"]:
                return _ok(self._incidents[incident_id]["dossier"])
            case ["incidents", incident_id, "review"]:
                review = self._incidents[incident_id].get("review")
                return _ok(review) if review else httpx.Response(404, headers=OURS)
            case ["incidents", incident_id, "timeline"]:
                entries = self._incidents[incident_id]["timeline"]
                return _ok({"entries": entries})
            case ["tasks"]:
                return _ok({"items": self._incidents[request.url.params["incident_id"]]["tasks"]})
            case ["knowledge", "entities", entity_id]:
                return _ok(self._entities[entity_id])
            case _:
                raise AssertionError(f"nobody reads {request.url.path}")

    def _change(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/")
        body = json.loads(request.content) if request.content else {}
        noun, _, verb = path.partition(":")
        self.effects.append(f"{verb or request.method.lower()} {noun}")
        match noun.split("/"):
            case ["alerts", "alertmanager"]:
                return _ok({"incidents": [self._new_incident()]})
            case ["rag", "search"]:
                since = body.get("filters", {}).get("since", "")
                found = [one for one, made in self._entities.items() if made["created_at"] >= since]
                return _ok({"hits": [{"id": one} for one in found[: body.get("top_k", 10)]]})
            case ["incidents", incident_id]:
                incident = self._incidents[incident_id]
                if verb == "resolve":
                    incident["review"] = self._part(incident, review_id="rev_1", version=1)
                return _ok(self._part(incident, assignee="user_1"))
            case ["incidents", incident_id, "review"]:
                incident = self._incidents[incident_id]
                if verb == "publish":
                    self._publish(incident)
                incident["review"] |= body
                return _ok(incident["review"])
            case ["tasks", _]:
                return _ok(body)
            case _:
                raise AssertionError(f"nobody changes {path}")

    def _new_incident(self) -> str:
        number = next(self._numbers)
        incident: Json = {"correlation_id": f"cor_{number}", "timeline": []}
        similar = [{"source_id": one} for one in self._entities] if self.learns else []
        incident["dossier"] = self._part(
            incident,
            dossier_id=f"dos_{number}",
            similar=similar,
            runbook={"title": "A runbook"},
            steps=[{"title": "Look."}, {"title": "Repair."}],
        )
        incident["tasks"] = [
            self._part(
                incident,
                task_id=f"task_{number}_{ordinal}",
                name=name,
                ordinal=ordinal,
                status=status,
                origin="runbook",
            )
            for ordinal, name, status in ((2, "Repair.", "blocked"), (1, "Look.", "pending"))
        ]
        self._incidents[f"inc_{number}"] = incident
        return f"inc_{number}"

    def _publish(self, incident: Json) -> None:
        number = next(self._numbers)
        entity_id = f"know_{number}"
        self._entities[entity_id] = self._part(
            incident,
            entity_id=entity_id,
            title="Learnt",
            created_at=f"2026-11-27T12:00:00.{number:03}Z",
        )
        incident["timeline"].append({"kind": "sage.knowledge.created", "subject_id": entity_id})

    @staticmethod
    def _part(incident: Json, **fields: Any) -> Json:
        return {"correlation_id": incident["correlation_id"], **fields}


def _ok(body: Json) -> httpx.Response:
    return httpx.Response(200, json=body, headers=OURS)
