"""How good the tasks of an earlier model are before they are trained on, or beside, others."""

from typing import Any

from ..data.mapping import with_targets
from ..publishing.result_tables import PREFIXES
from .run import Run


def score_earlier_tasks(run: Run) -> dict[str, dict[str, float]]:
    """Per split with rows for tasks of the earlier model, their results, of the model as it is now, on these rows.

    By the prefix of the split's results and the keys that these have, such as `test_topic_accuracy`.
    """
    scores: dict[str, dict[str, float]] = {}
    for split, evaluated in run.evaluated.items() if run.earlier else ():
        rows: Any = with_targets(evaluated, run.earlier, f"the earlier tasks, {split}")
        if len(rows):
            prefix = PREFIXES[split]
            scores[prefix] = run.trainer.predict(rows, metric_key_prefix=prefix).metrics or {}
    return scores
