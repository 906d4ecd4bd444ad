"""`python -m cluster.pools`: puts supervisor and router into a running Ray, then leaves.

Both are detached: they outlive this driver. A second run finds them and changes nothing.
"""

import sys
from collections.abc import Mapping

import ray

from actors.router.actor import start_routers
from actors.runtime.supervisor import start_supervisor
from actors.settings import settings

POOLS = {
    "knowledge": "actors.knowledge.actor:KnowledgeMember",
    "task": "actors.task.actor:TaskMember",
    "incident": "actors.incident.actor:IncidentMember",
    "rag": "actors.rag.actor:RagMember",
    "embedding": "actors.embedding.actor:EmbeddingMember",
    "identity": "actors.identity.actor:IdentityMember",
    "bus": "actors.bus.actor:BusMember",
}
"""Pool → where its member is; members import it themselves, this driver stays light."""


def main(pools: Mapping[str, str] = POOLS) -> int:
    """Needs the settings of the stack in its environment, as a worker has them."""
    config = settings()
    ray.init(address=config.ray_address, namespace=config.ray_namespace, log_to_driver=False)
    start_supervisor(config, pools)
    start_routers(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
