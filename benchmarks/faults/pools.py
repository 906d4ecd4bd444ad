"""`python -m benchmarks.faults.pools`: the guild's pools, but for one whose effects are counted.

For ``python -m cluster.up --pools benchmarks.faults.pools``. The embedding pool is left out: no
event here has a meaning, and the model would take half a core to load.
"""

import sys

from benchmarks.faults.plan import MEMBER
from cluster import pools

POOLS = {name: path for name, path in pools.POOLS.items() if name != "embedding"} | {
    MEMBER: "benchmarks.faults.member:EffectMember"
}

if __name__ == "__main__":
    sys.exit(pools.main(POOLS))
