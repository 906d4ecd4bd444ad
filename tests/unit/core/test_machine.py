"""What the machine has and uses, as metrics of its node."""

from pathlib import Path

from actors import machine, metrics
from actors.machine import Disk, Machine, Watch
from actors.runtime.metrics_hub import MetricsHub


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(user_s: float = 10.0, received: int = 1000) -> Machine:
    return Machine(
        cpus=2,
        cpu_s={"user": user_s},
        memory=100,
        memory_free=40,
        disks={"data": Disk(size=10, free=3)},
        network={"received": received},
    )


def value(name: str, node: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, {"node": node, **labels})


def test_totals_of_the_kernel_are_shown_as_they_are() -> None:
    clock, looks = Clock(), iter([seen(10, 1000), seen(12.5, 1500)])
    watch = Watch("totals", lambda: next(looks), period_s=5, now=clock)

    watch.look()
    clock.now = 5.0
    watch.look()

    assert value("elders_guild_node_cpu_seconds_total", "totals", mode="user") == 12.5
    network = value("elders_guild_node_network_bytes_total", "totals", direction="received")
    assert network == 1500
    assert value("elders_guild_node_memory_available_bytes", "totals") == 40
    assert value("elders_guild_node_disk_available_bytes", "totals", folder="data") == 3


def test_the_machine_is_not_looked_at_more_often_than_wanted() -> None:
    clock, looks = Clock(), 0

    def read() -> Machine:
        nonlocal looks
        looks += 1
        return seen()

    watch = Watch("calm", read, period_s=5, now=clock)
    for clock.now in (0.0, 1.0, 4.9, 5.0, 6.0):
        watch.look()

    assert looks == 2


def test_a_counter_that_goes_back_is_not_followed() -> None:
    clock, looks = Clock(), iter([seen(received=1000), seen(received=10), seen(received=1200)])
    watch = Watch("back", lambda: next(looks), period_s=1, now=clock)

    for clock.now in (0.0, 1.0, 2.0):
        watch.look()

    network = value("elders_guild_node_network_bytes_total", "back", direction="received")
    assert network == 1200


def test_processes_of_one_node_are_one_machine() -> None:
    hub = MetricsHub(silent_after_s=15, fold_after_s=600)
    Watch("shared", lambda: seen(user_s=7), period_s=1).look()
    told = [one for one in metrics.samples() if ("node", "shared") in one.labels]

    hub.report("one", told, now=0)
    hub.report("two", told, now=1)

    assert {one.name: one.value for one in hub.merged(now=2)} == {
        one.name: one.value for one in told
    }
    assert hub.merged(now=30) == (), "a node of which nobody speaks any more is gone"


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    absent = tmp_path / "not" / "yet"

    found = machine.look({"data": tmp_path, "index": absent})

    assert found.cpus >= 1
    assert 0 < found.memory_free <= found.memory
    assert found.disks["data"] == found.disks["index"]
    assert 0 < found.disks["data"].free <= found.disks["data"].size
    assert found.cpu_s["user"] > 0
    assert set(found.network) == {"received", "sent"}
