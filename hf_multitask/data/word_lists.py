"""Lists of words and the tags of these, where only some rows have them: they tell of a slip, not of another task."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..modeling.entities import is_bio
from .cells import is_empty, is_list, list_of, shown
from .forms import GIVE_KIND


def check_no_words(task: str, texts: Sequence[Any], where: str) -> None:
    """Raise where some texts beside lists of targets are lists of words, and others are not.

    Args:
        task: Its name.
        texts: The cells of the column with text.
        where: Which column that is, for the message.

    Raises:
        ValueError: Some are; the message tells the first of both.
    """
    words, other = None, None
    for row, text in enumerate(texts, 1):
        found = list_of(text, where) if is_list(text) else None
        if words is None and found and any(isinstance(word, str) for word in found):
            words = f"{shown(text)} in row {row}"
        elif other is None and found is None and not is_empty(text):
            other = f"{shown(text)} in row {row}"
        if words and other:
            raise ValueError(
                f"Task {task!r}: beside lists of targets all texts must be lists of words, or none, found {words} and "
                f"{other}, in {where}. {GIVE_KIND}"
            )


def check_no_tags(task: str, places: Mapping[str, str]) -> None:
    """Raise where the targets beside plain texts are tags of words.

    Args:
        task: Its name.
        places: By target, where it is first found.

    Raises:
        ValueError: They are.
    """
    if is_bio(list(places)):
        raise ValueError(
            f"Task {task!r}: tags of words must stand beside lists of these words, found {shown(sorted(places))} "
            f"beside texts, first in {next(iter(places.values())).removeprefix(f'Task {task!r}, ')}. Write the texts "
            'as lists of their words, such as ["A", "word"]; if the tags are labels of the texts, give the task\'s '
            "problem_type under tasks."
        )
