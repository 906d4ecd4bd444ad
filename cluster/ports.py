"""Every port of a stack, by name: chosen free, remembered, used again at the next start."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from cluster.problem import StackProblem
from cluster.process import free_ports, port_is_free

# Serve hands these out to the gateway's replicas, one each.
_INGRESS_FIRST, _INGRESS_LAST, _INGRESS_COUNT = 30_000, 31_000, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens. ``http`` is the API; the rest is nobody's business."""

    http: int
    postgres: int
    valkey: int
    gcs_store: int
    gcs: int
    dashboard: int
    dashboard_agent: int
    dashboard_agent_grpc: int
    runtime_env_agent: int
    ray_client: int
    ray_metrics: int
    node_manager: int
    object_manager: int
    autoscaler_metrics: int
    dashboard_metrics: int
    haproxy_stats: int
    haproxy_metrics: int
    fallback_http: int
    fallback_grpc: int
    ingress: int

    @property
    def ingress_last(self) -> int:
        """Last of the block that begins at ``ingress``."""
        return self.ingress + _INGRESS_COUNT - 1


def choose(http: int, remembered: Mapping[str, int]) -> Ports:
    """Ports nobody uses now; those of the last start where they are still free.

    Raises:
        StackProblem: the API's own port is taken, which is for the operator to decide.
    """
    if not port_is_free(http):
        raise StackProblem(
            f"port {http} is taken by another program: stop it, or choose another with --port"
        )
    names = [field.name for field in fields(Ports) if field.name not in ("http", "ingress")]
    kept = {
        name: remembered[name]
        for name in names
        if name in remembered and port_is_free(remembered[name], "0.0.0.0")  # noqa: S104  # nosec B104
    }
    fresh = iter(free_ports(len(names) - len(kept), taken=kept.values()))
    chosen = {name: kept[name] if name in kept else next(fresh) for name in names}
    return Ports(http=http, ingress=_ingress_block(), **chosen)


def as_mapping(ports: Ports) -> dict[str, int]:
    """By name, for the state file."""
    return asdict(ports)


def _ingress_block() -> int:
    for first in range(_INGRESS_FIRST, _INGRESS_LAST - _INGRESS_COUNT, _INGRESS_COUNT):
        block = range(first, first + _INGRESS_COUNT)
        if all(port_is_free(port, "0.0.0.0") for port in block):  # noqa: S104  # nosec B104
            return first
    raise StackProblem(
        f"no {_INGRESS_COUNT} free ports in a row between {_INGRESS_FIRST} and {_INGRESS_LAST}"
    )
