"""`python -m cluster.licences`: the licence of every locked package, as its authors declare it."""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from cluster.floors import LOCK, name_of, pinned

_UNKNOWN = "unknown"
_LONGEST = 80  # some put the whole text there
_CLASSIFIER = "License :: "


def declared(package: metadata.PackageMetadata) -> str:
    """One line: the expression, else the classifiers, else the free text, else ``unknown``."""
    if "License-Expression" in package:
        return package["License-Expression"]
    classifiers = [one for one in package.get_all("Classifier") or () if _CLASSIFIER in one]
    if classifiers:
        return " AND ".join(sorted(one.rpartition(" :: ")[2] for one in classifiers))
    text = " ".join(package["License"].split()) if "License" in package else ""
    return text[:_LONGEST] or _UNKNOWN


def rows(lock: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, version and licence of each locked package; of one not installed: ``unknown``."""
    installed = {name_of(one.name): one.metadata for one in metadata.distributions() if one.name}
    for name, version in sorted(lock.items()):
        yield name, version, declared(installed[name]) if name in installed else _UNKNOWN


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes CSV; ends with 1 where there is nothing to write."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.licences",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m cluster.licences --lock requirements.lock > licences.csv",
    )
    parser.add_argument("--lock", type=Path, default=LOCK, help="the lock to read")
    lock_file: Path = parser.parse_args(arguments).lock
    lock = pinned(lock_file.read_text())
    if not lock:
        print(f"{lock_file} holds nothing", file=sys.stderr)
        return 1
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("package", "version", "licence"))
    writer.writerows(rows(lock))
    return 0


if __name__ == "__main__":
    sys.exit(main())
