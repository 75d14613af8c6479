"""A peer that trains: sentence-transformers' Trainer, on the classification of single sentences."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor, nn

from .ours import quiet
from .stopwatch import timed
from .variant import Skip
from .workload import LABELS, Workload


class ClassificationLoss(nn.Module):
    """Cross-entropy of a linear head on the embedding: its own `SoftmaxLoss` reads pairs only.

    Args:
        encoder: A SentenceTransformer.
        hidden_size: Of its embeddings.
    """

    def __init__(self, encoder: Any, hidden_size: int) -> None:
        super().__init__()
        self.model = encoder
        self.head = nn.Linear(hidden_size, LABELS)

    def forward(self, sentence_features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss, 0-d."""
        [features] = sentence_features
        embedding = self.model(features)["sentence_embedding"]
        return nn.functional.cross_entropy(self.head(embedding), labels.view(-1))


def trainer(workload: Workload, texts: Sequence[str]) -> Any:
    """A Trainer at its defaults, of texts that were tokenised before: it would do that while it trains.

    Raises:
        Skip: sentence-transformers is not installed, or has no such collator.
    """
    try:
        from sentence_transformers import (
            SentenceTransformer,
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.sentence_transformer import SentenceTransformerDataCollator
    except ImportError as error:
        raise Skip(f"sentence-transformers cannot be used: {error}") from error
    encoder = SentenceTransformer(workload.backbone, device=workload.device)
    encoder.max_seq_length = workload.max_length
    labels = [row["task_0"] for row in workload.rows(texts, 1)["targets"]]
    loss = ClassificationLoss(encoder, workload.config.hidden_size).to(workload.device)
    tokens = dict(zip(texts, workload.encoded(texts)["input_ids"], strict=True))

    def padded(inputs: Sequence[str], **_: Any) -> Any:
        return workload.tokenizer.pad({"input_ids": [tokens[text] for text in inputs]}, return_tensors="pt")

    made = SentenceTransformerTrainer(
        model=encoder,
        args=SentenceTransformerTrainingArguments(**quiet(workload)),
        train_dataset=Dataset.from_dict({"sentence": list(texts), "label": labels}),
        loss=loss,
        data_collator=SentenceTransformerDataCollator(padded),
    )
    return timed(made, workload.method)
