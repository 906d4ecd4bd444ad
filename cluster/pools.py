"""`python -m cluster.pools`: puts supervisor and router into a running Ray, then leaves.

Both are detached: they outlive this driver. A second run finds them and changes nothing.
"""

import sys

import ray
from actors.embedding.actor import EmbeddingActor
from actors.rag.actor import RagActor

from actors.identity.actor import IdentityActor
from actors.incident.actor import IncidentActor
from actors.knowledge.actor import KnowledgeActor
from actors.router.actor import start_router
from actors.runtime.supervisor import start_supervisor
from actors.settings import settings
from actors.task.actor import TaskActor

CLASSES = {
    "knowledge": KnowledgeActor,
    "task": TaskActor,
    "incident": IncidentActor,
    "rag": RagActor,
    "embedding": EmbeddingActor,
    "identity": IdentityActor,
}


def main() -> int:
    """Needs the settings of the stack in its environment, as a worker has them."""
    config = settings()
    ray.init(address=config.ray_address, namespace=config.ray_namespace, log_to_driver=False)
    start_supervisor(config, CLASSES)
    start_router(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
