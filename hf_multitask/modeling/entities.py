"""Entities that words tagged in the BIO scheme make up.

Letters of the shapes: n words with a tag, E entities.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Entities(NamedTuple):
    """Entities in the order of the text, (E,) each: the first word, the last word, and the index of the type."""

    first: Indices
    last: Indices
    type: Indices


def is_bio(labels: Sequence[str]) -> bool:
    """Whether labels are tags of the BIO scheme: `O`, and `B-` or `I-` with a type for all others."""
    tags = [label for label in labels if label != "O"]
    return len(tags) < len(labels) and bool(tags) and all(tag[:2] in ("B-", "I-") and tag[2:] for tag in tags)


def entity_types(labels: Sequence[str]) -> list[str]:
    """Types of the entities that BIO labels mark, in the order in which they first occur."""
    return list(dict.fromkeys(label[2:] for label in labels if label != "O"))


def find_entities(labels: Sequence[str], tags_n: Indices, rows_n: Indices) -> Entities:
    """The entities that tags make up, as `seqeval` and CoNLL's script read them by default.

    A word begins an entity where its tag is `B-`, or is `I-` behind no word of the same type in the same row (so that
    IOB1 is read too); an entity goes on over `I-` tags of its type.

    Args:
        labels: The task's labels.
        tags_n: Index of each word's label.
        rows_n: The row of each word, in ascending order.
    """
    types = {name: index for index, name in enumerate(entity_types(labels))}
    type_of = np.array([types.get(label[2:], -1) if label != "O" else -1 for label in labels])
    begins = np.array([label.startswith("B-") for label in labels])
    type_n = type_of[tags_n]
    continues_n = np.zeros(len(tags_n), dtype=bool)  # the entity of the word before
    same = (type_n[1:] == type_n[:-1]) & (rows_n[1:] == rows_n[:-1])
    continues_n[1:] = (type_n[1:] >= 0) & same & ~begins[tags_n[1:]]
    first = np.flatnonzero((type_n >= 0) & ~continues_n)
    ends_n = np.append(~continues_n[1:], True)
    last = np.flatnonzero((type_n >= 0) & ends_n)
    return Entities(first, last, type_n[first])


def found_in(entities: Entities, others: Entities) -> NDArray[np.bool_]:
    """Which of `entities` are also among `others`, with the same words and the same type, (E,)."""
    known = set(zip(*(column.tolist() for column in others), strict=True))
    places = zip(*(column.tolist() for column in entities), strict=True)
    return np.fromiter((place in known for place in places), dtype=bool, count=len(entities.first))
