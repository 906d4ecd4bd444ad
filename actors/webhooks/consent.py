"""Asks an address whether it wants to be called, as CloudEvents' web hooks do.

The specification: https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md. An
answer's status means nothing there: only its headers say yes.
"""

import re
from collections.abc import Mapping

from actors.errors import DeadlineExceeded, DependencyUnavailable, ValidationError
from actors.outbound.addresses import AddressRefused
from actors.outbound.client import Outbound
from actors.settings import WebhookSettings
from actors.webhooks.keys import WebhookKeys

ORIGIN = "WebHook-Request-Origin"
_RATE = "WebHook-Request-Rate"
_FIELD = "sink.url"
_PER_MINUTE = re.compile(r"[1-9][0-9]{0,8}")


class CallableAddresses:
    """The `Webhooks` of the subscriptions, over the one outbound client."""

    def __init__(self, outbound: Outbound, keys: WebhookKeys, settings: WebhookSettings) -> None:
        self._outbound = outbound
        self._keys = keys
        self._settings = settings

    async def agree(self, url: str) -> int | None:
        """Asks an address whether it wants to be called, and how often.

        Returns:
            How many requests a minute it allows; None: any number.

        Raises:
            ValidationError: we do not call such addresses, or it does not agree.
            DependencyUnavailable: it does not answer, or nothing could be signed.
        """
        self._keys.require()
        try:
            answer = await self._outbound.send(
                "OPTIONS",
                url,
                headers={
                    ORIGIN: self._settings.origin,
                    _RATE: str(self._settings.requests_per_minute),
                },
                timeout_s=self._settings.agree_timeout_s,
                max_bytes=0,
            )
        except AddressRefused as refused:
            raise ValidationError(_FIELD, refused.reason) from None
        except DeadlineExceeded:
            raise DependencyUnavailable("the receiver") from None
        return granted(answer.headers, self._settings)

    def secret(self, subscription_id: str, key_version: int) -> str:
        """What its deliveries are signed with; the same for the same arguments."""
        return self._keys.newest(subscription_id, key_version)


def granted(headers: Mapping[str, str], settings: WebhookSettings) -> int | None:
    """How many requests a minute an answer allows; None: any number.

    Who says nothing of a rate gets what we asked for.

    Args:
        headers: of the answer, by name in lower case.
        settings: who asks, and for what.

    Raises:
        ValidationError: it does not agree, or not in words that we understand.
    """
    origin = headers.get("webhook-allowed-origin", "").strip()
    if origin != "*" and origin.lower() != settings.origin.lower():
        raise ValidationError(_FIELD, "does not agree to be called: no WebHook-Allowed-Origin")
    rate = headers.get("webhook-allowed-rate", "").strip()
    if rate == "*":
        return None
    if not rate:
        return settings.requests_per_minute
    if not _PER_MINUTE.fullmatch(rate):
        raise ValidationError(_FIELD, "answers with a WebHook-Allowed-Rate that is no number")
    return int(rate)
