"""From texts to the answers of every task."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from .modeling.decoding import decide, probabilities
from .modeling.modeling_multitask import MultiTaskModel
from .modeling.task import Task


@torch.inference_mode()
def predict(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[str, ...]],
    max_length: int,
    batch_size: int = 32,
) -> list[dict[str, dict[str, Any]]]:
    """Per text, the answer of each task, with calibrated probabilities.

    | kind of task                          | answer                                                            |
    |---------------------------------------|-------------------------------------------------------------------|
    | one label, one of several in an order | `label`, and `probabilities` by label                             |
    | any number of labels                  | `labels` that apply, and `probabilities` by label                 |
    | a label of each word                  | `words`, each with `word`, `start`, `end`, `label`, `probability` |
    | one number, several numbers           | `value`, or `values` by name, in the user's units                 |
    | similarity                            | `cosine` of the two texts; no answer for a single text            |

    The words, of the first text of a pair, are the tokenizer's, from character `start` to before `end`; their label is
    that of their first token. A similarity reads the two texts of a pair apart, all other tasks read them jointly.

    Args:
        model: The model; it is left in the mode, training or evaluation, it was in.
        tokenizer: Its tokenizer.
        texts: Texts, each a tuple of one or, for a pair, of two.
        max_length: Tokens per text, at most; what lies behind is not read.
        batch_size: Texts of a batch; of similar length, so that there is little padding.

    Raises:
        ValueError: Words have labels, and the tokenizer does not tell which tokens are theirs; or a text is no tuple of
            one or two.
    """
    if any(task.reads_tokens for task in model.config.tasks) and not tokenizer.is_fast:
        raise ValueError(
            f"Labels of words need a fast tokenizer, found {type(tokenizer).__name__}. Load another by "
            "AutoTokenizer.from_pretrained(...)."
        )
    wrong = [text for text in texts if not isinstance(text, tuple) or len(text) not in (1, 2)]
    if wrong:
        raise ValueError(
            f"A text must be a tuple of one string or, for a pair, of two, found {wrong[0]!r}. Write ('A text.',)."
        )
    answers: list[dict[str, dict[str, Any]]] = [{} for _ in texts]
    was_training = model.training
    model.eval()
    try:
        for indices in _batches(texts, batch_size):
            batch = [texts[index] for index in indices]
            for index, found in zip(indices, _predict_batch(model, tokenizer, batch, max_length), strict=True):
                answers[index] = found
    finally:
        model.train(was_training)
    return answers


def _batches(texts: Sequence[tuple[str, ...]], size: int) -> Iterator[list[int]]:
    """Indices of texts, or of pairs, of similar length, in characters: tokens are not known yet."""
    by_length = sorted(range(len(texts)), key=lambda index: sum(map(len, texts[index])))
    for count in (1, 2):
        alike = [index for index in by_length if len(texts[index]) == count]
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _predict_batch(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, batch: list[tuple[str, ...]], max_length: int
) -> list[dict[str, dict[str, Any]]]:
    def encode(*columns: list[str]) -> BatchEncoding:
        options = {"truncation": True, "max_length": max_length, "padding": True, "padding_side": "right"}
        encoded: BatchEncoding = tokenizer(*columns, **options, return_tensors="pt")
        return encoded.to(model.device)

    columns = [list(column) for column in zip(*batch, strict=True)]
    joint = encode(*columns)
    logits = model(**joint).logits
    similarities = [task.name for task in model.config.tasks if not task.has_head]
    if len(columns) == 2 and similarities:
        first, second = map(encode, columns)
        pairs = {f"pair_{name}": second[name] for name in ("input_ids", "attention_mask")}
        apart = model(**first, **pairs).logits
        logits |= {name: apart[name] for name in similarities}
    found: list[dict[str, dict[str, Any]]] = [{} for _ in batch]
    for task in model.config.tasks:
        if task.name in similarities and len(columns) == 1:
            continue
        for row, answer in enumerate(_answers(task, logits[task.name])):
            if task.reads_tokens:
                answer = {"words": _words(columns[0][row], joint, row, answer)}
            found[row][task.name] = answer
    return found


def _answers(task: Task, logits: Tensor) -> Iterator[dict[str, Any]]:
    """Each text's answer; of a task that reads tokens, the `labels` and `probabilities` of all tokens."""
    decided = decide(task, logits).tolist()
    if not task.has_head:
        yield from ({"cosine": cosine} for (cosine,) in decided)
    elif task.problem_type == "regression":
        for numbers in decided:
            yield {"values": dict(zip(task.labels, numbers, strict=True))} if task.labels else {"value": numbers[0]}
    else:
        chances = probabilities(task, logits)
        if task.reads_tokens:
            for labels, likely in zip(decided, chances.amax(dim=-1).tolist(), strict=True):
                yield {"labels": [task.labels[label] for label in labels], "probabilities": likely}
            return
        for decision, row in zip(decided, chances.tolist(), strict=True):
            by_label = dict(zip(task.labels, row, strict=True))
            if task.is_choice:
                yield {"label": task.labels[decision], "probabilities": by_label}
            else:
                given = [label for label, applies in zip(task.labels, decision, strict=True) if applies]
                yield {"labels": given, "probabilities": by_label}


def _words(text: str, encoded: BatchEncoding, row: int, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    """The words of `text` with the label of their first token.

    A word ends where the tokenizer says so, or at a space: some tokenizers take a whole text for one word.
    """
    words: list[dict[str, Any]] = []
    assert encoded.encodings is not None, "a fast tokenizer has them"
    last_id, encoding = None, encoded.encodings[row]
    for place, (word_id, sequence, (start, end)) in enumerate(
        zip(encoding.word_ids, encoding.sequence_ids, encoding.offsets, strict=True)
    ):
        start += len(text[start:end]) - len(text[start:end].lstrip())  # some tokens have the space before them
        if sequence != 0 or word_id is None or start >= end:
            continue
        if word_id == last_id and not text[words[-1]["end"] : start].isspace():
            words[-1]["end"] = end
        else:
            label, probability = tokens["labels"][place], tokens["probabilities"][place]
            words.append({"word": "", "start": start, "end": end, "label": label, "probability": probability})
        last_id = word_id
    for word in words:
        word["word"] = text[word["start"] : word["end"]]
    return words
