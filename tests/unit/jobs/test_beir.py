"""A data set is read whole, or refused with the line that is wrong."""

import json
from pathlib import Path

import pytest

from cluster.jobs.beir import CorpusDocument, Dataset, DatasetProblem, relevant, sample

CORPUS = ['{"_id": "d1", "title": "Disk", "text": "full"}', "", '{"_id": "d2", "text": "pool"}']
QUERIES = ['{"_id": "q1", "text": "disk"}', '{"_id": "unjudged", "text": ""}']
QRELS = ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td2\t0"]


def written(
    folder: Path,
    corpus: list[str] = CORPUS,
    queries: list[str] = QUERIES,
    **qrels: list[str],
) -> Path:
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    (folder / "queries.jsonl").write_text("\n".join(queries))
    (folder / "qrels").mkdir()
    for name, lines in (qrels or {"test": QRELS}).items():
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(lines))
    return folder


def read(folder: Path, split: str | None = None) -> object:
    dataset = Dataset(folder, max_line_bytes=1_000, split=split)
    judged = dataset.judgements()
    return list(dataset.corpus()), dataset.queries(judged), judged


def test_the_three_parts_are_read(tmp_path: Path) -> None:
    parts = read(written(tmp_path))

    assert parts == (
        [
            CorpusDocument(document_id="d1", title="Disk", text="full"),
            CorpusDocument(document_id="d2", title="", text="pool"),
        ],
        {"q1": "disk"},
        {"q1": {"d1": 2, "d2": 0}},
    )


def test_judgements_need_no_names_of_columns(tmp_path: Path) -> None:
    written(tmp_path, test=QRELS[1:])

    assert Dataset(tmp_path, max_line_bytes=1_000).judgements() == {"q1": {"d1": 2, "d2": 0}}


def test_the_test_split_is_used_unless_another_is_named(tmp_path: Path) -> None:
    written(tmp_path, test=["q1\td1\t1"], train=["q1\td2\t1"])

    splits = [
        Dataset(tmp_path, max_line_bytes=1_000, split=name).judgements() for name in (None, "train")
    ]

    assert splits == [{"q1": {"d1": 1}}, {"q1": {"d2": 1}}]


def test_without_a_test_split_all_are_used(tmp_path: Path) -> None:
    written(tmp_path, dev=["q1\td1\t1"], train=["q1\td2\t1"])

    judged = Dataset(tmp_path, max_line_bytes=1_000).judgements()

    assert judged == {"q1": {"d1": 1, "d2": 1}}


@pytest.mark.parametrize(
    ("part", "lines", "says"),
    [
        ("corpus", [*CORPUS, "{"], "corpus.jsonl:4: no JSON"),
        ("corpus", ["[]"], "corpus.jsonl:1: no JSON object"),
        ("corpus", ['{"text": "x"}'], "corpus.jsonl:1: _id is missing"),
        ("corpus", ['{"_id": 1, "text": "x"}'], "corpus.jsonl:1: _id is missing or no text"),
        ("corpus", ['{"_id": "a"}'], "corpus.jsonl:1: text is missing"),
        ("corpus", [CORPUS[0], CORPUS[0]], "corpus.jsonl:2: _id 'd1' is there twice"),
        ("corpus", [json.dumps({"_id": "a", "text": "x" * 1_000})], "corpus.jsonl:1: longer"),
        ("corpus", ['{"_id": "", "text": "x"}'], "corpus.jsonl:1: _id has"),
        ("queries", ['{"_id": "q2", "text": "x"}'], "1 judged queries are not there, such as 'q1'"),
        ("queries", ['{"_id": "q1", "text": " "}'], "queries.jsonl:1: the query has no text"),
        ("test", ["q1 d1 1"], "test.tsv:1: not three fields"),
        ("test", [*QRELS, "q1\td1\tyes"], "test.tsv:4: the grade 'yes' is no whole number"),
        ("test", [*QRELS, "q1\td1\t1"], "test.tsv:4: d1 has two grades for q1"),
        ("test", [QRELS[0]], "nothing is judged"),
        ("test", ["q1\td1\t1.5"], "test.tsv:1: the grade '1.5' is no whole number"),
        ("test", [*QRELS, "q1\td3\t" + "9" * 500], "test.tsv:4: the grade '999"),
        ("test", [*QRELS, "q1\td3\t--1"], "test.tsv:4: the grade '--1' is no whole number"),
        ("test", [*QRELS, "q1\td3\t"], "test.tsv:4: the grade '' is no whole number"),
        (
            "corpus",
            ['{"_id": "a", "text": "\\ud800"}'],
            r"jsonl:1: text has half a character, \ud800",
        ),
        ("corpus", ['{"_id": "a", "title": "\\udfff", "text": "x"}'], "jsonl:1: title has half"),
        ("corpus", ['{"_id": "\\ud83d", "text": "x"}'], "corpus.jsonl:1: _id has half"),
        ("corpus", ['{"_id": "a", "title": 1, "text": "x"}'], "jsonl:1: title is missing or no"),
        ("queries", ['{"_id": "q1", "text": "\\ud800"}'], "queries.jsonl:1: text has half"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, part: str, lines: list[str], says: str
) -> None:
    written(tmp_path)
    path = tmp_path / ("qrels/test.tsv" if part == "test" else f"{part}.jsonl")
    path.write_text("\n".join(lines))

    with pytest.raises(DatasetProblem) as raised:
        read(tmp_path)

    assert says in str(raised.value)


def test_a_part_that_is_missing_and_a_split_that_is_not_there_are_named(tmp_path: Path) -> None:
    written(tmp_path)

    with pytest.raises(DatasetProblem, match="no split 'dev', only test"):
        read(tmp_path, split="dev")
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(DatasetProblem, match=r"there is no queries\.jsonl"):
        read(tmp_path)


def test_queries_that_nothing_answers_are_not_relevant() -> None:
    judged = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 0}, "q3": {"d1": -1}}

    assert relevant(judged) == {"q1": {"d1": 2}}


def test_another_corpus_has_another_digest(tmp_path: Path) -> None:
    written(tmp_path)
    before = Dataset(tmp_path, max_line_bytes=1_000).digest()

    (tmp_path / "corpus.jsonl").write_text(CORPUS[0])

    assert Dataset(tmp_path, max_line_bytes=1_000).digest() != before


def test_a_sample_is_the_same_each_time_and_part_of_a_larger_one() -> None:
    queries = {f"q{number}": "text" for number in range(100)}

    small, again = sample(queries, 10), sample(dict(reversed(queries.items())), 10)
    large = sample(queries, 20)

    assert small == again
    assert len(small) == 10
    assert small.keys() < large.keys()
    assert sample(queries, None) == sample(queries, 100) == queries
