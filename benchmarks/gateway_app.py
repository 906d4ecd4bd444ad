"""A gateway with nothing in it but the way to a sage: what `benchmarks.gateway` puts load on."""

import asyncio
from dataclasses import dataclass
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.responses import JSONResponse, Response

from actors import clock
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.member import Member
from actors.runtime.message import Caller, Context, GuildId, Handlers, Permission, Query
from actors.runtime.pools import Pools
from actors.settings import settings

POOL = "bench"
MEMBERS = 2
MAX_ONGOING = 512

_CALLER = Caller(
    guild_id=GuildId("guild_bench"),
    principal_id="user_bench",
    permissions=frozenset({Permission.READ}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A reply of the size and shape of a small entity."""

    thing_id: str
    title: str
    tags: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GetThing(Query[Thing]):
    """Reads an entity that the member has in memory, after ``wait_ms`` spent elsewhere."""

    thing_id: str
    wait_ms: int = 0


class ThingMember(Member):
    """A sage whose entities are in memory: what is left is the runtime itself."""

    async def open(self, host: Host) -> Handlers:
        """Needs nothing of its host."""
        return {GetThing: get_thing}


async def get_thing(query: GetThing) -> Thing:
    """Loads and answers, as a sage's query does."""
    if query.wait_ms:
        await asyncio.sleep(query.wait_ms / 1000)
    return Thing(
        thing_id=query.thing_id, title="A thing", tags=("one", "two"), version=query.wait_ms + 1
    )


class ThingDeployment:
    """The same sage as a second Serve deployment: the other contender."""

    async def get(self, query: GetThing) -> Thing:
        """Loads and answers."""
        return await get_thing(query)


class Gateway:
    """The ingress; `routes` is what it answers. Given its neighbour so that Serve starts that."""

    def __init__(self, handled: DeploymentHandle[ThingDeployment]) -> None:
        self.handled = handled


def routes() -> FastAPI:
    """Three routes that differ in nothing but the way to the sage. Built in each replica."""
    app = FastAPI(openapi_url=None)
    pools = Pools(settings())
    handled: DeploymentHandle[ThingDeployment] = serve.get_deployment_handle(
        ThingDeployment.__name__, serve.get_replica_context().app_name
    )

    @app.get("/noop")
    async def noop() -> Response:
        """Answers what the others answer, without asking anybody."""
        return _rendered(await get_thing(_query(0)))

    @app.get("/mailbox/{wait_ms}")
    async def mailbox(wait_ms: int) -> Response:
        """Asks the pool, as the real gateway does."""
        return _rendered(await pools.pool(POOL).ask(_query(wait_ms)))

    @app.get("/handle/{wait_ms}")
    async def handle(wait_ms: int) -> Response:
        """Asks the Serve deployment."""
        return _rendered(await handled.get.remote(_query(wait_ms)))

    return app


def start_members(namespace: str) -> None:
    """Starts the pool, without a supervisor: nothing dies here."""
    for number in range(MEMBERS):
        identity = MemberIdentity(POOL, 1, number)
        actor: Any = ray.remote(ThingMember).options(
            name=identity.name,
            namespace=namespace,
            lifetime="detached",
            num_cpus=0.1,
            max_concurrency=1000,
        )
        ray.get(actor.remote(identity).health.remote(), timeout=60)


def deploy(name: str, replicas: int) -> None:
    """Deploys one gateway application below ``/name`` and waits until it runs."""
    handled: Any = serve.deployment(
        ThingDeployment,
        num_replicas=MEMBERS,
        max_ongoing_requests=MAX_ONGOING,
        ray_actor_options={"num_cpus": 0.1},
    )
    gateway: Any = serve.deployment(
        serve.ingress(routes)(Gateway),
        num_replicas=replicas,
        max_ongoing_requests=MAX_ONGOING,
        ray_actor_options={"num_cpus": 0.1},
    )
    bound = gateway.bind(handled.bind())
    serve.run(bound, name=name, route_prefix=f"/{name}")


def _query(wait_ms: int) -> GetThing:
    context = Context(caller=_CALLER, correlation_id=clock.new_id("req"))
    return GetThing(context=context, thing_id="thing_1", wait_ms=wait_ms)


def _rendered(thing: Thing) -> Response:
    return JSONResponse(
        {"id": thing.thing_id, "title": thing.title, "tags": thing.tags, "version": thing.version}
    )
