"""The targets of all rows as flat arrays, and label tensors of some of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..modeling.labels import IGNORE_INDEX
from ..modeling.task import Task
from .flat_columns import NotFlatError, fields, joined, list_lengths, list_values, real_numbers, whole_numbers
from .spans import Spans, gather

NO_LABEL, NO_NUMBER = np.int64(IGNORE_INDEX), np.float32(np.nan)


class FlatTargets:
    """Per task, the targets of all N rows; the row after the last, the filler, has none.

    Held are int64 (T, N + 1) of the T tasks with one label a text; float32 (N + 1, C) of those with numbers; and of
    token classifications the labels of all tokens.

    Args:
        column: Mappings from the tasks' names to targets, in chunks.
        tasks: All the model's tasks.
        lengths: Tokens of each row, (N,).

    Raises:
        NotFlatError: A target is none that a [`MultiTaskCollator`] takes, or one that only it can read.
    """

    def __init__(self, column: Iterable[pa.Array], tasks: Sequence[Task], lengths: NDArray[np.int64]) -> None:
        self._tasks = list(tasks)
        num_rows = len(lengths)
        texts = [task for task in tasks if task.is_choice and not task.reads_tokens]
        self._choices = np.full((len(texts), num_rows + 1), IGNORE_INDEX, dtype=np.int64)
        choices = {task.name: row for task, row in zip(texts, self._choices, strict=True)}
        self._numbers = {
            task.name: np.full((num_rows + 1, task.num_labels), np.nan, dtype=np.float32)
            for task in tasks
            if not task.is_choice
        }
        words: dict[str, list[pa.Array]] = {task.name: [] for task in tasks if task.reads_tokens}
        start = 0
        for found in fields(column, [task.name for task in tasks]):
            for task in tasks:
                targets = found[task.name]
                end = start + len(targets)
                if task.reads_tokens:
                    words[task.name].append(targets)
                elif task.is_choice:
                    choices[task.name][start:end] = _checked(task, whole_numbers(targets, IGNORE_INDEX))
                else:
                    _read_numbers(self._numbers[task.name][start:end], targets)
            start = end
        by_name = {task.name: task for task in tasks}
        self._words = {name: _token_labels(by_name[name], pieces, lengths) for name, pieces in words.items()}

    def batch(self, rows: NDArray[np.int64], length: int) -> dict[str, Tensor]:
        """The labels of B rows, by task; those of tokens are padded to `length`."""
        choices = iter(torch.from_numpy(self._choices.take(rows, axis=1)).unbind(0))
        labels = {}
        for task in self._tasks:
            if task.reads_tokens:
                values, spans = self._words[task.name]
                labels[task.name] = torch.from_numpy(gather(values, *spans.places(rows, length), NO_LABEL))
            elif task.is_choice:
                labels[task.name] = next(choices)
            else:
                labels[task.name] = torch.from_numpy(self._numbers[task.name][rows])
        return labels


class FlatAnswers:
    """Another model's logits for all N rows, per task that has any; the row after the last has none.

    Args:
        column: Mappings from tasks' names to flat lists of logits, in chunks.
        tasks: All the model's tasks.
        lengths: Tokens of each row, (N,).

    Raises:
        NotFlatError: Not all rows have the same tasks, or logits are not as many as their task's outputs.
    """

    def __init__(self, column: Iterable[pa.Array], tasks: Sequence[Task], lengths: NDArray[np.int64]) -> None:
        pieces = list(column)
        kinds = [piece.type for piece in pieces]
        known = {tuple(field.name for field in kind) if pa.types.is_struct(kind) else () for kind in kinds}
        if len(known) > 1 or any(piece.null_count for piece in pieces):
            raise NotFlatError("only some rows have a teacher's logits")
        (names,) = known
        self.any = bool(names)
        """Whether a batch has `teacher_logits`, were it for none of the tasks."""
        self._tasks = [task for task in tasks if task.name in names]
        found = list(fields(pieces, [task.name for task in self._tasks]))
        self._logits = {
            task.name: _answers(task, [piece[task.name] for piece in found], lengths) for task in self._tasks
        }

    def batch(self, rows: NDArray[np.int64], length: int) -> dict[str, Tensor]:
        """The logits for B rows, by task: (B, C), or (B, `length`, C) of a token classification; NaN where none."""
        logits = {}
        for task in self._tasks:
            values, spans = self._logits[task.name]
            places, found = spans.places(rows, length if task.reads_tokens else 1)
            padded = torch.from_numpy(gather(values, places, found, NO_NUMBER))
            logits[task.name] = padded if task.reads_tokens else padded[:, 0]
        return logits


def _checked(task: Task, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    if not ((labels == IGNORE_INDEX) | (labels >= 0) & (labels < task.num_labels)).all():
        raise NotFlatError(f"task {task.name!r}: an index has no label")
    return labels


def _read_numbers(numbers: NDArray[np.float32], targets: pa.Array) -> None:
    """Write a chunk of targets, lists or single numbers, into their place, (N, C)."""
    count = numbers.shape[1]
    if count == 1 and not (pa.types.is_nested(targets.type) or pa.types.is_null(targets.type)):
        numbers[:, 0] = real_numbers(targets)
        return
    sizes = list_lengths(targets)
    if not np.isin(sizes, (-1, count)).all():
        raise NotFlatError(f"a target has another length than {count}")
    numbers[sizes == count] = real_numbers(list_values(targets)).reshape(-1, count)


def _token_labels(
    task: Task, pieces: Sequence[pa.Array], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Spans]:
    """The labels of all tokens, and which are whose."""
    sizes = np.concatenate([list_lengths(piece) for piece in pieces])
    if not ((sizes == lengths) | (sizes == -1)).all():
        raise NotFlatError(f"task {task.name!r}: a target is not as long as its tokens")
    labels = [_checked(task, whole_numbers(list_values(piece), IGNORE_INDEX)) for piece in pieces]
    return joined([piece.astype(np.int32) for piece in labels], np.int32), Spans(sizes, -1)


def _answers(task: Task, pieces: Sequence[pa.Array], lengths: NDArray[np.int64]) -> tuple[NDArray[np.float32], Spans]:
    """All logits of a task, (V, C), and which are whose."""
    sizes = np.concatenate([list_lengths(piece) for piece in pieces])
    outputs = lengths if task.reads_tokens else np.ones_like(lengths)
    if not ((sizes == outputs * task.num_labels) | (sizes == -1)).all():
        raise NotFlatError(f"task {task.name!r}: a teacher's logits are not as many as the outputs")
    values = [real_numbers(list_values(piece)).reshape(-1, task.num_labels) for piece in pieces]
    spans = Spans(np.where(sizes < 0, -1, outputs), -1)
    return np.concatenate([*values, np.zeros((1, task.num_labels), np.float32)]), spans
