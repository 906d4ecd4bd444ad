"""How often somebody may try to sign in: slowed down, never locked out. Pure.

A lane is what attempts are counted by: the login that was tried, known or not, and the address
that tried it. Each attempt counts when it begins and is taken back when it was right, or was not
looked at, so guesses that are made at the same time gain nothing.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from actors.settings import IdentitySettings

_IPV6_SITE = 64  # one customer has as many addresses as they like below such a prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One of the counts that an attempt is part of.

    Attributes:
        key: digest; says nothing of the login or the address.
        free: failures within the window before there is a pause.
        pause_s: after the last free one; it doubles with each further one.
        clears: a right password takes all failures back, and not only its own attempt.
    """

    key: str
    free: int
    window_s: float
    pause_s: float
    pause_max_s: float
    clears: bool


def lanes(login: str, address: str, settings: IdentitySettings) -> tuple[Lane, ...]:
    """The lanes of an attempt; from the host itself only the account's."""
    account = Lane(
        key=_digest("account", login),
        free=settings.account_failures,
        window_s=settings.account_window_s,
        pause_s=settings.account_pause_s,
        pause_max_s=settings.account_pause_max_s,
        clears=True,
    )
    if not address:
        return (account,)
    window_s = settings.address_window_s
    return (
        Lane(
            key=_digest("address", _site(address)),
            free=settings.address_failures,
            window_s=window_s,
            pause_s=window_s,
            pause_max_s=window_s,
            clears=False,
        ),
        account,
    )


def _site(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, _IPV6_SITE), strict=False))


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\x1f{text}".encode("utf-8", "replace")).hexdigest()
