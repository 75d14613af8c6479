"""Started by test_fsdp.py in real processes: two epochs, plain or with sharded parameters, and what came of them."""

import json
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from conftest import make_tokenizer
from datasets import Dataset
from safetensors.torch import save_file
from test_trainer import fresh, rows
from torch.distributed.tensor import DTensor

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize


class ShardingTrainer(MultiTaskTrainer):
    """As `MultiTaskTrainer` in a run with `fsdp=True`, on CPU.

    Accelerate drops the plugin without a word there, though it keeps it for every other kind of processes. The sharding
    itself is torch's, and runs on CPU.
    """

    def create_accelerator_and_postprocess(self):
        super().create_accelerator_and_postprocess()
        # The state of every accelerator and optimizer made later is a copy of the first of these two.
        PartialState().distributed_type = self.accelerator.state.distributed_type = DistributedType.FSDP
        self.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["BertLayer"],
            state_dict_type="FULL_STATE_DICT",
        )
        self.is_fsdp_enabled = True


def main(folder: str, sharding: str, per_device: str, resume: str = "", others: str = "{}") -> None:
    """Train, and write `losses.json`, `groups.json`, `weights.safetensors` and the model in `output`."""
    data = rows(16)
    for index, row in enumerate(data):
        row["targets"]["sentiment"] = 1 if index < 2 else None  # of one process, in every second step
    tokenizer = make_tokenizer()
    dataset = tokenize(Dataset.from_list(data), tokenizer, 32)
    job = (ShardingTrainer if sharding == "sharded" else MultiTaskTrainer)(
        fresh(torch.load(Path(folder) / "weights.pt", weights_only=True)),
        MultiTaskTrainingArguments(
            str(Path(folder) / "output"),
            **{"num_train_epochs": 2, "head_learning_rate": 5e-3, "save_strategy": "epoch", **json.loads(others)},
            per_device_train_batch_size=int(per_device),
            learning_rate=1e-3,
            weight_decay=0.1,
            train_sampling_strategy="sequential",
            logging_steps=1,
            disable_tqdm=True,
            use_cpu=True,
        ),
        processing_class=tokenizer,
        train_dataset=dataset,
        eval_dataset=dataset,
    )
    job.train(resume_from_checkpoint=resume or None)
    groups = [
        {
            "name": group["name"],
            "lr": group["initial_lr"],
            "weight_decay": group["weight_decay"],
            "shapes": [list(parameter.shape) for parameter in group["params"]],
            "sharded": [isinstance(parameter, DTensor) for parameter in group["params"]],
        }
        for group in job.optimizer.param_groups
    ]
    if job._stopping:
        assert job._stopping.stopped, "else nothing is shown"
    metrics = job.evaluate()
    job.save_model()
    state = {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).contiguous()
        for name, value in job.model.state_dict().items()
    }
    if job.is_world_process_zero():
        logged = ("loss", "loss/topic", "loss/sentiment", "grad_norm")
        losses = [{key: logs[key] for key in logged if key in logs} for logs in job.state.log_history if "loss" in logs]
        losses.append({key: value for key, value in metrics.items() if key.endswith("loss")})
        (Path(folder) / "losses.json").write_text(json.dumps(losses))
        (Path(folder) / "groups.json").write_text(json.dumps(groups))
        save_file(state, Path(folder) / "weights.safetensors")
    job.end()
