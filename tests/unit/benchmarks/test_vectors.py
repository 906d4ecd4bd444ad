"""Sentences are chosen fairly, embedded once, and the cache goes on where it was ended."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.vectors import __main__ as command
from benchmarks.vectors import kept, sentences, sources
from benchmarks.vectors.model import DIMENSION, Matrix

LINE = "The queue of the relay grows while nobody reads it"
PROSE = f"""# A heading

{LINE}. It is short. A second one says that the disk of the database was full again!

    x = [1, 2, 3]; y = {{"a": 1, "b": 2}}; z = (4, 5, 6); w = 7 + 8 - 9; v = x[0]
"""


class Lengths:
    """An embedder without a model: every component is the number of characters."""

    def __init__(self, fails_after: int = 1 << 30) -> None:
        self.embedded: list[str] = []
        self._fails_after = fails_after

    def embed(self, texts: Sequence[str]) -> Matrix:
        if len(self.embedded) >= self._fails_after:
            raise KeyboardInterrupt
        self.embedded += texts
        rows = [np.full(DIMENSION, len(text), np.float32) for text in texts]
        return np.stack(rows)


def test_prose_gives_sentences_and_code_and_headings_do_not() -> None:
    found = list(sentences.sentences_of(PROSE))

    assert found == [
        f"{LINE}.",
        "A second one says that the disk of the database was full again!",
    ]


@given(st.text())
def test_whatever_the_text_a_sentence_has_eight_to_sixty_words(text: str) -> None:
    found = list(sentences.sentences_of(text))

    assert all(8 <= len(one.split()) <= 60 for one in found)


def test_docstrings_of_a_module_its_classes_and_functions_are_read() -> None:
    source = '"""One."""\nclass A:\n    """Two."""\n    def b(self):\n        """Three."""\n'

    found = set(sentences.docstrings(source))

    assert found == {"One.", "Two.", "Three."}


def test_what_is_no_python_has_no_docstrings() -> None:
    assert list(sentences.docstrings("print 'two'\x00")) == []


def test_sentences_that_differ_in_case_or_digits_alone_are_taken_once() -> None:
    taken = sentences.chosen([f"{LINE} 1.", f"{LINE.upper()} 2!", "another"], 2)

    assert sorted(taken) == sorted([f"{LINE} 1.", "another"])


def test_one_more_sentence_does_not_reorder_the_others() -> None:
    many = [chr(97 + number) * 3 for number in range(20)]

    before = sentences.chosen(many, 20)
    after = sentences.chosen([*many, "zzz zzz"], 21)

    assert [one for one in after if one != "zzz zzz"] == before


def test_too_few_sentences_are_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="1 different sentences, 2 are needed"):
        sentences.chosen([LINE, LINE], 2)


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(sources.NoData, match="retrieval"):
        sources.corpora(tmp_path)


def test_without_data_the_command_ends_with_two_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GUILD_EVAL_DATA", raising=False)
    cache = tmp_path / "cache"

    statuses = [command.main([], cache), command.main(["--data", str(tmp_path)], cache)]

    said = capsys.readouterr().err.splitlines()
    assert statuses == [2, 2]
    assert all(line.startswith("data set not present: ") for line in said)
    assert not cache.exists()


def test_documentation_and_docstrings_of_packages_are_read_but_no_licences(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text(f"{LINE}.")
    (tmp_path / "code.py").write_text(f'"""{LINE} twice."""')
    (tmp_path / "LICENSE.txt").write_text(f"{LINE} thrice.")

    found = set(sources.sentences_of_packages(tmp_path))

    assert found == {f"{LINE}.", f"{LINE} twice."}


def test_tags_of_a_prefix_stay_when_more_documents_follow() -> None:
    few, many = kept.tags(1_000), kept.tags(10_000)

    assert all((few[name] == many[name][:1_000]).all() for name in kept.SHARES)
    assert many[kept.ONE_PERCENT].mean() == pytest.approx(0.01, abs=0.005)
    assert many[kept.TEN_PERCENT].mean() == pytest.approx(0.10, abs=0.01)


def test_embedding_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    texts = [f"text {'x' * number}" for number in range(10)]
    (tmp_path / "texts.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in texts))
    with pytest.raises(KeyboardInterrupt):
        kept.embed_rest(tmp_path, Lengths(fails_after=4), 10, chunk=2)
    with (tmp_path / "vectors.f32").open("ab") as half:
        half.write(b"half a row")
    rest = Lengths()

    kept.embed_rest(tmp_path, rest, 10, chunk=2)

    rows = np.fromfile(tmp_path / "vectors.f32", np.float32).reshape(-1, DIMENSION)
    assert rest.embedded == texts[4:]
    assert rows[:, 0].tolist() == [len(one) for one in texts]


def test_a_prefix_is_embedded_alone_in_whole_chunks_and_the_rest_when_it_is_needed(
    tmp_path: Path,
) -> None:
    lines = [orjson.dumps(f"text {number}") for number in range(6)]
    (tmp_path / "texts.jsonl").write_bytes(b"\n".join(lines))
    first, second = Lengths(), Lengths()

    kept.embed_rest(tmp_path, first, 3, chunk=2)
    kept.embed_rest(tmp_path, second, 6, chunk=2)

    assert (len(first.embedded), len(second.embedded)) == (4, 2)
    assert len((tmp_path / "vectors.sha256").read_text().split()) == 3
