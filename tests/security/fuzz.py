"""Many cases of Schemathesis against the whole API: `python -m tests.security.fuzz`.

What was done is noted in a journal after each chunk, so a run that was stopped goes on where it
was. Another seed, or another journal, begins anew.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fixtures.asgi import unheard
from tests.fixtures.gateway import whole_app
from tests.security.fuzzing import WAYS, Fuzz

_CHUNK = 25
_ROUNDS = 200
_SAY_EVERY_S = 30.0


def main() -> int:
    """Runs until there were enough cases; 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=7_200.0, help="then it stops; start again")
    parser.add_argument("--journal", type=Path, default=Path(".fuzz.jsonl"))
    chosen = parser.parse_args()
    with unheard():
        return _run(chosen.cases, chosen.seed, chosen.seconds, chosen.journal)


def _run(cases: int, seed: int, seconds: float, journal: Path) -> int:
    done = _read(journal, seed)
    answers: Counter[str] = Counter()
    failures: list[str] = []
    for line in done.values():
        answers.update(line["answers"])
        failures += line["failures"]
    fuzz = Fuzz(whole_app())
    ends = time.monotonic() + seconds
    said = 0.0
    rounds = min(_ROUNDS, 1 + 2 * cases // (_CHUNK * len(fuzz) * len(WAYS)))
    with journal.open("a") as lines:
        for chunk in fuzz.chunks(rounds):
            if answers.total() >= cases or time.monotonic() > ends:
                break
            if chunk.name in done:
                continue
            tally = fuzz.run(chunk, _CHUNK, seed)
            told = {str(status): count for status, count in tally.answers.items()}
            line = {"seed": seed, "chunk": chunk.name, "answers": told}
            lines.write(json.dumps({**line, "failures": tally.failures}) + "\n")
            lines.flush()
            answers.update(told)
            failures += tally.failures
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                _say(f"{answers.total()} of {cases} cases, {len(failures)} failures")
    for failure in failures[:50]:
        _say(failure)
    enough = answers.total() >= cases
    _say(f"{answers.total()} cases of seed {seed}, {len(failures)} failures: {dict(answers)}")
    if not enough:
        _say("not enough cases yet: run it again to go on")
    return 1 if failures or not enough else 0


def _read(journal: Path, seed: int) -> dict[str, dict[str, Any]]:
    if not journal.exists():
        return {}
    lines = (json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}"))
    return {line["chunk"]: line for line in lines if line["seed"] == seed}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
