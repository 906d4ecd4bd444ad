"""Passwords that are guessed first."""

import subprocess
import sys

import pytest

from actors.errors import ValidationError
from actors.identity import domain
from actors.identity.common_passwords import is_common


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PassWord",
        "password123456!",
        "123456789password",
        "passwordpassword",
        "qwertyqwertyqwerty",
        "123456123456",
        "dragon!!!!!!2026",
        "iloveyou1234567",
        "letmeinletmein99",
    ],
)
def test_a_common_password_is_refused_however_it_is_made_longer(password: str) -> None:
    assert is_common(password)
    with pytest.raises(ValidationError, match="password"):
        domain.check_password(password, "elder")


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "x" * 60 + "yzäöü", "夜空に星が二つ光っている", "tr0ub4dor&3-staple"],
)
def test_a_phrase_of_ones_own_is_taken_also_a_long_one(password: str) -> None:
    domain.check_password(password, "elder")


def test_a_process_that_checks_no_password_does_not_read_the_list() -> None:
    code = "import sys, actors.identity.domain; sys.exit('zxcvbn.frequency_lists' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False)  # our own

    assert done.returncode == 0
