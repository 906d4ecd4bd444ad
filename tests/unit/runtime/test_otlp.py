"""What the exporter does where nothing can be sent; `tests/integration/tracing` has the rest."""

import structlog.testing
from pydantic import SecretStr

from actors import metrics
from actors.runtime.otlp import Exporter
from actors.runtime.tracing import Kind, Place, Span
from actors.settings import TracingSettings


def dropped() -> float:
    value = metrics.REGISTRY.get_sample_value
    return value("elders_guild_spans_dropped_total", {"reason": "collector"}) or 0.0


def test_what_cannot_be_sent_at_all_is_counted_and_its_reason_tells_no_secret() -> None:
    settings = TracingSettings(
        endpoint="http://127.0.0.1:9", token=SecretStr("a secret\nof two lines"), batch=1
    )
    before = dropped()

    with structlog.testing.capture_logs() as lines:
        exporter = Exporter(settings, {})
        for number in (1, 2):
            exporter.add(Span("sql", Kind.CLIENT, Place(5, number), 4))
        exporter.close()

    assert dropped() == before + 2
    assert {line["reason"] for line in lines} == {"ValueError"}
