"""Erasure over HTTP."""

from pydantic import ConfigDict, Field

from actors.bus.messages import EraseSubject
from serve_app.call import Origin
from serve_app.schemas.common import example
from serve_app.strict import Shown, Strict, View


class ErasureIn(Strict):
    """Whose key is destroyed: the ``datasubject`` that their events were published with.

    It is taken as it is, to the letter: the sage says whether anybody can be called so.
    """

    subject: str = Field(min_length=1, max_length=500)

    model_config = ConfigDict(json_schema_extra=example(subject="customer-4711"))

    def to_message(self, origin: Origin) -> EraseSubject:
        """The command."""
        return EraseSubject(**origin, subject=self.subject)


class ErasureView(View):
    """The proof; it names the subject by a digest only."""

    subject_digest: str
    erased_at: Shown
