"""From texts to the probabilities of every task."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from .modeling.modeling_multitask import MultiTaskModel


@torch.inference_mode()
def predict_probabilities(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> list[dict[str, dict[str, float]]]:
    """Per text and task, the probability of each label: a softmax over the task's logits, in float32.

    Args:
        model: The model; it is left in the mode, training or evaluation, it was in.
        tokenizer: Its tokenizer.
        texts: One batch of texts.
        max_length: Tokens per text, at most.
    """
    was_training = model.training
    inputs = tokenizer(
        list(texts), truncation=True, max_length=max_length, padding=True, padding_side="right", return_tensors="pt"
    )
    logits = model.eval()(**inputs.to(model.device)).logits
    model.train(was_training)
    probabilities = {name: values.float().softmax(dim=-1).tolist() for name, values in logits.items()}
    return [
        {task.name: dict(zip(task.labels, probabilities[task.name][row], strict=True)) for task in model.config.tasks}
        for row in range(len(texts))
    ]
