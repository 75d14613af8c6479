"""Started by test_distributed.py in real processes: one effective batch of 16 rows, its gradients saved."""

from pathlib import Path

import torch
from conftest import make_tokenizer, tiny_bert
from safetensors.torch import save_file
from test_trainer import KeepGradients, fresh, rows, trainer
from transformers import set_seed

from hf_multitask.training.distillation import teach
from hf_multitask.training.loading import as_mixture


def main(folder: str, per_device: str, accumulation: str, extra: str) -> None:
    """Train one effective batch and write `gradients.safetensors` and the logged losses."""
    data = rows(16)
    set_seed(0)
    if extra == "absent":  # no row is labelled for the second task
        for row in data:
            row["targets"]["sentiment"] = None
    if extra == "one_rank":  # the rows of only one process are
        for index, row in enumerate(data):
            row["targets"]["sentiment"] = 1 if (index // int(per_device)) % 2 else None
            row["targets"]["topic"] = 2
    model = fresh(torch.load(Path(folder) / "weights.pt", weights_only=True))
    if extra.startswith("balancing="):  # what one task learns from a text the other forgets
        for index, row in enumerate(data):
            row["targets"] = {"topic": 0 if index % 3 else None, "sentiment": None if index < 5 else 0}
        with torch.no_grad():
            model.heads["sentiment"].weight.copy_(-model.heads["topic"].weight[:2])
    # transformers itself would have DDP expect every head to be used then, and fail at the second step
    arguments = {"activation_checkpointing": True} if extra in ("absent", "checkpointing") else {}
    if extra == "one_line":
        arguments = {"logging_strategy": "no"}
    if extra.startswith("balancing="):
        arguments = {"balancing": extra.partition("=")[2], "conflict_steps": 1}
    job = trainer(
        Path(folder) / "output",
        make_tokenizer(),
        model,
        data,
        per_device_train_batch_size=int(per_device),
        gradient_accumulation_steps=int(accumulation),
        num_train_epochs=2 if extra in ("absent", "checkpointing") else 3 if "balancing" in arguments else 1,
        **arguments,
    )
    if (
        extra == "taught"
    ):  # each row without a label has the answer of a model with other weights, shared out to compute
        plain = job.train_dataset.datasets["train"]
        how = (job.model.config.tasks, job.data_collator, 3)
        job.train_dataset = as_mixture(teach(tiny_bert(initializer_range=0.5), plain, *how))
    kept = KeepGradients(job)
    output = job.train()
    logs = {key: value for line in job.state.log_history[::-1] for key, value in line.items()}  # of the first step
    logs |= {f"{key}/last": value for line in job.state.log_history for key, value in line.items() if "/" in key}
    metrics = job.evaluate()
    if job.is_world_process_zero():
        numbers = {
            key: torch.tensor(value, dtype=torch.float64)
            for key, value in {**logs, **metrics}.items()
            if key.startswith(("loss", "eval_loss", "eval_topic", "balance", "conflict"))
        }
        numbers["train_loss"] = torch.tensor(output.training_loss, dtype=torch.float64)
        numbers["world_size"] = torch.tensor(job.args.world_size)
        save_file(kept.gradients, Path(folder) / "gradients.safetensors")
        save_file(numbers, Path(folder) / "numbers.safetensors")
    job.end()
