"""From texts to the probabilities of every task."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from .modeling.modeling_multitask import MultiTaskModel


@torch.inference_mode()
def predict_probabilities(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]], max_length: int
) -> list[dict[str, dict[str, float]]]:
    """Per text and task, the probability of each label: a softmax over the task's logits, in float32, text by text.

    Args:
        model: The model; it is left in the mode, training or evaluation, it was in.
        tokenizer: Its tokenizer.
        texts: Texts, each a tuple of one or, for a pair, of two.
        max_length: Tokens per text, at most.
    """
    was_training = model.training
    model.eval()
    answers = []
    for text in texts:
        inputs = tokenizer(*text, truncation=True, max_length=max_length, return_tensors="pt").to(model.device)
        logits = model(**inputs).logits
        answers.append(
            {
                task.name: dict(zip(task.labels, logits[task.name][0].float().softmax(dim=-1).tolist(), strict=True))
                for task in model.config.tasks
            }
        )
    model.train(was_training)
    return answers
