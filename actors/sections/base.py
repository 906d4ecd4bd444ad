"""What every section is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Read-only, and without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
