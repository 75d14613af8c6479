"""How often each class was answered, was right, and both: what precision, recall and F1 are made of.

Letters of the shapes: R rows, B weightings of the rows, C classes.
"""

from typing import NamedTuple

import numpy as np

from ..modeling.entities import entity_types, find_entities, found_in
from .answers import Answers, Floats, divided, row_sums


class Counts(NamedTuple):
    """Per weighting and class, (B, C) each: answered and right; answered; right."""

    hit: Floats
    predicted: Floats
    actual: Floats

    def summed(self) -> "Counts":
        """All classes taken together, (B, 1) each: the basis of micro averages."""
        return Counts(*(counts.sum(axis=-1, keepdims=True) for counts in self))

    def precision(self) -> Floats:
        """Share of what was answered that is right, (B, C); 0 where nothing was answered."""
        return divided(self.hit, self.predicted)

    def recall(self) -> Floats:
        """Share of what is right that was answered, (B, C); 0 where nothing is."""
        return divided(self.hit, self.actual)

    def f1(self) -> Floats:
        """Harmonic mean of precision and recall, (B, C); 0 for a class that occurs nowhere."""
        return divided(2 * self.hit, self.predicted + self.actual)

    def macro(self, values_BC: Floats) -> Floats:
        """Mean of `values_BC` over the classes that occur among answers or targets, (B,); 0 where none does."""
        occurs_BC = (self.predicted + self.actual) > 0
        return divided((values_BC * occurs_BC).sum(axis=-1), occurs_BC.sum(axis=-1))

    def weighted(self, values_BC: Floats) -> Floats:
        """Mean of `values_BC` over the targets, (B,); 0 where there are none."""
        return divided((values_BC * self.actual).sum(axis=-1), self.actual.sum(axis=-1))


def count_classes(answers: Answers, weights_BR: Floats) -> Counts:
    """Counts of each label, of texts or tokens; of several labels a text, where there is a target."""
    task, decided, targets = answers.task, answers.decided, answers.targets
    count = task.num_labels
    if task.is_choice:
        return Counts(
            row_sums(weights_BR, answers.rows, targets, decided == targets, count),
            row_sums(weights_BR, answers.rows, decided, 1, count),
            row_sums(weights_BR, answers.rows, targets, 1, count),
        )
    known = answers.known
    present = targets > 0.5  # NaN is not
    given = known & (decided > 0)
    return Counts(*(weights_BR @ values.astype(np.float64) for values in (given & present, given, present)))


def count_entities(answers: Answers, weights_BR: Floats) -> Counts:
    """Counts of the entities of each type; an entity is a hit where its words and its type are right."""
    labels = answers.task.labels
    width = len(entity_types(labels))
    predicted = find_entities(labels, answers.decided, answers.rows)
    actual = find_entities(labels, answers.targets, answers.rows)
    return Counts(
        row_sums(weights_BR, answers.rows[actual.first], actual.type, found_in(actual, predicted), width),
        row_sums(weights_BR, answers.rows[predicted.first], predicted.type, 1, width),
        row_sums(weights_BR, answers.rows[actual.first], actual.type, 1, width),
    )
