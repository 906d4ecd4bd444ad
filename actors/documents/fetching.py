"""Pages that a guild may have fetched: only from hosts that its operator has named."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from actors.documents.formats import format_of
from actors.outbound.addresses import AddressRefused
from actors.outbound.client import Answer, AnswerTooLarge, Outbound
from actors.settings import UploadSettings

_ACCEPT = (
    "text/markdown, text/html, application/xhtml+xml, text/plain, application/pdf,"
    " application/vnd.openxmlformats-officedocument.wordprocessingml.document"
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OPEN = frozenset({"", "text/plain", "application/octet-stream"})


class NotFetched(Exception):
    """A page that is not fetched. The reason says nothing of what lies behind an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a URL led to.

    Attributes:
        name: the last part of its path, where the media type leaves open what it is; else empty.
        media_type: as declared, in lower case and without parameters.
    """

    data: bytes
    name: str
    media_type: str


def allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether a host is one of those named: itself, or below one that begins with ``*.``."""
    return any(
        host == one or (one.startswith("*.") and host.endswith(one[1:]) and host != one[2:])
        for one in (pattern.lower() for pattern in patterns)
    )


class Fetcher:
    """Fetches pages through the one outbound client, which judges every address.

    Args:
        outbound: makes the client, when the first page is fetched.
        settings: which hosts, and the bounds.
    """

    def __init__(self, outbound: Callable[[], Outbound], settings: UploadSettings) -> None:
        self._make = outbound
        self._outbound: Outbound | None = None
        self._settings = settings

    async def fetch(self, guild_id: str, url: str) -> Fetched:
        """What a URL leads to, over a few redirects.

        Raises:
            NotFetched: a host on the way is not one of the guild's, or the answer is no page.
            Unreachable: nobody answers there.
            DeadlineExceeded: it takes too long.
            Overloaded: all connections are in use.
        """
        hosts = self._hosts(guild_id)
        if not hosts:
            raise NotFetched("nothing is fetched for this guild: no host is allowed")
        try:
            async with asyncio.timeout(self._settings.fetch_timeout_s):
                return await self._follow(url, hosts)
        except TimeoutError:
            raise NotFetched("takes too long to answer") from None
        except AddressRefused as refused:
            raise NotFetched(str(refused)) from None
        except AnswerTooLarge as error:
            raise NotFetched(str(error)) from None

    async def close(self) -> None:
        """Closes the client, if one was made."""
        if self._outbound is not None:
            await self._outbound.close()

    def _hosts(self, guild_id: str) -> tuple[str, ...]:
        named = self._settings.fetch_hosts
        return (*named.get("*", ()), *named.get(guild_id, ()))

    async def _follow(self, url: str, hosts: tuple[str, ...]) -> Fetched:
        self._outbound = self._outbound or self._make()
        for _ in range(self._settings.fetch_redirects + 1):
            if not allowed(_host(url), hosts):
                raise NotFetched("leads to a host that this guild may not fetch from")
            answer = await self._outbound.send(
                "GET",
                url,
                headers={"Accept": _ACCEPT},
                timeout_s=self._settings.fetch_timeout_s,
                max_bytes=self._settings.fetch_max_bytes,
            )
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return _page(url, answer)
            url = _next(url, answer.headers["location"])
        raise NotFetched("is redirected too often")


def _page(url: str, answer: Answer) -> Fetched:
    if answer.status != 200:
        raise NotFetched(f"is answered with status {answer.status}")
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise NotFetched("is answered in a compressed form")
    path = PurePosixPath(unquote(urlsplit(url).path, errors="replace"))
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    tells = media_type in _OPEN and format_of(path) is not None
    return Fetched(data=answer.body, name=path.name if tells else "", media_type=media_type)


def _host(url: str) -> str:
    """As `urllib` reads it; the client reads it again, by a narrower grammar, before it is used."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _next(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise NotFetched("is redirected to something that is no address") from None
