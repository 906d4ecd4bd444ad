"""The lexical leg: BM25 over fields, in memory (tantivy)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tantivy

from actors.index import terms
from actors.index.passage import Passage, Selection, Source

Occur = tantivy.Occur
Query = tantivy.Query

# One field holds all words, so that a term has one rarity and one saturation wherever it stands, as
# in BM25F; what is in the name of the source counts a little more. Measured in docs/adr/0017.
FIELDS = {"text": 1.0, "title": 0.3}
_WRITER_BYTES = 15_000_000
_MAX_TERMS = 64  # of a query; the rarest ones are kept
_ANALYZER = "guild"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Slots and their scores, best first."""

    slots: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


class LexicalLeg:
    """An index of passages by words. Not thread-safe: one thread at a time.

    Changes are visible after `commit`. The writer lives from the first change to the commit, so
    that a guild at rest holds no buffers.
    """

    def __init__(self) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("slot", fast=True)
        builder.add_float_field("changed_at", fast=True)
        for name in FIELDS:
            builder.add_text_field(name, tokenizer_name=_ANALYZER, index_option="freq")
        # One field: a commit makes a dictionary of each, and that costs though it be empty.
        builder.add_text_field("marks", tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema)
        self._analyzer = terms.analyzer()
        self._index.register_tokenizer(_ANALYZER, self._analyzer)
        # By default a thread of its own reloads after each commit, too; the two wait for one lock,
        # which is polled every 100 ms.
        self._index.config_reader("manual")
        self._writer: tantivy.IndexWriter | None = None
        self._searcher = self._index.searcher()

    def add(self, source: Source, passages: Sequence[Passage], slots: Sequence[int]) -> None:
        """Adds the passages of one source under their slots."""
        title = terms.expand("\n".join([source.title, *source.names]))
        marks = _marks_of(source)
        writer = self._open()
        for passage, slot in zip(passages, slots, strict=True):
            document = tantivy.Document()
            document.add_unsigned("slot", slot)
            document.add_text("title", title)
            text = terms.expand(f"{passage.heading}\n{passage.text}")
            document.add_text("text", f"{title}\n{text}")
            document.add_float("changed_at", source.changed_at)
            for mark in marks:
                document.add_text("marks", mark)
            writer.add_document(document)

    def remove(self, source_id: str) -> None:
        """Removes every passage of a source."""
        self._open().delete_documents_by_term("marks", _mark("source", source_id))

    def commit(self) -> None:
        """Makes the changes visible to the next search; those that cannot be made so are lost."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.commit()
        writer.wait_merging_threads()  # consumes the writer and its buffers
        self._index.reload()
        self._searcher = self._index.searcher()

    def terms(self, text: str) -> list[str]:
        """The distinct terms of a query, in order of appearance."""
        return terms.distinct(self._analyzer, text)

    def rarity(self, wanted: Iterable[str]) -> dict[str, float]:
        """Inverse document frequency of each term; never negative."""
        total = self._searcher.num_docs
        return {
            term: float(np.log1p((total - found + 0.5) / (found + 0.5)))
            for term in wanted
            for found in [self._searcher.doc_freq("text", term)]
        }

    def search(self, text: str, selection: Selection, limit: int) -> Ranking:
        """The best ``limit`` passages that share a word with the text."""
        wanted = self.terms(text)
        if len(wanted) > _MAX_TERMS:
            rarity = self.rarity(wanted)
            wanted = sorted(wanted, key=rarity.__getitem__, reverse=True)[:_MAX_TERMS]
        if not wanted or self._searcher.num_docs == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        clauses = [
            (
                Occur.Should,
                Query.boost_query(Query.term_query(self._schema, field, term, "freq"), boost),
            )
            for term in wanted
            for field, boost in FIELDS.items()
        ]
        query = Query.boolean_query([(Occur.Must, Query.boolean_query(clauses))])
        if not selection.everything:
            query = Query.boolean_query([(Occur.Must, query), *self._filters(selection)])
        hits = self._searcher.search(query, limit, count=False).hits
        slots = self._searcher.fast_field_values("slot", [address for _, address in hits])
        return Ranking(
            np.array(slots, dtype=np.int64), np.array([score for score, _ in hits], np.float32)
        )

    def _filters(self, selection: Selection) -> list[tuple[Occur, Query]]:
        any_of = {
            "type": selection.types,
            "kind": selection.kinds,
            "status": selection.statuses,
            "access": selection.access,
        }
        clauses = [
            (Occur.Must, self._silent(name, values)) for name, values in any_of.items() if values
        ]
        clauses += [(Occur.Must, self._silent("tag", {tag})) for tag in selection.tags]
        if selection.exclude:
            clauses.append((Occur.MustNot, self._silent("source", selection.exclude)))
        if selection.since is not None or selection.until is not None:
            clauses.append((Occur.Must, self._in_time(selection.since, selection.until)))
        return clauses

    def _in_time(self, since: float | None, until: float | None) -> Query:
        within = Query.range_query(
            self._schema,
            "changed_at",
            tantivy.FieldType.Float,
            since,
            until,
            include_upper=until is None,
        )
        return Query.const_score_query(within, 0.0)

    def _silent(self, name: str, values: Iterable[str]) -> Query:
        """Any of these values, without a say in the score."""
        wanted = sorted(_mark(name, value) for value in values)
        found = Query.term_set_query(self._schema, "marks", wanted)
        return Query.const_score_query(found, 0.0)

    def _open(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(_WRITER_BYTES, 1)
        return self._writer


def _marks_of(source: Source) -> list[str]:
    """What a selection may ask for."""
    one_each = {
        "source": source.source_id,
        "type": source.type,
        "kind": source.kind,
        "status": source.status,
        "access": source.access,
    }
    marks = [_mark(name, value) for name, value in one_each.items()]
    return [*marks, *(_mark("tag", tag) for tag in source.tags)]


def _mark(name: str, value: str) -> str:
    return f"{name}:{value}"
