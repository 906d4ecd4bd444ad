"""What a source is called, in a form in which two spellings of one name are equal. Pure."""

import re
from collections.abc import Iterator

from actors.index.passage import Source

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")
_KEPT = {code: None for code in range(128) if not chr(code).isalnum()}  # of ASCII, much quicker
_ANCHOR_PREFIX = re.compile(r"^(?:alert-?name-|alert-)")
_SUFFIX = re.compile(r"\.(?:md|markdown|html?|txt)$")


def key(name: str) -> str:
    """``Kubelet Down``, ``kubelet-down`` and ``KubeletDown`` are one name."""
    lower = name.lower()
    return lower.translate(_KEPT) if lower.isascii() else _NOT_ALPHANUMERIC.sub("", lower)


def url_keys(url: str) -> frozenset[str]:
    """What a link calls its target: the whole link, its last part, and its anchor."""
    bare = url.strip().lower().split("://", 1)[-1].split("?", 1)[0]
    page, _, anchor = bare.partition("#")
    slug = _SUFFIX.sub("", page.rstrip("/").rsplit("/", 1)[-1])
    named = {slug} if "/" in page else set()
    if anchor:
        named = {_ANCHOR_PREFIX.sub("", anchor)}  # an anchor names one alert of a longer page
    return frozenset({f"url:{bare.rstrip('/')}", *map(key, named)} - {""})


def keys(source: Source) -> frozenset[str]:
    """Every name under which a source can be meant.

    A document is also called what its title and the end of its external id say: runbooks are
    filed under the name of their alert. The title of an incident is prose.
    """
    return frozenset(name for name in _keys(source) if name)


def _keys(source: Source) -> Iterator[str]:
    yield from map(key, source.names)
    for url in source.urls:
        yield f"url:{url.strip().lower().split('://', 1)[-1].rstrip('/')}"
    if source.type == "document":
        yield key(source.title)
        if source.external_id:
            yield key(_SUFFIX.sub("", source.external_id.rstrip("/").rsplit("/", 1)[-1]))


def names_one_alert(source: Source) -> bool:
    """Whether the source says which alert it is for: by its list of alerts, or its title.

    A title that is one CamelCase or snake_case word is the name of an alert, a title in prose
    is not.
    """
    title = source.title.strip()
    one_word = bool(title) and not re.search(r"\s", title)
    identifier = bool(re.search(r"[a-z][A-Z]|[A-Z]{2}[a-z]|_", title))
    return bool(source.names) or (source.type == "document" and one_word and identifier)
