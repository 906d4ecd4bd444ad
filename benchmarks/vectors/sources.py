"""Where sentences come from: the evaluation data, and what installed packages say of themselves."""

import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import orjson

from benchmarks.vectors.sentences import docstrings, sentences_of

CORPORA = ("retrieval/*/corpus.jsonl", "qa/*/passages.jsonl", "runbooks/runbooks.jsonl")
_PROSE = {".md", ".rst", ".txt"}
_MAX_BYTES = 2_000_000


class NoData(RuntimeError):
    """There is no evaluation data where it was said to be."""


def corpora(data: Path) -> list[Path]:
    """The files of the evaluation data that hold text.

    Raises:
        NoData: at least one kind of them is missing.
    """
    found = [sorted(data.glob(pattern)) for pattern in CORPORA]
    missing = [pattern for pattern, files in zip(CORPORA, found, strict=True) if not files]
    if missing:
        raise NoData(f"{data} has no {', '.join(missing)}")
    return [file for files in found for file in files]


def sentences_of_data(data: Path) -> Iterator[str]:
    """Every sentence of the corpora; of passages that are Python, that of their docstrings."""
    for file in corpora(data):
        with file.open("rb") as lines:
            for line in lines:
                text: str = orjson.loads(line)["text"]
                for prose in docstrings(text) if text.startswith(("def ", "class ")) else [text]:
                    yield from sentences_of(prose)


def sentences_of_packages(folder: Path | None = None) -> Iterator[str]:
    """Every sentence of the documentation and the docstrings of what is installed."""
    root = folder or Path(sysconfig.get_path("purelib"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's escapes in their strings
        for file in sorted(root.rglob("*")):
            if file.suffix not in _PROSE | {".py"} or _left_out(file):
                continue
            text = file.read_text(encoding="utf-8", errors="ignore")
            for prose in docstrings(text) if file.suffix == ".py" else [text]:
                yield from sentences_of(prose)


def _left_out(file: Path) -> bool:
    """Licences say the same a hundred times; lists of names are no text."""
    name = file.name.lower()
    return (
        not file.is_file()
        or file.stat().st_size > _MAX_BYTES
        or name.startswith(("licen", "copying", "notice", "record", "top_level"))
        or "licenses" in file.parts
    )
