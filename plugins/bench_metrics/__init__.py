"""The built-in metrics of stored predictions; scikit-learn computes them where it has them."""

from __future__ import annotations

import bench
from bench_metrics import averages, counts, probabilities, ranking, trees

BENCH_API = 1


@bench.hookimpl
def register_metrics() -> list[bench.Metric]:
    """Return the built-in metrics."""
    return [
        counts.ACCURACY,
        counts.BALANCED_ACCURACY,
        counts.MATTHEWS,
        counts.HAMMING_LOSS,
        *averages.METRICS,
        ranking.TOP_K,
        ranking.TOP5,
        ranking.ROC_AUC,
        ranking.AVERAGE_PRECISION,
        probabilities.LOG_LOSS,
        probabilities.BRIER,
        probabilities.ECE,
        trees.ACCURACY_LEVEL,
        trees.HIERARCHICAL_PRECISION,
        trees.HIERARCHICAL_RECALL,
        trees.HIERARCHICAL_F1,
        trees.TREE_DISTANCE,
    ]
