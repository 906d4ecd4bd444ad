from hypothesis import given
from hypothesis import strategies as st

from actors import metrics
from actors.metrics import Sample
from actors.runtime.metrics_hub import MetricsHub


def total(value: float) -> Sample:
    labels = (("message", "Echo"), ("outcome", "ok"), ("pool", "echo"))
    return Sample("elders_guild_messages", "elders_guild_messages_total", labels, value)


def gauge(value: float) -> Sample:
    return Sample("active_connections", "active_connections", (), value)


def new_hub() -> MetricsHub:
    return MetricsHub(silent_after_s=15, fold_after_s=600)


def test_processes_are_summed() -> None:
    hub = new_hub()

    hub.report("one", [total(3), gauge(1)], now=0)
    hub.report("two", [total(4), gauge(2)], now=0)

    assert hub.merged(now=1) == (gauge(3), total(7))


def test_a_process_is_counted_once_however_often_it_reports() -> None:
    hub = new_hub()

    hub.report("one", [total(3)], now=0)
    hub.report("one", [total(5)], now=1)

    assert hub.merged(now=1) == (total(5),)


def test_a_silent_process_keeps_its_totals_and_loses_its_gauges() -> None:
    hub = new_hub()

    hub.report("one", [total(3), gauge(1)], now=0)

    assert hub.merged(now=16) == (total(3),)
    assert hub.merged(now=601) == (total(3),)
    assert hub.merged(now=5000) == (total(3),)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.floats(0, 400)), max_size=40)
)
def test_totals_never_go_down(steps: list[tuple[str, int, float]]) -> None:
    hub, now, seen = new_hub(), 0.0, 0.0
    counts: dict[str, tuple[float, float, int]] = {}

    for process, more, pause in steps:
        now += pause
        count, heard_at, run = counts.get(process, (0.0, now, 0))
        if now - heard_at > 600:  # such a process is taken for dead; what comes is another one
            count, run = 0.0, run + 1
        counts[process] = (count + more, now, run)
        hub.report(f"{process}{run}", [total(count + more)], now)

        merged = sum(one.value for one in hub.merged(now))
        assert merged >= seen
        seen = merged


def test_the_sum_is_rendered_for_prometheus() -> None:
    hub = new_hub()
    hub.report("one", [total(3), gauge(1)], now=0)

    text = metrics.render(hub.merged(now=0)).decode()

    assert '_total{message="Echo",outcome="ok",pool="echo"} 3.0' in text
    assert "# TYPE elders_guild_messages_total counter" in text
    assert "active_connections 1.0" in text


def test_what_this_process_counts_can_be_rendered() -> None:
    metrics.MESSAGE_SECONDS.labels("echo", "Echo").observe(0.01)

    text = metrics.render(metrics.samples()).decode()

    assert 'elders_guild_message_duration_seconds_bucket{le="0.01"' in text
    assert "_created" not in text
