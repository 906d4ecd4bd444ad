"""`python -m actors.documents.boxed`: reads files for a `Box`, in a process that may die.

Frames on standard input and output: four bytes of length, then as many. An empty one says that it
is ready. A question is JSON, then the blocks of the file, then an empty frame; an answer is an
empty frame when the file has arrived, then JSON. It ends with its input, when it has spent its
processor time, and after a file that took all its memory.
"""

import json
import os
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

from actors.documents import pdf, plain, web_page, word  # noqa: F401  # loaded before any file
from actors.documents.formats import Format, parse
from actors.documents.parsed import Limits, ParseProblem

LENGTH = struct.Struct("!I")
OUT_OF_MEMORY = "takes more memory than a file may"


def main() -> None:
    """Answers each question until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    memory, cpu_s = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers.write(LENGTH.pack(0))
    answers.flush()
    while (question := _read(sys.stdin.buffer)) is not None:
        _allow_cpu(cpu_s)
        answer, last = _answer(json.loads(question), sys.stdin.buffer, answers), False
        if answer.get("problem") == OUT_OF_MEMORY:
            last = True  # what is left of it is not worth finding out
        frame = json.dumps(answer).encode()
        answers.write(LENGTH.pack(len(frame)) + frame)
        answers.flush()
        if last:
            return


def _answer(question: dict[str, Any], stream: BinaryIO, answers: BinaryIO) -> dict[str, str]:
    try:
        contents = _contents(stream)
        answers.write(LENGTH.pack(0))
        answers.flush()
        parsed = parse(contents, Format(question["format"]), Limits(**question["limits"]))
    except ParseProblem as problem:
        return {"problem": str(problem)}
    except MemoryError:
        return {"problem": OUT_OF_MEMORY}
    except RecursionError:
        return {"problem": "is nested too deeply"}
    except Exception as error:
        # A parser's own mistake is the file's trouble, never the job's.
        return {"problem": f"its parser failed: {type(error).__name__}"}
    return {"text": parsed.text, "content_type": parsed.content_type, "title": parsed.title}


def _contents(stream: BinaryIO) -> bytes:
    blocks = []
    while block := _read(stream):
        blocks.append(block)
    if block is None:
        sys.exit()  # who asked is gone
    return b"".join(blocks)


def _allow_cpu(seconds: float) -> None:
    """So much more from now on: whoever was left alone in an endless loop ends too.

    The timer is exact and no library can catch it here; the limit, in whole seconds, stands behind.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return stream.read(LENGTH.unpack(head)[0])


if __name__ == "__main__":
    main()
