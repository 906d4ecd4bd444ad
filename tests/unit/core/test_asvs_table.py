"""The table of ASVS items: none is left out, the tests that it names are there, its sums right."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "security" / "asvs.md"
GUIDE = ROOT / "docs" / "SECURITY_GUIDE.md"

LEVELS = {
    "1.1": "22", "1.2": "1111122223", "1.3": "112222222223", "1.4": "222", "1.5": "123",
    "2.1": "122", "2.2": "112", "2.3": "12223", "2.4": "23",
    "3.1": "3", "3.2": "113", "3.3": "12223", "3.4": "11222233", "3.5": "11122333", "3.6": "3",
    "3.7": "22333",
    "4.1": "12233", "4.2": "23333", "4.3": "22", "4.4": "1222",
    "5.1": "2", "5.2": "112333", "5.3": "113", "5.4": "222",
    "6.1": "122", "6.2": "111111112222", "6.3": "11223333", "6.4": "112233", "6.5": "22222333",
    "6.6": "2223", "6.7": "33", "6.8": "2222",
    "7.1": "222", "7.2": "1111", "7.3": "22", "7.4": "11222", "7.5": "223", "7.6": "22",
    "8.1": "1233", "8.2": "1123", "8.3": "133", "8.4": "23",
    "9.1": "111", "9.2": "1222",
    "10.1": "22", "10.2": "223", "10.3": "22223", "10.4": "1111122222233333", "10.5": "22222",
    "10.6": "22", "10.7": "222",
    "11.1": "2233", "11.2": "22233", "11.3": "11233", "11.4": "1222", "11.5": "23", "11.6": "23",
    "11.7": "33",
    "12.1": "12233", "12.2": "11", "12.3": "22223",
    "13.1": "2333", "13.2": "222223", "13.3": "2233", "13.4": "1222233",
    "14.1": "22", "14.2": "12223333", "14.3": "122",
    "15.1": "12233", "15.2": "12233", "15.3": "1222222", "15.4": "3333",
    "16.1": "2", "16.2": "22222", "16.3": "2222", "16.4": "222", "16.5": "2223",
    "17.1": "23", "17.2": "22223333", "17.3": "22",
}  # fmt: skip
"""ASVS 5.0.0: section → the level of each of its items, in order."""

ITEMS = {
    f"{section}.{place}": int(level)
    for section, levels in LEVELS.items()
    for place, level in enumerate(levels, 1)
}
ASKED = {item: level for item, level in ITEMS.items() if level <= 2}
STATES = ("automated", "named", "not met", "not applicable")
_ROW = re.compile(r"\| ([0-9.]+) \| ([123]) \| ([^|]+) \| ([^|]*)\| ([a-z ]+) \|")
_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_LINK = re.compile(r"\]\(([^)#\s:]*)#?([^)\s:]*)\)")


class Row(NamedTuple):
    """One line of the table."""

    item: str
    level: int
    control: str
    tests: tuple[tuple[str, str], ...]
    state: str


@cache
def rows() -> tuple[Row, ...]:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\|\s*[0-9]", line)]
    found = []
    for line in lines:
        match = _ROW.fullmatch(line)
        assert match is not None, line
        item, level, control, tests, state = match.groups()
        assert _TEST.sub("", tests).strip() == "", line
        found.append(Row(item, int(level), control, tuple(_TEST.findall(tests)), state))
    return tuple(found)


@cache
def functions(path: Path) -> dict[str, str]:
    """Name of each function → its decorators, those of its class and of its module included."""
    tree = ast.parse(path.read_text())
    marks = [ast.unparse(node) for node in tree.body if "pytestmark" in ast.unparse(node)]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = {}
    for body, of_class in ((tree.body, []), *((one.body, one.decorator_list) for one in classes)):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = map(ast.unparse, (*of_class, *node.decorator_list))
                found[node.name] = " ".join((*marks, *own))
    return found


@cache
def run_by_somebody(module: str) -> bool:
    """Whether a contract suite of the fixtures is imported by a file of tests."""
    return any(module in path.read_text() for path in TESTS.rglob("test_*.py"))


def test_every_item_of_the_first_two_levels_has_one_row_and_its_level() -> None:
    said = Counter(row.item for row in rows())

    assert len(ITEMS) == 345
    assert [item for item, times in said.items() if times > 1] == []
    assert [item for item in ASKED if item not in said] == []
    assert {row.item: row.level for row in rows()} == {item: ITEMS[item] for item in said}


def test_every_row_has_a_state_and_only_what_is_automated_names_tests() -> None:
    for row in rows():
        assert row.state in STATES, row.item
        assert bool(row.tests) is (row.state == "automated"), row.item
        assert len(row.control.split()) > 1, row.item


@pytest.mark.parametrize("test", sorted(set(_TEST.findall(PAGE.read_text()))), ids="::".join)
def test_every_test_that_is_named_is_there_and_runs(test: tuple[str, str]) -> None:
    path, name = TESTS / test[0], test[1]

    assert path.is_file()
    assert name in functions(path)
    assert not re.search(r"mark\.(skip|xfail|long)", functions(path)[name])
    if not path.name.startswith("test_"):
        assert run_by_somebody(path.stem)


def test_the_sums_on_the_page_are_right() -> None:
    asked = Counter(row.state for row in rows() if row.level <= 2)
    beyond = [row for row in rows() if row.level == 3]

    apply = len(ASKED) - asked["not applicable"]
    percent = round(100 * asked["automated"] / apply)
    sums = (
        f"Of {len(ASKED)} items of levels 1 and 2, {asked['not applicable']} do not apply. Of the"
        f" {apply} that do, {asked['automated']} ({percent} %) are automated, {asked['named']} are"
        f" named, and {asked['not met']} are not met. {len(beyond)} items of level 3 stand in the"
        " table besides."
    )
    assert sums in " ".join(PAGE.read_text().split())
    assert f"{percent} %" in GUIDE.read_text()


def headings(page: Path) -> set[str]:
    """Of a page, as links name them; empty: the page itself."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {"", *(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found)}


@pytest.mark.parametrize("page", [PAGE, GUIDE], ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    links = _LINK.findall(page.read_text())

    assert links
    for target, heading in links:
        leads_to = (page.parent / target).resolve() if target else page
        assert leads_to.exists(), target
        assert not heading or heading in headings(leads_to), heading
