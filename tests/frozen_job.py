"""Started by test_frozen.py in real processes: embed rows, and count the texts that this process encoded."""

import json
from pathlib import Path

import torch
from accelerate import Accelerator
from conftest import make_tokenizer
from test_frozen import count_texts, embedded
from test_trainer import fresh, rows


def main(folder: str) -> None:
    """Write each process's embeddings and number of texts to `embeddings-<rank>.json`."""
    accelerator = Accelerator(cpu=True)
    model = fresh(torch.load(Path(folder) / "weights.pt", weights_only=True))
    texts = count_texts(model)
    found = embedded(model, make_tokenizer(), rows(11), batch_size=2)
    content = {"texts": sum(texts), "embeddings": [row["sentence_embedding"].tolist() for row in found]}
    (Path(folder) / f"embeddings-{accelerator.process_index}.json").write_text(json.dumps(content))
    accelerator.end_training()
