"""Started by test_distributed.py in real processes: what is left of equal texts, and who draws it."""

from pathlib import Path

import torch
from conftest import make_tokenizer, tiny_bert
from test_trainer import trainer


def main(folder: str) -> None:
    """Train one step on equal rows with dropout, and write the first embeddings of this process."""
    model = tiny_bert(hidden_dropout_prob=0.5)
    seen = []
    model.backbone.embeddings.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    row = {"text": "good film", "targets": {"topic": 0, "sentiment": 1}}
    tokenizer = make_tokenizer()
    job = trainer(
        Path(folder) / "output", tokenizer, model, [dict(row) for _ in range(8)], per_device_train_batch_size=4
    )
    job.train()
    torch.save(seen[0], Path(folder) / f"{job.args.process_index}.pt")
    job.end()
