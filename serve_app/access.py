"""The one table of routes: who may use each, and what each asks of a request.

Enforcement reads it (`serve_app.route`), the tests are made from it, and a route that is not in it
stops the start-up.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from actors.runtime.message import Permission

API = "/api/v1"


class Body(enum.Enum):
    """What kind of body a route reads; the gateway's settings say how large each may be."""

    NONE = "none"
    JSON = "json"
    BULK = "bulk"
    INTAKE = "intake"
    EVENTS = "events"
    FORM = "form"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one route asks of a request.

    Attributes:
        needs: permissions, all of them. Ignored where ``public``.
        public: answers without a token.
        body: what is read of the request.
        key_required: ``Idempotency-Key`` must be there, because the route creates or publishes.
        if_match: ``If-Match`` must be there, because the route replaces or deletes.
        makes: the route makes what is not there yet, so ``If-Match`` may be absent, and
            ``If-None-Match: *`` asks that there be none.
    """

    needs: frozenset[Permission] = frozenset()
    public: bool = False
    body: Body = Body.NONE
    key_required: bool = False
    if_match: bool = False
    makes: bool = False


def _needs(*permissions: Permission) -> frozenset[Permission]:
    return frozenset(permissions)


_READ = _needs(Permission.READ)
_ASK = _needs(Permission.READ, Permission.RAG)
_INCIDENT = _needs(Permission.WRITE, Permission.INCIDENT)
_TASK = _needs(Permission.WRITE, Permission.TASK)
_KNOWLEDGE = _needs(Permission.WRITE, Permission.KNOWLEDGE)
_RAG = _needs(Permission.WRITE, Permission.RAG)
# Whoever hears events as they are delivered hears of everything that elders see in the log (see
# `actors.bus.domain.sight`). `delete` is what elders have and users have not.
_HEAR = _needs(Permission.READ, Permission.DELETE)
# A subscription, a replay, a redrive or a timer makes events reach somebody: the same, and `write`.
# Pulling and acknowledging move a subscription on, so they need as much as declaring it.
_DECLARE = _HEAR | {Permission.WRITE}
# Erasure cannot be undone.
_ADMIN = _needs(Permission.ADMIN)
_PUBLIC = Rule(public=True)


def _read() -> Rule:
    return Rule(needs=_READ)


def _create(needs: frozenset[Permission], body: Body = Body.JSON) -> Rule:
    return Rule(needs=needs, body=body, key_required=True)


def _verb(needs: frozenset[Permission], body: Body = Body.JSON) -> Rule:
    return Rule(needs=needs, body=body)


def _change(needs: frozenset[Permission]) -> Rule:
    return Rule(needs=needs, body=Body.JSON, if_match=True)


def _delete(sage: Permission) -> Rule:
    return Rule(needs=_needs(Permission.DELETE, sage), if_match=True)


_ROUTES: dict[str, Rule] = {
    "GET /healthz": _PUBLIC,
    "GET /readyz": _PUBLIC,
    "GET /metrics": _PUBLIC,
    "GET /openapi.json": _PUBLIC,
    "POST /oauth/login": Rule(public=True, body=Body.JSON),
    "POST /oauth/token": Rule(public=True, body=Body.FORM),
    "GET /oauth/authorize": _PUBLIC,
    "POST /oauth/authorize": Rule(public=True, body=Body.FORM),
    "POST /oauth/revoke": Rule(public=True, body=Body.FORM),
    "POST /oauth/introspect": Rule(public=True, body=Body.FORM),
    "GET /oauth/jwks.json": _PUBLIC,
    "GET /.well-known/oauth-authorization-server": _PUBLIC,
    "GET /.well-known/oauth-protected-resource": _PUBLIC,
    f"GET {API}/noop": _read(),
    f"GET {API}/ping/{{sage}}": _read(),
    # Intake has its own identity, the fingerprint, instead of an Idempotency-Key.
    f"POST {API}/alerts/alertmanager": Rule(needs=_INCIDENT, body=Body.INTAKE),
    f"GET {API}/incidents": _read(),
    f"POST {API}/incidents": _create(_INCIDENT),
    f"GET {API}/incidents/{{incident_id}}": _read(),
    f"PATCH {API}/incidents/{{incident_id}}": _change(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}:acknowledge": _verb(_INCIDENT, Body.NONE),
    f"POST {API}/incidents/{{incident_id}}:assign": _verb(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}:assess": _verb(_INCIDENT, Body.NONE),
    f"POST {API}/incidents/{{incident_id}}:respond": _verb(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}:communicate": _create(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}:resolve": _verb(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}:reopen": _verb(_INCIDENT),
    # Waiving the review is an elder's: `delete` is what elders have and users have not.
    f"POST {API}/incidents/{{incident_id}}:close": _verb(_INCIDENT | {Permission.DELETE}),
    f"GET {API}/incidents/{{incident_id}}/alerts": _read(),
    f"GET {API}/incidents/{{incident_id}}/timeline": _read(),
    f"GET {API}/incidents/{{incident_id}}/dossier": _read(),
    f"GET {API}/incidents/{{incident_id}}/review": _read(),
    f"POST {API}/incidents/{{incident_id}}/review": _create(_INCIDENT, Body.NONE),
    f"PATCH {API}/incidents/{{incident_id}}/review": _change(_INCIDENT),
    f"POST {API}/incidents/{{incident_id}}/review:publish": _create(_INCIDENT, Body.NONE),
    f"GET {API}/tasks": _read(),
    f"POST {API}/tasks": _create(_TASK),
    f"GET {API}/tasks/{{task_id}}": _read(),
    f"PATCH {API}/tasks/{{task_id}}": _change(_TASK),
    f"DELETE {API}/tasks/{{task_id}}": _delete(Permission.TASK),
    f"POST {API}/tasks/{{task_id}}:assign": _verb(_TASK),
    f"POST {API}/tasks/{{task_id}}:start": _verb(_TASK, Body.NONE),
    f"POST {API}/tasks/{{task_id}}:complete": _verb(_TASK),
    f"POST {API}/tasks/{{task_id}}:fail": _verb(_TASK),
    f"POST {API}/tasks/{{task_id}}:retry": _verb(_TASK, Body.NONE),
    f"POST {API}/tasks/{{task_id}}:cancel": _verb(_TASK),
    f"POST {API}/tasks/{{task_id}}:block": _verb(_TASK),
    f"POST {API}/tasks/{{task_id}}:unblock": _verb(_TASK),
    f"GET {API}/tasks/{{task_id}}/relations": _read(),
    f"POST {API}/tasks/{{task_id}}/relations": _create(_TASK),
    # A relation has no version of its own, so there is nothing that If-Match could say.
    f"DELETE {API}/tasks/{{task_id}}/relations/{{kind}}/{{other_id}}": Rule(needs=_TASK),
    f"GET {API}/knowledge/entities": _read(),
    f"POST {API}/knowledge/entities": _create(_KNOWLEDGE),
    f"GET {API}/knowledge/entities/{{entity_id}}": _read(),
    f"PATCH {API}/knowledge/entities/{{entity_id}}": _change(_KNOWLEDGE),
    f"DELETE {API}/knowledge/entities/{{entity_id}}": _delete(Permission.KNOWLEDGE),
    f"POST {API}/knowledge/entities/{{entity_id}}:change-status": _verb(_KNOWLEDGE),
    f"POST {API}/knowledge/entities/{{entity_id}}:restore": _verb(
        _KNOWLEDGE | {Permission.DELETE}, Body.NONE
    ),
    f"GET {API}/knowledge/entities/{{entity_id}}/versions": _read(),
    f"GET {API}/knowledge/entities/{{entity_id}}/versions/{{version}}": _read(),
    f"GET {API}/knowledge/categories": _read(),
    f"POST {API}/knowledge/categories": _create(_KNOWLEDGE),
    f"POST {API}/rag/documents": _create(_RAG, Body.BULK),
    f"POST {API}/rag/documents:batch": _create(_RAG, Body.BULK),
    f"POST {API}/rag/documents:upload": _create(_RAG, Body.FILE),
    f"POST {API}/rag/documents:fetch": _create(_RAG),
    f"GET {API}/rag/documents/{{document_id}}": _read(),
    f"DELETE {API}/rag/documents/{{document_id}}": _delete(Permission.RAG),
    f"GET {API}/rag/index": _read(),
    # An event's identity is its source and id, so a repeat needs no Idempotency-Key. Whoever may
    # write may publish types that are public; what the sages say they alone say.
    f"POST {API}/events": Rule(needs=_needs(Permission.WRITE), body=Body.EVENTS),
    # `read` opens the log; of what is in it each caller gets what `actors.bus.domain.sight` allows:
    # guests public knowledge, nobody private or restricted knowledge, administrators alone users.
    f"GET {API}/events": _read(),
    f"GET {API}/events/stream": _read(),
    f"GET {API}/events/schemas": _read(),
    f"GET {API}/events/schemas/{{type}}": _read(),
    f"POST {API}/rag/search": Rule(needs=_ASK, body=Body.JSON),
    f"POST {API}/rag/query": Rule(needs=_ASK, body=Body.JSON),
    # Of one query and one source the last word counts: a repeat needs no Idempotency-Key.
    f"POST {API}/rag/feedback": _verb(_RAG),
    f"GET {API}/rag/weight": _read(),
    # What all have said, one elder can have forgotten.
    f"POST {API}/rag/weight:reset": _verb(_RAG | {Permission.DELETE}, Body.NONE),
    # What is declared is configuration. Of a webhook's address only elders see more than the host.
    f"GET {API}/subscriptions": _read(),
    f"GET {API}/subscriptions/{{name}}": _read(),
    f"PUT {API}/subscriptions/{{name}}": Rule(needs=_DECLARE, body=Body.JSON, makes=True),
    f"DELETE {API}/subscriptions/{{name}}": Rule(needs=_DECLARE, if_match=True),
    f"POST {API}/subscriptions/{{name}}:pause": _verb(_DECLARE, Body.NONE),
    f"POST {API}/subscriptions/{{name}}:resume": _verb(_DECLARE, Body.NONE),
    # A second seek is heard a second time, and a second rotation retires the secret in use.
    f"POST {API}/subscriptions/{{name}}:seek": _create(_DECLARE),
    f"POST {API}/subscriptions/{{name}}:rotate-secret": _create(_DECLARE, Body.NONE),
    f"POST {API}/subscriptions/{{name}}:replay": _create(_DECLARE),
    # What is lent is named by its attempt: repeats need no key.
    f"POST {API}/subscriptions/{{name}}:pull": _verb(_DECLARE),
    f"POST {API}/subscriptions/{{name}}:ack": _verb(_DECLARE),
    f"POST {API}/subscriptions/{{name}}:nack": _verb(_DECLARE),
    f"GET {API}/deadletters": Rule(needs=_HEAR),
    # Only what waits is marked: a repeat marks nothing.
    f"POST {API}/deadletters:redrive": _verb(_DECLARE),
    f"POST {API}/deadletters:discard": _verb(_DECLARE),
    f"GET {API}/replays": _read(),
    f"POST {API}/replays": _create(_DECLARE),
    f"GET {API}/replays/{{replay_id}}": _read(),
    f"POST {API}/replays/{{replay_id}}:cancel": _verb(_DECLARE, Body.NONE),
    # A timer shows the data of the event that it will be.
    f"GET {API}/timers": Rule(needs=_HEAR),
    f"POST {API}/timers": _create(_DECLARE),
    f"GET {API}/timers/{{timer_id}}": Rule(needs=_HEAR),
    f"POST {API}/timers/{{timer_id}}:cancel": _verb(_DECLARE, Body.NONE),
    # A saga shows states and our own words, nothing of an entity but its id.
    f"GET {API}/sagas": _read(),
    f"GET {API}/sagas/{{saga_id}}": _read(),
    f"POST {API}/erasures": _create(_ADMIN),
    # Who may ask at all. A repeat of what shows a secret does not show it again.
    f"GET {API}/users": Rule(needs=_ADMIN),
    f"POST {API}/users": _create(_ADMIN),
    f"GET {API}/users/{{user_id}}": Rule(needs=_ADMIN),
    f"PATCH {API}/users/{{user_id}}": _change(_ADMIN),
    f"POST {API}/users/{{user_id}}:disable": _verb(_ADMIN, Body.NONE),
    f"POST {API}/users/{{user_id}}:enable": _verb(_ADMIN, Body.NONE),
    f"GET {API}/clients": Rule(needs=_ADMIN),
    f"POST {API}/clients": _create(_ADMIN),
    f"GET {API}/clients/{{client_id}}": Rule(needs=_ADMIN),
    f"POST {API}/clients/{{client_id}}:rotate-secret": _create(_ADMIN, Body.NONE),
    f"POST {API}/clients/{{client_id}}:disable": _verb(_ADMIN, Body.NONE),
    f"POST {API}/clients/{{client_id}}:enable": _verb(_ADMIN, Body.NONE),
    # It says who did what, and who was refused what.
    f"GET {API}/audit": Rule(needs=_ADMIN),
}

ACCESS: Mapping[str, Rule] = MappingProxyType(_ROUTES)
"""``METHOD path template`` to its rule."""


class UndeclaredRoute(Exception):
    """A route and the table do not agree; the gateway does not start."""


def rule_of(method: str, path: str) -> Rule:
    """The declared rule of a route.

    Raises:
        UndeclaredRoute: there is none.
    """
    try:
        return ACCESS[f"{method} {path}"]
    except KeyError:
        raise UndeclaredRoute(f"{method} {path} declares no permission") from None
