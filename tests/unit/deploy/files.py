"""What lies in ``cluster/deploy``, read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "cluster" / "deploy"
_GIVEN = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")


def load(path: str) -> Any:
    """The one document of a file below ``cluster/deploy``."""
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


def manifests() -> Iterator[dict[str, Any]]:
    """Every object of the Kubernetes shape."""
    for name in ["migration.yaml", *load("kubernetes/kustomization.yaml")["resources"]]:
        if name.endswith(".yaml"):
            text = (DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")
            yield from yaml.safe_load_all(text)


def environment_file(path: str) -> dict[str, str]:
    """Name to value, of lines ``NAME=value``."""
    lines = (DEPLOY / path).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def substituted(text: str, given: dict[str, str]) -> str:
    """As compose does it, with ``given``; a variable that is not there is a KeyError."""
    return _GIVEN.sub(lambda found: given[found[1]], text).replace("$$", "$")
