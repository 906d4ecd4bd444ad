"""What every process does first to be observed: its log and, where wanted, its traces."""

import os
import socket

from actors.runtime import logs, tracing
from actors.settings import GuildSettings


def begin(settings: GuildSettings, part: str) -> None:
    """Sets the process's log up, and its traces where they go anywhere. Once is enough.

    Args:
        settings: level, and where spans go.
        part: of the guild that this process is, such as ``gateway`` or a pool.
    """
    logs.configure(settings.log_level)
    if not settings.tracing.endpoint or tracing.is_on():
        return
    from actors.runtime import otlp  # only who traces pays for what this imports

    exporter = otlp.Exporter(
        settings.tracing,
        {
            "service.namespace": "elders-guild",
            "service.name": part,
            "host.name": settings.node_name or socket.gethostname(),
            "process.pid": os.getpid(),
            "deployment.environment.name": settings.env.value,
        },
    )
    tracing.switch_on(exporter.add, settings.tracing.sample_ratio)
