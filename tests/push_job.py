"""Started by test_push.py and test_failing_push.py: a small training that pushes to the Hub that HF_ENDPOINT names.

    push_job.py FOLDER OPTIONS

OPTIONS is a mapping in json: `arguments` of the training, `model` (of its encoder), `model_push` (where
`model.push_to_hub` goes in the end), `patience` (the seconds between attempts, in place of the default) and `calls`
(arguments of `trainer.push_to_hub`).
"""

import json
import sys
from pathlib import Path

import huggingface_hub.constants

# isort: split

import torch
from conftest import make_tokenizer, tiny_bert
from test_trainer import trainer
from transformers import set_seed

from hf_multitask.modeling import hub

if __name__ == "__main__":
    torch.set_num_threads(1)
    set_seed(0)
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    if "patience" in options:
        hub.WAITS = tuple(options["patience"])
        huggingface_hub.utils._http.time.sleep = lambda seconds: None
    values = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "push_to_hub": True,
        "hub_always_push": True,
    }
    job = trainer(folder, make_tokenizer(), tiny_bert(**options.get("model", {})), **values | options["arguments"])
    job.train()
    print("trained")  # noqa: T201
    job.push_to_hub(**options.get("calls", {}))
    if "model_push" in options:
        job.model.push_to_hub(options["model_push"], tags=["mine"])
