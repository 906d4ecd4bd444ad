"""The page about the API tells of every route what the table says."""

from pathlib import Path

from serve_app.access import ACCESS

PAGE = Path(__file__).parents[3] / "docs" / "API_DOCUMENTATION.md"


def test_every_route_is_on_the_page_with_what_it_needs() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for route, rule in ACCESS.items():
        method, path = route.split(" ")
        needs = "public" if rule.public else ", ".join(f"`{one}`" for one in sorted(rule.needs))
        carries = [
            name
            for name, wanted in (
                ("Idempotency-Key", rule.key_required),
                ("If-Match", rule.if_match),
            )
            if wanted
        ]

        assert f"| {method} | `{path}` | {needs} | {', '.join(carries)} |" in rows
