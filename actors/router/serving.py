"""Which dead letters can be delivered now, and to whom. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from actors.router.routing import Subscription


class Serving:
    """Who is served at this moment.

    Args:
        subscriptions: all that are open.

    Attributes:
        letters: names that letters are kept under, to the letter.
        declared: ids of subscriptions of which letters of any generation or replay are served.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._exact: dict[str, Subscription] = {}
        self._declared: dict[str, Subscription] = {}
        for one in subscriptions:
            self._exact.setdefault(one.letters, one)
            if one.declared_as is not None and one.replays is None:
                self._declared.setdefault(one.declared_as, one)
        self.letters = frozenset(self._exact)
        self.declared = frozenset(self._declared)

    def subscription_of(self, letters: str) -> Subscription | None:
        """Who is served under the name that a dead letter is kept under.

        Of a replay that is over, or an earlier generation, it is the subscription of today, with
        deliveries called as they were then.
        """
        exact = self._exact.get(letters)
        if exact is not None:
            return exact
        today = self._declared.get(letters.partition("@")[0])
        if today is None:
            return None
        return replace(today, name=letters.rpartition("~")[2], letters_as=letters)
