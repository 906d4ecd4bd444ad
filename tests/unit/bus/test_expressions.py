"""What an expression may cost, and that none costs more."""

import time
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bus.domain.expression_cost import NOTHING, Load, load_of, shape_of
from actors.bus.domain.expressions import Expression
from actors.errors import ValidationError
from actors.settings import BusSettings

BOUNDS = BusSettings()
MOST = BOUNDS.max_expression_chars
TOO_LONG_S = 1.0  # what is refused or passed over would take minutes, or all memory


def full(unit: str, between: str, head: str = "", tail: str = "") -> str:
    """The longest expression of this kind."""
    number = (MOST - len(head) - len(tail) + len(between)) // (len(unit) + len(between))
    return head + between.join([unit] * number) + tail


def refused(source: str) -> str:
    with pytest.raises(ValidationError) as error:
        Expression(source, BOUNDS)
    assert error.value.field == "filter.expression"
    return error.value.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x" * (MOST + 1), f"is longer than {MOST} characters"),
        ("", "is not CEL at line 1, column 1"),
        ("(" * 99 + "1" + ")" * 99, "is nested too deep"),
        ("[1].map(x, x) == [1]", "has map, which copies a list again and again; use exists or all"),
        ("[1] . /**/map(x, x)", "is not CEL at line 1, column 7"),
        ("[1]. // c\n filter (x, true) == []", "has filter, which copies a list again and again"),
        ("data.s.matches('(a{1000}){100}')", "calls what is none of the functions"),
        ("matches(data.s, 'a')", "calls what is none of the functions"),
        ("rm('/')", "calls what is none of the functions"),
        ("optional.of(1).hasValue()", "calls what is none of the functions"),
        ("data.exists(k, v, v == 1)", "calls what is none of the functions"),
        ("Type == 'a'", "reads what is neither data nor an attribute (a-z, 0-9)"),
        ("event.data.total > 1 && event_id == ''", "reads what is neither data nor an attribute"),
        (
            "[1].all(a, [a].all(b, [b].all(c, true)))",
            "has more than 2 macros within each other",
        ),
    ],
)
def test_what_is_refused_says_why(source: str, reason: str) -> None:
    assert refused(source).startswith(reason)


@pytest.mark.parametrize(
    "source",
    [
        f"{list(range(99))}.exists(x, {list(range(99))}.exists(y, x == y + 500))",
        "[data.s + data.s].exists(x, [x + x].exists(y, (y + y + y).contains('b')))",
        full("x==1", "||", "[1,2,3,4,5,6,7,8,9].all(y,[1,2,3,4,5,6,7,8,9].all(x,", "))"),
    ],
)
def test_what_would_cost_too_much_by_itself_is_refused(source: str) -> None:
    assert refused(source) == "takes too many steps, whatever the event"


@pytest.mark.parametrize(
    "source",
    [
        full("!", "", "", "true"),
        full("data", "."),
        full("[0]", "", "data"),
        full("1", "+", "", "==1"),
        full("true", "&&"),
        full("data.s", "+", "size(", ")==1"),
        full("data.l", "+", "size(", ")==1"),
        full("data.l==data.l", "&&"),
        full("data.s.contains('ab')", "||"),
        full("data.s.contains('ab')", "||", "data.l.exists(x,", ")"),
        full("x==1", "||", "data.l.exists(x,", ")"),
        full("x==1", "||", "data.l.exists(y,data.l.exists(x,", "))"),
        full("1 in data.l", "||", "data.l.exists(x,", ")"),
        full("duration('1h')==duration('3s')", "||", "data.l.exists(x,", ")"),
        full("[data,data,data]==[data]", "||", "data.l.exists(x,", ")"),
        full("data.s", ",", "[[", "]].exists(x,x==x&&x==x&&x==x&&x==x)"),
        "data == data && data.l == data.l",
        "data.exists(k, data.exists(l, data[k] == data[l] && k != l))",
    ],
)
@pytest.mark.parametrize(
    "data",
    [
        {"l": [0] * 20},
        {"l": [0] * 300, "s": "a" * 3_000},
        {"l": ["abc"] * 3_000},
        {"l": [0] * 100_000},
        {"s": "a" * 250_000, "l": [0] * 10},
        {"l": [{"a": "b", "c": ["d"]}] * 10_000},
        {f"k{number}": number for number in range(5_000)},
        orjson.loads('{"l":' + "[" * 1_000 + "]" * 1_000 + "}"),
    ],
    ids=["few", "some", "texts", "many", "long", "objects", "names", "deep"],
)
def test_no_expression_holds_up_a_process(source: str, data: Any) -> None:
    try:
        expression = Expression(source, BOUNDS)
    except ValidationError:
        return

    begun = time.thread_time()
    with suppress(Exception):  # one that fails on this data
        expression.holds({"data": data})

    assert time.thread_time() - begun < TOO_LONG_S


def test_an_expression_of_the_greatest_length_is_possible() -> None:
    source = full("data.kind == 'a' && type == 'b'", " || ")

    assert Expression(source, BOUNDS).holds({"type": "b", "data": {"kind": "a"}})


def test_a_list_of_alerts_is_affordable() -> None:
    alert = {"status": "firing", "labels": {f"label{n}": "value" for n in range(8)}}
    data = {"alerts": [alert] * 50 + [{"status": "firing", "labels": {"severity": "critical"}}]}
    source = "data.alerts.exists(a, a.status == 'firing' && a.labels.severity in ['critical'])"

    assert Expression("data.alerts.exists(a, 'severity' in a.labels)", BOUNDS).holds({"data": data})
    assert not Expression(source, BusSettings(max_expression_steps=1_000)).holds({"data": data})


def test_only_what_is_read_of_the_data_counts() -> None:
    data = {"kind": "a", "blob": ["x"] * 100_000}

    assert Expression("data.kind == 'a'", BOUNDS).holds({"data": data})
    assert not Expression("data['kind'] == 'a'", BOUNDS).holds({"data": data})


@pytest.mark.parametrize(
    ("source", "members"),
    [
        ("data.a.b == 1 && data.c > 2", {"a", "c"}),
        ("has(data.a) || data . b == x.data", {"a", "b"}),
        ("x.all(data, data.a)", None),
        ("data['a'] == 1 && data.b", None),
        ("'a' in data", None),
        ("data.exists(k, k == 'a')", None),
        ("data == null", None),
        ("type == 'data.a'", set()),
    ],
)
def test_members_that_are_read_are_known(source: str, members: set[str] | None) -> None:
    assert shape_of(source).members == members


names = st.sampled_from(["x", "y", "data", "type", "map", "exists", "a1"])
texts = st.sampled_from(
    ["'a.all(b, '", '"x.exists("', "r'\\'", "'\\''", '"""a"b.all("""', "b'('", 'R"\\"', "''"]
)


@st.composite
def written(draw: st.DrawFn, depth: int = 0) -> tuple[str, int]:
    """An expression, and how many macros stand within each other."""
    kind = draw(st.integers(0, 5 if depth < 4 else 1))
    if kind == 0:
        return draw(names), 0
    if kind == 1:
        return draw(texts), 0
    one, nested_one = draw(written(depth + 1))
    other, nested_other = draw(written(depth + 1))
    gap = draw(st.sampled_from(["", " ", "\n", "// (\n"]))
    match kind:
        case 2:
            return f"({one}{gap}== {other})", max(nested_one, nested_other)
        case 3:
            return f"[{one},{gap}{other}]", max(nested_one, nested_other)
        case 4:
            return f"{one}.contains{gap}({other})", max(nested_one, nested_other)
        case _:
            macro = draw(st.sampled_from(["all", "exists", "exists_one", "existsOne"]))
            return f"{one}.{gap}{macro}{gap}(v,{other})", max(nested_one, nested_other + 1)


@settings(deadline=None)
@given(written())
def test_macros_within_macros_are_counted_whatever_stands_between(one: tuple[str, int]) -> None:
    source, nested = one

    assert shape_of(source).nesting == nested


@settings(deadline=None)
@given(
    st.builds(Load, *[st.integers(0, 10_000)] * 3), st.builds(Load, *[st.integers(0, 10_000)] * 3)
)
def test_more_data_never_costs_less(one: Load, other: Load) -> None:
    shape = shape_of("data.l.exists(x, x.s.contains('a') && data.n + 1 == x.n)")
    both = Load(*map(max, one, other))

    assert shape.steps(NOTHING) <= shape.steps(one) <= shape.steps(both)


def test_data_is_weighed_down_to_its_depth() -> None:
    data = {"a": ["bc", {"d": 1}], "e": "f"}

    assert load_of({"data": data}, 9, 9_999) == Load(values=9, chars=6, widest=2)
    assert load_of({"data": data}, 3, 9_999) is not None
    assert load_of({"data": data}, 2, 9_999) is None
    assert load_of({"data": [1] * 100}, 9, 9_999) is None
