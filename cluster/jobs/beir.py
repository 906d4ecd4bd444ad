"""A data set in BEIR's form: what there is to find, who asks, and what is right.

``corpus.jsonl``   ``{"_id": …, "title": …, "text": …}`` a line; the title may be missing
``queries.jsonl``  ``{"_id": …, "text": …}`` a line
``qrels/*.tsv``    query id, document id, grade: whole numbers, 0 is "judged and wrong"
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.problem import StackProblem

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
USUAL_SPLIT = "test"
_MAX_ID = 400
_BLOCK = 1 << 20
_SHOWN = 40  # characters of a grade that is none
_WHOLE = re.compile(r" *(-?[0-9]{1,6}) *")  # more digits are no grade but a mistake

Judgements = dict[str, dict[str, int]]


class DatasetProblem(StackProblem):
    """A data set that cannot be used, with the file and the line that are why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusDocument:
    """One document of the corpus."""

    document_id: str
    title: str
    text: str


class Dataset:
    """A folder with the three parts. The corpus is read line by line and never held."""

    def __init__(self, folder: Path, *, max_line_bytes: int, split: str | None = None) -> None:
        """Reads nothing yet.

        Args:
            folder: has the three parts.
            max_line_bytes: of each line.
            split: the one file of ``qrels`` to use, without its ending. Default: ``test``
                where there is one, else all of them together.

        Raises:
            DatasetProblem: a part is missing.
        """
        self.folder = folder
        self._max_line_bytes = max_line_bytes
        for name in (CORPUS, QUERIES):
            if not (folder / name).is_file():
                raise DatasetProblem(f"{folder}: there is no {name}")
        self._qrels = _judgement_files(folder / QRELS, split)

    def digest(self) -> str:
        """Names this corpus: another text has another one."""
        digest = hashlib.sha256()
        with (self.folder / CORPUS).open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def corpus(self) -> Iterator[CorpusDocument]:
        """Every document, in the file's order. Raises `DatasetProblem`."""
        for place, line in self._objects(CORPUS):
            yield CorpusDocument(
                document_id=_text(place, line, "_id"),
                title=_text(place, line, "title") if line.get("title") else "",
                text=_text(place, line, "text"),
            )

    def judgements(self) -> Judgements:
        """Query id to document id to grade. Raises `DatasetProblem`."""
        found: Judgements = {}
        for path in self._qrels:
            for number, line in self._lines(path):
                place = f"{path}:{number}"
                parts = line.rstrip("\r\n").split("\t")
                if len(parts) != 3:
                    raise DatasetProblem(f"{place}: not three fields with tabs between them")
                query_id, document_id, said = parts
                whole = _WHOLE.fullmatch(said)
                if whole is None and number == 1 and said.strip().isalpha():
                    continue  # the names of the columns
                if whole is None:
                    raise DatasetProblem(f"{place}: the grade {said[:_SHOWN]!r} is no whole number")
                grade = int(whole[1])
                if found.setdefault(query_id, {}).setdefault(document_id, grade) != grade:
                    raise DatasetProblem(f"{place}: {document_id} has two grades for {query_id}")
        if not found:
            raise DatasetProblem(f"{self.folder / QRELS}: nothing is judged")
        return found

    def queries(self, judged: Judgements) -> dict[str, str]:
        """The text of each judged query. Raises `DatasetProblem`."""
        texts: dict[str, str] = {}
        for place, line in self._objects(QUERIES):
            query_id = _text(place, line, "_id")
            if query_id in judged:
                texts[query_id] = _text(place, line, "text")
                if not texts[query_id].strip():
                    raise DatasetProblem(f"{place}: the query has no text")
        missing = [query_id for query_id in judged if query_id not in texts]
        if missing:
            raise DatasetProblem(
                f"{self.folder / QUERIES}: {len(missing)} judged queries are not there,"
                f" such as {missing[0]!r}"
            )
        return texts

    def _objects(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The place and the object of each line; two with the same id are a problem."""
        path = self.folder / name
        seen: set[str] = set()
        for number, line in self._lines(path):
            place = f"{path}:{number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetProblem(f"{place}: no JSON ({error})") from error
            if not isinstance(value, dict):
                raise DatasetProblem(f"{place}: no JSON object")
            name_of = _text(place, value, "_id")
            if not name_of.strip() or len(name_of) > _MAX_ID:
                raise DatasetProblem(f"{place}: _id has 1 to {_MAX_ID} characters")
            if name_of in seen:
                raise DatasetProblem(f"{place}: _id {name_of!r} is there twice")
            seen.add(name_of)
            yield place, value

    def _lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """Each line that is not blank, with its number."""
        try:
            with path.open("rb") as stream:
                number = 0
                while line := stream.readline(self._max_line_bytes + 1):
                    number += 1
                    if len(line) > self._max_line_bytes:
                        limit = self._max_line_bytes >> 20
                        raise DatasetProblem(f"{path}:{number}: longer than {limit} MiB")
                    try:
                        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    except UnicodeDecodeError as error:
                        raise DatasetProblem(f"{path}:{number}: not UTF-8") from error
                    if text.strip():
                        yield number, text
        except OSError as error:
            raise DatasetProblem(f"{path}: cannot be read: {error.strerror}") from error


def relevant(judged: Judgements) -> Judgements:
    """The documents that answer a query; queries that none answers are left out."""
    right = {
        query_id: {name: grade for name, grade in grades.items() if grade > 0}
        for query_id, grades in judged.items()
    }
    return {query_id: grades for query_id, grades in right.items() if grades}


def sample(queries: dict[str, str], limit: int | None) -> dict[str, str]:
    """At most so many of them: the same ones each time, wherever they stand in the file."""
    if limit is None or limit >= len(queries):
        return queries
    chosen = sorted(queries, key=lambda name: hashlib.sha256(name.encode()).digest())[:limit]
    return {name: queries[name] for name in chosen}


def _judgement_files(folder: Path, split: str | None) -> list[Path]:
    files = sorted(folder.glob("*.tsv"))
    if not files:
        raise DatasetProblem(f"{folder}: there is no *.tsv")
    wanted = split or USUAL_SPLIT
    chosen = [path for path in files if path.stem == wanted]
    if split is not None and not chosen:
        there = ", ".join(path.stem for path in files)
        raise DatasetProblem(f"{folder}: there is no split {split!r}, only {there}")
    return chosen or files


def _text(place: str, line: dict[str, Any], name: str) -> str:
    value = line.get(name)
    if not isinstance(value, str):
        raise DatasetProblem(f"{place}: {name} is missing or no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise DatasetProblem(f"{place}: {name} has half a character, {half}") from error
    return value
