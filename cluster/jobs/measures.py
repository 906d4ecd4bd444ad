"""nDCG@10, recall@100 and MRR of what a search found, as trec_eval counts them."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from cluster.problem import StackProblem

NAMES = {"ndcg_cut_10": "ndcg@10", "recall_100": "recall@100", "recip_rank": "mrr"}
_MEASURES = ("ndcg_cut.10", "recall.100", "recip_rank")

Judgements = Mapping[str, Mapping[str, int]]
Ranking = Sequence[str]


def measure(judged: Judgements, found: Mapping[str, Ranking]) -> dict[str, float]:
    """The means over all queries of ``found``; one without any document counts as 0.

    Args:
        judged: query id to document id to grade; above 0 is relevant.
        found: query id to document ids, the best first, each at most once.

    Raises:
        StackProblem: the package that counts is not installed.
    """
    try:
        from pytrec_eval import RelevanceEvaluator
    except ImportError as error:
        raise StackProblem(
            "evaluation needs pytrec-eval-terrier: pip install 'elders-guild[evaluation]'"
        ) from error
    wanted = {query_id: dict(judged[query_id]) for query_id in found}
    # By rank and not by score: trec_eval breaks ties by the document's name.
    runs = {
        query_id: {name: float(len(ranking) - rank) for rank, name in enumerate(ranking)}
        for query_id, ranking in found.items()
        if ranking
    }
    rows = RelevanceEvaluator(wanted, _MEASURES).evaluate(runs) if runs else {}
    return {
        name: fmean(rows.get(query_id, {}).get(key, 0.0) for query_id in found) if found else 0.0
        for key, name in NAMES.items()
    }
