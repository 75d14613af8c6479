"""Started by test_distributed.py in real processes: steps of pairs alone, of which a frozen encoder learns nothing."""

import os
from pathlib import Path

import torch
from conftest import make_tokenizer, tiny_bert
from datasets import Dataset
from safetensors.torch import save_file
from test_trainer import trainer

TASKS = [{"name": "topic", "labels": ["News", "Opinion"]}, {"name": "alike", "problem_type": "similarity"}]


def main(folder: str, alike: str) -> None:
    """Train four steps of eight rows, the first so many of each run of rows pairs, and write what the head learned."""
    torch.manual_seed(0)
    model, tokenizer = tiny_bert(tasks=TASKS), make_tokenizer()
    rows = []
    for row in range(32):
        is_pair = row // int(alike) % 2 == 0
        rows.append(
            {
                "input_ids": tokenizer("good film " * (1 + row % 3))["input_ids"],
                "pair_input_ids": tokenizer("bad film " * (1 + row % 2))["input_ids"] if is_pair else None,
                "targets": {"topic": None if is_pair else row % 2, "alike": [row / 32] if is_pair else None},
            }
        )
    settings = {"freeze": ["backbone"], "train_sampling_strategy": "sequential"}
    size = 8 // int(os.environ.get("WORLD_SIZE", "1"))
    job = trainer(Path(folder) / "output", tokenizer, model, per_device_train_batch_size=size, **settings)
    job.train_dataset = Dataset.from_list(rows)
    job.train()
    if job.is_world_process_zero():
        found = {"weight": job.model.heads["topic"].weight, "steps": torch.tensor(job.state.global_step)}
        save_file(found, Path(folder) / "head.safetensors")
    job.end()
