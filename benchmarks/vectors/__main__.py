"""`python -m benchmarks.vectors`: chooses and embeds the sentences, so that no benchmark waits."""

import os
import sys
from pathlib import Path

from benchmarks.vectors.kept import DOCUMENTS, QUERIES, prepared

if __name__ == "__main__":
    data = Path(os.environ.get("GUILD_EVAL_DATA") or "absent")
    sys.stdout.write(f"{prepared(data, QUERIES + DOCUMENTS)}\n")
