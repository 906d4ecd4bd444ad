"""The category tree: a default set that every guild has, and what a guild adds to it."""

import re
from collections.abc import Mapping

from actors import checks
from actors.errors import ValidationError
from actors.knowledge.messages import Category, CreateCategory

ID_MAX = 64
NAME_MAX = 200
DESCRIPTION_MAX = 1000
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_DEFAULT = (
    "general",
    "development_pattern",
    "best_practice",
    "troubleshooting",
    "architecture",
    "security",
    "performance",
    "testing",
    "deployment",
    "tools",
    "workflow",
)

BUILT_IN: tuple[Category, ...] = tuple(
    Category(
        category_id=category_id,
        name=category_id.replace("_", " ").capitalize(),
        description="",
        parent_id=None,
        built_in=True,
    )
    for category_id in _DEFAULT
)


def check_id(field: str, category_id: str) -> str:
    """The id, if it looks like one; a trailing line break does not."""
    if not _ID.fullmatch(category_id) or len(category_id) > ID_MAX:
        raise ValidationError(field, "is made of letters, digits, _ and - only")
    return category_id


def existing(field: str, category_id: str, known: Mapping[str, Category]) -> str:
    """The id, if the guild has this category."""
    if check_id(field, category_id) not in known:
        raise ValidationError(field, "is no category of this guild")
    return category_id


def create(command: CreateCategory, known: Mapping[str, Category], most: int) -> Category:
    """A new node. Its parent is there already, so the tree can hold no ring."""
    check_id("category_id", command.category_id)
    if command.category_id in known:
        raise ValidationError("category_id", "exists already")
    if len(known) >= most:
        raise ValidationError("category_id", f"a guild has at most {most}")
    if command.parent_id is not None:
        existing("parent_id", command.parent_id, known)
    return Category(
        category_id=command.category_id,
        name=checks.text("name", command.name, NAME_MAX, required=True),
        description=checks.text("description", command.description, DESCRIPTION_MAX),
        parent_id=command.parent_id,
        built_in=False,
    )
