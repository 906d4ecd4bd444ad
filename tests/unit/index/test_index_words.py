"""Names, identifiers and fusion: the pure parts of the index."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.index import fusion, names, terms
from actors.index.fusion import Legs
from actors.index.passage import Source


def document(title: str, **fields: str) -> Source:
    return Source(source_id="doc_1", type="document", version=1, title=title, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("KubeletDown", ["Kubelet", "Down"]),
        ("KubeAPIDown", ["Kube", "API", "Down"]),
        ("etcdNoLeader", ["etcd", "No", "Leader"]),
        ("CPUThrottlingHigh", ["CPU", "Throttling", "High"]),
    ],
)
def test_an_identifier_falls_into_its_words(identifier: str, words: list[str]) -> None:
    assert terms.humps(identifier) == words


def test_a_whole_name_and_its_words_are_both_counted() -> None:
    found = terms.analyzer().analyze(terms.expand("KubeletDown kube_pod_info"))

    assert {"kubeletdown", "kubelet", "kube", "pod", "info", "kubepodinfo"} <= set(found)


@given(st.text(alphabet="abBcCZX019_-.:/ \n,\u00e9", max_size=30))
def test_plain_words_hide_nothing_and_every_other_identifier_its_words(text: str) -> None:
    identifiers = re.findall(r"[A-Za-z][A-Za-z0-9]*(?:[_\-.:/][A-Za-z0-9]+)*", text)
    wanted = []
    for one in identifiers:
        if not re.fullmatch(r"[A-Z]?[a-z]+|[A-Z]+", one):
            parts = re.split(r"[_\-.:/]", one)
            wanted += ["".join(parts)] * ("_" in one)
            wanted += [
                word for part in parts if len(terms.humps(part)) > 1 for word in terms.humps(part)
            ]

    expanded = terms.expand(text)

    assert expanded[len(text) :].split() == wanted


@pytest.mark.parametrize(
    "spelling", ["KubeletDown", "Kubelet Down", "kubelet-down", "kubelet_down"]
)
def test_spellings_of_one_name_are_one_name(spelling: str) -> None:
    assert names.key(spelling) == "kubeletdown"


@pytest.mark.parametrize(
    "url",
    [
        "https://runbooks.example.org/runbooks/kubernetes/kubeletdown",
        "https://runbooks.example.org/KubeletDown.md?plain=1",
        "https://example.org/runbook.md#alert-name-kubeletdown",
    ],
)
def test_a_link_names_its_page_or_its_anchor(url: str) -> None:
    assert names.key("KubeletDown") in names.url_keys(url)


def test_an_anchor_does_not_name_the_whole_page() -> None:
    assert "runbook" not in names.url_keys("https://example.org/runbook.md#alert-name-a")


def test_a_document_is_called_by_title_file_and_alerts() -> None:
    source = Source(
        source_id="doc_1",
        type="document",
        version=1,
        title="The kubelet is away",
        external_id="node/KubeletDown.md",
        names=("KubeletGone",),
    )

    assert names.keys(source) == {"thekubeletisaway", "kubeletdown", "kubeletgone"}


def test_the_title_of_an_incident_is_no_name() -> None:
    source = Source(source_id="inc_1", type="incident", version=1, title="DiskFull")

    assert names.keys(source) == frozenset()


@pytest.mark.parametrize(
    ("title", "expected"),
    [("KubeletDown", True), ("disk_full", True), ("Disk is full", False), ("Watchdog", False)],
)
def test_one_identifier_as_title_is_the_name_of_an_alert(title: str, expected: bool) -> None:
    assert names.names_one_alert(document(title)) is expected


scores = st.lists(st.floats(0, 50, width=32), min_size=1, max_size=30)


@given(scores, st.floats(0, 1))
def test_fused_scores_stay_between_zero_and_one(lexical: list[float], weight: float) -> None:
    words = np.array(lexical, np.float32)
    legs = Legs(words, np.linspace(-1, 1, len(words), dtype=np.float32))

    fused = fusion.fuse(legs, weight)

    assert np.all(fused >= -1e-6)
    assert np.all(fused <= 1 + 1e-6)


@given(scores)
def test_the_dense_share_is_bounded_and_does_not_depend_on_order(lexical: list[float]) -> None:
    words = np.array(lexical, np.float32)

    weight = fusion.dense_weight(words)

    assert 0.5 <= weight <= 0.9
    assert weight == fusion.dense_weight(words[::-1])


@given(st.floats(1, 40), st.floats(0.01, 100))
def test_the_flatter_the_words_the_more_meaning_counts(best: float, scale: float) -> None:
    others = np.ones(40, np.float32)
    steep = np.array([best * 2, *others], np.float32)
    flat = np.array([best, *others], np.float32)

    weight = fusion.dense_weight(flat)

    assert weight >= fusion.dense_weight(steep)
    assert weight == pytest.approx(fusion.dense_weight(flat * np.float32(scale)), abs=1e-3)


def test_words_that_fit_few_passages_count_as_much_as_meaning() -> None:
    found = np.array([3.0, 2.9, 2.8], np.float32)

    assert fusion.dense_weight(found) == 0.5
    assert fusion.dense_weight(np.concatenate([found, np.zeros(200, np.float32)])) == 0.5


def test_words_that_fit_nothing_leave_it_to_meaning() -> None:
    assert fusion.dense_weight(np.zeros(30, np.float32)) == 0.9
    assert fusion.dense_weight(np.empty(0, np.float32)) == 0.9


@given(scores)
def test_without_weight_on_meaning_the_order_of_the_words_stays(lexical: list[float]) -> None:
    words = np.array(lexical, np.float32)

    fused = fusion.fuse(Legs(words, np.zeros_like(words)), 0.0)

    assert np.all(np.diff(fused[np.argsort(words, kind="stable")]) >= 0)


def test_a_passage_that_waits_for_its_vector_stands_in_the_middle() -> None:
    shares = fusion.dense_share(np.array([0.1, 0.5, 0.9, np.nan], np.float32))

    assert shares.tolist() == pytest.approx([0.0, 0.5, 1.0, 0.5])


def test_no_vector_at_all_says_nothing() -> None:
    assert fusion.dense_share(np.array([np.nan, np.nan], np.float32)).tolist() == [0.0, 0.0]


def test_a_mountain_of_marks_on_one_letter_is_read_in_no_time() -> None:
    """Putting the marks of one letter in order takes time in the square of their number."""
    mountain = "a" + "\u0301\u0316" * 200_000

    started = time.perf_counter()
    read = terms.expand(f"disk {mountain} full")

    assert time.perf_counter() - started < 5
    assert read.startswith("disk ")
    assert read.endswith(" full")
    assert terms.expand("Cafe\u0301") == "Caf\u00e9"
