"""Started by test_distributed.py in real processes: in which precision Trainers that share a model compute."""

import json
from pathlib import Path

import torch
from conftest import make_tokenizer, tiny_bert
from test_trainer import trainer


def main(folder: str) -> None:
    """Train and evaluate by a Trainer in bfloat16 and by one in float32, in turn, and write what each computed in."""
    model, seen = tiny_bert(), []
    layer = model.backbone.encoder.layer[0].intermediate.dense
    layer.register_forward_hook(lambda layer, inputs, output: seen.append(str(output.dtype)))
    data = [{"text": "good film", "targets": {"topic": 0, "sentiment": 1}} for _ in range(8)]
    half, whole = (
        trainer(Path(folder) / str(bf16), make_tokenizer(), model, data, per_device_train_batch_size=4, bf16=bf16)
        for bf16 in (True, False)
    )
    found = []
    works = {
        "half trains": half.train,
        "half evaluates": half.evaluate,
        "nobody": lambda: model(input_ids=torch.tensor([[2, 3]])),
        "whole evaluates": whole.evaluate,
        "whole trains": whole.train,
        "half evaluates again": half.evaluate,
        "half trains again": half.train,
    }
    for name, work in works.items():
        seen.clear()
        work()
        assert name != "half trains" or half.model_wrapped is model, "what sums over processes is left around it"
        found.append([name, *sorted(set(seen))])
    (Path(folder) / f"{half.args.process_index}.json").write_text(json.dumps(found))
    half.end()
