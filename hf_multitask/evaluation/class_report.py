"""Which labels one task takes for which, as plain data.

Letters of the shapes: C labels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix

from ..modeling.entities import entity_types
from ..modeling.task import Task
from .answers import read_answers
from .counts import count_classes, count_entities
from .registry import kind_of


@dataclass(frozen=True)
class ClassScores:
    """How well one label, or type of entity, is found; 0 where a score would divide by nothing."""

    precision: float
    recall: float
    f1: float
    support: int


def confusion(task: Task, logits: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Number of texts, or tokens, of each right label (rows) that were given each label (columns), (C, C).

    Args:
        task: A task whose answer is one of its labels.
        logits: As in [`read_answers`].
        labels: As in [`read_answers`].

    Raises:
        ValueError: The task's answer is not one of its labels.
    """
    if not task.is_choice:
        raise ValueError(
            f"Task {task.name!r}: a confusion matrix needs one label per text or word, found {task.problem_type!r}. "
            "See per_class for the scores of each label."
        )
    answers = read_answers(task, logits, labels)
    count = task.num_labels
    if answers is None:
        return np.zeros((count, count), dtype=np.int64)
    matrix: NDArray[np.int64] = confusion_matrix(answers.targets, answers.decided, labels=range(count))
    return matrix


def per_class(task: Task, logits: ArrayLike, labels: ArrayLike) -> dict[str, ClassScores]:
    """Per label, its precision, recall, F1 and number of targets; per type of entity where labels are BIO tags.

    Empty where no row has a target.

    Args:
        task: A task with labels.
        logits: As in [`read_answers`].
        labels: As in [`read_answers`].

    Raises:
        ValueError: The task's answers are numbers.
    """
    if not task.has_classes:
        raise ValueError(
            f"Task {task.name!r}: scores per class need a task with classes, found {task.problem_type!r}. Read its "
            "metrics."
        )
    answers = read_answers(task, logits, labels)
    if answers is None:
        return {}
    entities = kind_of(task) == "BIO"
    counts = (count_entities if entities else count_classes)(answers, np.ones((1, answers.row_count)))
    names = entity_types(task.labels) if entities else task.labels
    columns = (counts.precision()[0], counts.recall()[0], counts.f1()[0], counts.actual[0])
    return {
        name: ClassScores(float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *columns, strict=True)
    }
