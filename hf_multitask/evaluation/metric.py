"""What a metric is: a name, a direction, and a number for a task's answers.

Letters of the shapes: R rows, B weightings of the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .answers import Answers, Floats


@dataclass(frozen=True)
class Metric:
    """A number that says how good a task's answers are.

    Args:
        name: Its key in the results, behind the task's name.
        title: How it is written in tables.
        higher_is_better: Its direction.
        compute: From a task's answers and how often each row counts (B, R), one number per weighting (B,). Whole
            weights mean rows that occur so often, so that one definition gives scores and their intervals.
        needs: What must hold of the answers for the metric to exist, in words; empty if it always does.
        holds: Whether that holds.
    """

    name: str
    title: str
    higher_is_better: bool
    compute: Callable[[Answers, Floats], Floats]
    needs: str = ""
    holds: Callable[[Answers], bool] = lambda _: True

    def score(self, answers: Answers) -> float:
        """The metric of all rows, each counting once; NaN where the model's outputs are no numbers."""
        if not answers.is_finite:
            return float("nan")
        return float(self.compute(answers, np.ones((1, answers.row_count)))[0])
