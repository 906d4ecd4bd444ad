"""What a job says on a terminal: names from anywhere, shown and never acted upon."""

from rich.console import Console


def tell(console: Console, text: str, style: str | None = None) -> None:
    """Prints one line."""
    console.print(printable(text), style=style, markup=False)


def printable(text: str) -> str:
    """The text, escaped where a terminal would obey it, break the line, or turn it around."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
