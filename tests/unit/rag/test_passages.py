"""Cutting, front matter and the steps of a runbook."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rag import passages, runbook
from tests.fixtures.rag_builders import DISK, QUEUE

lines = st.sampled_from(
    [
        "# One",
        "## Two",
        "Under\n---",
        "- item",
        "1. first",
        "```",
        "code # no heading",
        "",
        "word " * 30,
        "A sentence. Another one! And a third?",
        "---",
        "~~~",
        "\t",
        "ünï 🙂",
        "| a | b |",
    ]
)


@given(st.lists(lines, max_size=25).map("\n".join), st.integers(5, 60))
def test_passages_hold_every_word_once_and_know_where(text: str, max_words: int) -> None:
    found = passages.cut(text, max_words=max_words)

    start = passages.front_matter(text)[1]
    assert " ".join(passage.text for passage in found).split() == text[start:].split()
    assert all(text[one.char_start : one.char_end] == one.text for one in found)
    assert all(len(one.text.split()) <= max_words for one in found)
    assert [one.position for one in found] == list(range(len(found)))


japanese = st.sampled_from(
    [
        "接続プールが枯渇した。",
        "再起動する",
        "「確認した。」",
        "CPU使用率80%、",
        "\u3000",
        " ",
        "ﾃﾞｨｽｸ",
    ]
)


@given(st.lists(japanese, max_size=60).map("".join), st.integers(5, 30))
def test_text_without_spaces_is_cut_as_well_and_loses_nothing(text: str, max_words: int) -> None:
    found = passages.cut(text, max_words=max_words, markdown=False)

    assert "".join("".join(one.text for one in found).split()) == "".join(text.split())
    assert all(text[one.char_start : one.char_end] == one.text for one in found)
    assert all(len(one.text) <= 6 * max_words for one in found)


def test_japanese_is_cut_behind_its_sentences() -> None:
    first, second = "ディスク使用率が八十%を超えた。", "古いログを削除して空き容量を確保する。"

    found = passages.cut(first + second, max_words=12)

    assert [one.text for one in found] == [first, second]


def test_a_long_text_without_a_break_is_cut_in_a_moment() -> None:
    found = passages.cut("障害" * 100_000, max_words=100, markdown=False)

    assert len(found) == 1_000


def test_headings_of_both_styles_give_the_path() -> None:
    text = "Top\n===\n\nIntro.\n\nDeep\n----\n\nBody.\n\n### Deeper\n\nMore."

    found = [section.path for section in passages.sections(text)]

    assert found == [("Top",), ("Top", "Deep"), ("Top", "Deep", "Deeper")]


def test_a_hash_inside_a_fence_is_no_heading() -> None:
    text = "# Real\n\n```sh\n# comment\n```\n"

    assert [section.path for section in passages.sections(text)] == [("Real",)]


def test_front_matter_is_read_and_left_out_of_the_passages() -> None:
    fields, start = passages.front_matter(DISK)

    assert fields == {"kind": "runbook", "alerts": ["DiskFull"], "tags": ["storage"]}
    assert DISK[start:].startswith("# Disk")


@pytest.mark.parametrize(
    "text",
    [
        "---\nnot: [closed\n---\nbody",
        "---\n- a list\n---\nbody",
        "---\na: &a [x]\nb: [*a, *a]\n---\nbody",
        "---\nno end",
        "---\ndate: 2026-99-99\n---\nbody",
        "---\nx: !!bool foo\n---\nbody",
        "---\nx: !!timestamp foo\n---\nbody",
        "---\nx: !!int ''\n---\nbody",
        "---\nx: " + "[" * 5_000 + "\n---\nbody",
        "---\nx: " + "[1," * 50 + "]" * 50 + "\n---\nbody",
        "---\n" + "- " * 5_000 + "x\n---\nbody",
        "---\n[1, 2]\n---\nbody",
        "text --- text",
    ],
)
def test_front_matter_that_is_none_is_text(text: str) -> None:
    fields, start = passages.front_matter(text)

    assert start in {0, len(text) - len("body")}
    assert not isinstance(fields.get("b"), list)


def test_numbered_items_are_steps() -> None:
    found = runbook.steps(DISK, 20)

    assert [step.title for step in found] == [
        "Remove rotated log files older than a week.",
        "Grow the volume by a tenth.",
    ]


def test_bullets_below_mitigation_are_steps() -> None:
    assert [step.title for step in runbook.steps(QUEUE, 20)] == [
        "Restart the consumer of the order queue."
    ]


def test_the_command_below_an_item_is_its_detail() -> None:
    listed = "1. Restart it:\n\n   ```sh\n   restart it\n   ```\n\n2. Look again.\n"
    text = f"# A\n\n## Mitigation\n\n{listed}"

    first, second = runbook.steps(text, 20)

    assert first.title == "Restart it"
    assert "restart it\n" in first.detail
    assert (second.title, second.detail) == ("Look again.", "")


def test_paragraphs_are_steps_where_there_is_no_list() -> None:
    prose = "Stop the job. It can wait.\n\n```sh\nstop\n```\n\nCall the owner.\n"
    text = f"# A\n\n## Resolution\n\n{prose}"

    found = runbook.steps(text, 20)

    assert [step.title for step in found] == ["Stop the job.", "Call the owner."]
    assert "stop" in found[0].detail


def test_prose_of_a_diagnosis_is_no_step_where_the_repair_is_a_list() -> None:
    text = "# A\n\n## Diagnosis\n\nUsually the disk.\n\n## Mitigation\n\n1. Free the disk.\n"

    assert [step.title for step in runbook.steps(text, 20)] == ["Free the disk."]


def test_what_finds_out_comes_before_what_repairs() -> None:
    text = "# A\n\n## Mitigation\n\n1. Repair.\n\n## Diagnosis\n\n- Look.\n"

    assert [step.title for step in runbook.steps(text, 20)] == ["Look.", "Repair."]


def test_a_page_that_only_points_on_has_no_steps() -> None:
    assert runbook.steps("# Moved\n\nSee [there](https://example.org).", 20) == ()


@given(st.lists(lines, max_size=25).map("\n".join), st.integers(1, 5))
def test_steps_are_bounded_and_have_titles(text: str, limit: int) -> None:
    found = runbook.steps(f"# A\n\n## Mitigation\n\n{text}", limit)

    assert len(found) <= limit
    assert all(step.title.strip() and len(step.title) <= runbook.MAX_TITLE for step in found)
    assert all(len(step.detail) <= runbook.MAX_DETAIL for step in found)


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("## The `tar` **command**", "The tar command"),
        ("> - a quoted item\n  1. a number", "a quoted item 1. a number"),
        ("tar cf {{path}}{{name}}", "tar cf path name"),
        ("the pod {{ $labels.pod }} waits", "the pod $labels.pod waits"),
        ("| a | b |", "a | b |"),
        ("請**務必**備份", "請 務必 備份"),
        ("**重要**です。次に**確認**", "重要 です。次に 確認"),
        ("def __init__(self, **options):", "def init (self, options):"),
        ("    # a comment of code", "a comment of code"),
    ],
)
def test_the_embedder_hears_words_and_few_marks(written: str, heard: str) -> None:
    assert passages.without_marks(written).split() == heard.split()


@pytest.mark.parametrize(
    "text",
    [
        "snake__case, 2**10, 2 ** 10 and a * b",
        "-x, --verbose, *.txt, #!/bin/sh, #tag, -5 degrees",
        '{"a": {"b": {}}}',
    ],
)
def test_what_only_resembles_a_mark_is_heard(text: str) -> None:
    assert passages.without_marks(text) == text


marked = st.text("ab7é字 *_`{}|>#-.\n")


@given(st.text() | marked | st.lists(lines, max_size=25).map("\n".join))
def test_no_word_is_lost_or_joined_to_another_with_the_marks(text: str) -> None:
    words = re.compile(r"[^\W_]+")

    assert words.findall(passages.without_marks(text)) == words.findall(text)
