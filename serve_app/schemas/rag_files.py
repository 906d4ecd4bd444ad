"""What is said of a file or a page beside its contents."""

from typing import Annotated

from pydantic import ConfigDict, Field, field_validator

from actors.documents.parsed import Parsed
from actors.rag.messages import DocumentAccess, StoreDocument
from serve_app.call import Origin
from serve_app.schemas.common import example
from serve_app.strict import Line, Strict, Tags, Text

_Kind = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=64)]
_ExternalId = Annotated[Line, Field(max_length=512)]


class _Said(Strict):
    external_id: _ExternalId | None = None
    title: Text = Field(default="", max_length=500)
    kind: _Kind | None = None
    tags: Tags = ()
    access_level: DocumentAccess | None = None

    def to_message(self, origin: Origin, parsed: Parsed, source_url: str | None) -> StoreDocument:
        """The command that stores what was read."""
        return StoreDocument(
            **origin,
            content=parsed.text.strip(),
            external_id=self.external_id,
            title=self.title or parsed.title,
            content_type=parsed.content_type,
            source_url=source_url,
            kind=self.kind,
            tags=self.tags,
            access_level=self.access_level,
        )


class UploadQuery(_Said):
    """What is said of a file that is uploaded.

    Attributes:
        name: the file's own; its ending must agree with what is in it.
    """

    name: Annotated[Line, Field(max_length=255)]
    source_url: Annotated[Line, Field(max_length=2_048)] | None = None

    @field_validator("name")
    @classmethod
    def _no_path(cls, name: str) -> str:
        if "/" in name or "\\" in name or name in {".", ".."}:
            raise ValueError("must be a file's name, without folders")
        return name


class FetchIn(_Said):
    """A page or file that is fetched.

    Attributes:
        external_id: default: the address, so that a page fetched again is its next version.
    """

    url: Annotated[Line, Field(max_length=2_048)]

    model_config = ConfigDict(
        json_schema_extra=example(
            url="https://docs.example.com/runbooks/disk-full.html", kind="runbook"
        )
    )
