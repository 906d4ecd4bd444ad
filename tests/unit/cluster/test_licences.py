"""The licence of a package, in one line, however its authors say it."""

from email.message import Message

import pytest

from cluster.licences import declared, main


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ([("License-Expression", "MIT"), ("License", "a text")], "MIT"),
        (
            [
                ("Classifier", "License :: OSI Approved :: MIT License"),
                ("Classifier", "License :: OSI Approved :: Apache Software License"),
                ("Classifier", "Topic :: Security"),
            ],
            "Apache Software License AND MIT License",
        ),
        ([("License", "BSD\n  3-Clause")], "BSD 3-Clause"),
        ([("License", "x" * 500)], "x" * 80),
        ([], "unknown"),
    ],
)
def test_a_licence_is_one_line(fields: list[tuple[str, str]], line: str) -> None:
    package = Message()
    for name, value in fields:
        package[name] = value

    assert declared(package) == line  # type: ignore[arg-type]  # what metadata is made of


def test_every_locked_package_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0] == "package,version,licence"
    assert any(line.startswith("ray,") for line in lines)
