"""A Ray with Serve behind HAProxy for one benchmark: loopback, own ports, own folder, own token."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.environment import ALLOCATOR
from cluster.process import free_ports

NAMESPACE = "bench"
_ROOT = Path(__file__).resolve().parent.parent


def environment(folder: Path, ports: list[int]) -> Mapping[str, str]:
    """What every process of this Ray must have in its environment before it imports Ray.

    Args:
        folder: short, for sockets; HAProxy's files are kept in it too.
        ports: seven free ones for HAProxy and the proxies, then the first of the replicas' own.
    """
    stats, metrics, fallback, fallback_grpc, autoscaler, dashboard, first_replica = ports
    haproxy = folder / "haproxy"
    return {
        **ALLOCATOR,
        "PYTHONPATH": str(_ROOT),
        "GUILD_RAY_NAMESPACE": NAMESPACE,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",
        "AUTOSCALER_METRIC_PORT": str(autoscaler),
        "DASHBOARD_METRIC_PORT": str(dashboard),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_replica + 200),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


@contextmanager
def plain_ray() -> Iterator[Path]:
    """Starts a Ray without Serve, yields its folder, and ends exactly that."""
    folder = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))  # socket paths are short
    os.environ.update(
        RAY_AUTH_MODE="disabled",
        RAY_worker_niceness="0",
        RAY_USAGE_STATS_ENABLED="0",
        PYTHONPATH=str(_ROOT),
    )
    import ray  # reads its environment when it is imported

    try:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=128 << 20,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
        yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_with_serve() -> Iterator[int]:
    """Starts both, yields the HTTP port, and ends exactly what it started."""
    folder = Path(tempfile.mkdtemp(prefix="gb", dir="/tmp"))  # socket paths are short
    (folder / "haproxy").mkdir()
    http, *others = free_ports(8)
    os.environ.update(environment(folder, others))
    import ray  # reads its environment when it is imported
    from ray import serve

    try:
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=256 << 20,
            namespace=NAMESPACE,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
        serve.start(http_options={"host": "127.0.0.1", "port": http})
        yield http
        serve.shutdown()  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
