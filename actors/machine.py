"""What the machine under a process has and uses: CPU, memory, disks, network.

Every process looks for itself and names its node, so one that dies leaves no gap, and nobody has
to run an exporter on each node. `actors.metrics` shows each number once.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import Counter

from actors import metrics

_LOOPBACK = "lo"
_OTHER = "other"
_MODES = ("user", "system", "idle", "iowait")


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system, in bytes; ``free`` is what a process without privileges may still write."""

    size: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One look. Sizes in bytes, times in seconds; totals since the machine was started.

    Attributes:
        cpu_s: by mode, of all cores together.
        memory_free: to be had without swapping.
        disks: by what of ours lies on them.
        network: by direction.
    """

    cpus: int
    cpu_s: Mapping[str, float]
    memory: int
    memory_free: int
    disks: Mapping[str, Disk]
    network: Mapping[str, int]


def look(folders: Mapping[str, Path]) -> Machine:
    """Asks the kernel; well below a millisecond.

    Args:
        folders: whose file systems are measured; one that is not there yet counts as the nearest
            folder above it.
    """
    memory = psutil.virtual_memory()
    return Machine(
        cpus=psutil.cpu_count() or 1,
        cpu_s=_cpu_s(),
        memory=memory.total,
        memory_free=memory.available,
        disks={name: _disk(path) for name, path in folders.items()},
        network=_network(),
    )


class Watch:
    """Brings the metrics of the node up to date, not more often than every ``period_s``.

    Args:
        node: under which name; all processes of a node give the same.
        read: looks at the machine.
        period_s: seconds.
        now: monotonic clock.
    """

    def __init__(
        self,
        node: str,
        read: Callable[[], Machine],
        period_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._read = read
        self._period_s = period_s
        self._now = now
        self._due = now()
        self._counted: dict[Counter, float] = {}

    def look(self) -> None:
        """Looks, when it is time."""
        now = self._now()
        if now < self._due:
            return
        self._due = now + self._period_s
        self._tell(self._read())

    def _tell(self, seen: Machine) -> None:
        node = self._node
        metrics.NODE_CPUS.labels(node).set(seen.cpus)
        for mode, seconds in seen.cpu_s.items():
            self._count(metrics.NODE_CPU_SECONDS.labels(node, mode), seconds)
        metrics.NODE_MEMORY_BYTES.labels(node).set(seen.memory)
        metrics.NODE_MEMORY_FREE_BYTES.labels(node).set(seen.memory_free)
        for folder, disk in seen.disks.items():
            metrics.NODE_DISK_BYTES.labels(node, folder).set(disk.size)
            metrics.NODE_DISK_FREE_BYTES.labels(node, folder).set(disk.free)
        for direction, count in seen.network.items():
            self._count(metrics.NODE_NETWORK_BYTES.labels(node, direction), count)

    def _count(self, counter: Counter, total: float) -> None:
        """Brings a counter to what the kernel has counted; one never goes back."""
        more = total - self._counted.get(counter, 0.0)
        if more > 0:
            counter.inc(more)
            self._counted[counter] = total


def _cpu_s() -> dict[str, float]:
    times = psutil.cpu_times()._asdict()
    inside = ("guest", "guest_nice")  # counted as user and nice already
    cpu_s = {mode: times.pop(mode, 0.0) for mode in _MODES}
    cpu_s[_OTHER] = sum(seconds for mode, seconds in times.items() if mode not in inside)
    return cpu_s


def _network() -> dict[str, int]:
    cards = [one for name, one in psutil.net_io_counters(pernic=True).items() if name != _LOOPBACK]
    return {
        "received": sum(one.bytes_recv for one in cards),
        "sent": sum(one.bytes_sent for one in cards),
    }


def _disk(folder: Path) -> Disk:
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    usage = psutil.disk_usage(str(path))
    return Disk(size=usage.used + usage.free, free=usage.free)
