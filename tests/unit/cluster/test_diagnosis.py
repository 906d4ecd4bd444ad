"""What the doctor says of doors, secrets and addresses."""

# ruff: noqa: S104  # 0.0.0.0 is an address to be judged here; nobody binds to it

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.diagnosis import (
    Door,
    Level,
    is_loopback,
    of_doors,
    of_front,
    of_migrations,
    of_secrets,
    of_urls,
    verdict,
)

STRONG = "3f9a1c77e0b2d4586a9f01c2b3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6"


@pytest.mark.parametrize(
    ("address", "yes"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_told_in_every_notation(address: str, yes: bool) -> None:
    assert is_loopback(address) is yes


@pytest.mark.parametrize(
    ("address", "part", "guard", "front", "level"),
    [
        ("127.0.0.1", "PostgreSQL", "a password", False, Level.OK),
        ("127.0.0.1", "PostgreSQL", "", False, Level.WARNING),
        ("127.0.0.1", "PostgreSQL", None, False, Level.WARNING),
        ("127.0.0.1", "the API", None, True, Level.OK),
        ("0.0.0.0", "the API", "a token", True, Level.OK),
        ("0.0.0.0", "PostgreSQL", "a password", False, Level.WARNING),
        ("0.0.0.0", "PostgreSQL", "", False, Level.BAD),
        ("::", "Ray's dashboard", "", False, Level.BAD),
        ("10.0.0.1", "Ray's GCS", "Ray's token", False, Level.WARNING),
        ("10.0.0.1", "Ray's GCS", None, False, Level.WARNING),
        ("0.0.0.0", "", None, False, Level.WARNING),
    ],
)
def test_a_door_is_judged_by_who_may_come_and_what_it_asks(
    address: str, part: str, guard: str | None, front: bool, level: Level
) -> None:
    door = Door(port=1, address=address, program="x", part=part, guard=guard, front=front)

    [finding] = of_doors([door])

    assert finding.level is level
    assert ":1" in finding.about


def test_the_worst_door_comes_first() -> None:
    doors = [
        Door(port=1, address="127.0.0.1", program="", part="Valkey", guard="a password"),
        Door(port=2, address="0.0.0.0", program="", part="Valkey", guard="a password"),
        Door(port=3, address="0.0.0.0", program="", part="Valkey", guard=""),
    ]

    levels = [finding.level for finding in of_doors(doors)]

    assert levels == [Level.BAD, Level.WARNING, Level.OK]


def test_in_production_something_stands_before_the_api() -> None:
    nginx = Door(port=443, address="0.0.0.0", program="nginx", front=True)

    assert of_front([], production=False) == []
    assert of_front([], production=True)[0].level is Level.WARNING
    assert of_front([nginx], production=True)[0].level is Level.OK


def test_what_a_container_beside_us_listens_with_is_another_front() -> None:
    unknown = Door(port=443, address="0.0.0.0", program="")
    own = Door(port=443, address="127.0.0.1", program="")

    assert [one.level for one in of_front([unknown], production=True)] == [Level.OK]
    assert [one.level for one in of_front([own], production=True)] == [Level.WARNING]


def test_in_production_nobody_gets_past_what_stands_before_the_api() -> None:
    nginx = Door(port=443, address="0.0.0.0", program="nginx", front=True)
    closed = Door(port=8000, address="127.0.0.1", program="haproxy", part="the API", front=True)
    around = Door(port=8000, address="10.0.0.1", program="haproxy", part="the API", front=True)

    assert [one.level for one in of_front([nginx, closed], production=True)] == [Level.OK]
    assert [one.level for one in of_front([nginx, around], production=True)] == [
        Level.OK,
        Level.WARNING,
    ]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "not set"),
        ("short", "shorter"),
        ("a" * 64, "guessed"),
        ("change-me-please-change-me-please-0123456789", "guessed"),
        (STRONG, "strong"),
    ],
)
def test_a_weak_secret_is_bad_in_production_and_a_warning_elsewhere(value: str, says: str) -> None:
    [strict], [lax] = (of_secrets({"KEY": value}, production=one) for one in (True, False))

    assert says in strict.text
    if value == STRONG:
        assert (strict.level, lax.level) == (Level.OK, Level.OK)
    else:
        assert (strict.level, lax.level) == (Level.BAD, Level.WARNING)


@given(st.text(min_size=8, max_size=80))
def test_no_finding_tells_a_secret(value: str) -> None:
    [finding] = of_secrets({"KEY": value}, production=True)

    assert finding.text in {
        "is set and strong",
        "is shorter than 32 bytes",
        "can be guessed: make a random one",
    }


def test_another_host_is_reached_over_tls_only() -> None:
    urls = {
        "A": "postgresql://guild:pw@db.example.com/guild",
        "B": "postgresql://guild:pw@db.example.com/guild?sslmode=verify-full",
        "C": "redis://:pw@cache.example.com",
        "D": "rediss://:pw@cache.example.com",
        "E": "redis://:pw@127.0.0.1",
        "F": "",
    }

    found = {finding.about: finding.level for finding in of_urls(urls)}

    assert found == {"A": Level.BAD, "B": Level.OK, "C": Level.BAD, "D": Level.OK}


def test_missing_migrations_are_bad_and_unknown_ones_a_warning() -> None:
    assert of_migrations(["012_x.sql"]).level is Level.BAD
    assert of_migrations([]).level is Level.OK
    assert of_migrations(None).level is Level.WARNING


def test_the_verdict_is_that_of_the_worst() -> None:
    ok, warning, bad = of_migrations([]), of_migrations(None), of_migrations(["x"])

    assert [verdict([]), verdict([ok]), verdict([ok, warning]), verdict([warning, bad])] == [
        0, 0, 1, 2,
    ]  # fmt: skip
