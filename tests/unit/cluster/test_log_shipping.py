"""What is told to Loki of a line: two labels, and metadata that our lines really have."""

import re
from pathlib import Path

from actors.runtime import subject
from serve_app.trace import Trace
from tests.unit.runtime.samples import CONTEXT, Echo

CONFIG = Path(__file__).resolve().parents[3] / "cluster" / "deploy" / "alloy" / "config.alloy"
OF_EVERY_LINE = {"timestamp", "level", "logger"}
OF_A_TRACE = {"trace_id"}


def keys(stage: str) -> set[str]:
    """Names in the map of a stage."""
    found = re.search(rf"stage\.{stage} {{\s*\w+ = {{(.*?)}}\s*}}", CONFIG.read_text(), re.DOTALL)
    assert found is not None
    return set(re.findall(r"^\s*(\w+)\s*=", found[1], re.MULTILINE))


def test_the_labels_are_few() -> None:
    assert keys("labels") == {"level", "logger"}


def test_the_metadata_are_fields_of_our_lines() -> None:
    ours = {*subject.of_message(Echo(context=CONTEXT)), *Trace("", "").fields()}

    assert keys("structured_metadata") <= ours | OF_A_TRACE
    assert keys("json") == keys("labels") | keys("structured_metadata") | {"timestamp"}
    assert keys("labels") <= OF_EVERY_LINE


def test_blocks_are_closed_and_lead_from_one_to_the_next() -> None:
    text = re.sub(r"//.*|\"[^\"]*\"", '""', CONFIG.read_text())
    components = set(re.findall(r"^(\w+(?:\.\w+)+) \"\"", text, re.MULTILINE))

    for opening, closing in ("{}", "[]", "()"):
        assert text.count(opening) == text.count(closing)
    named = set(re.findall(r"\b(local\.file_match|loki\.\w+)\.\w+\.(?:targets|receiver)", text))
    assert named <= components
