"""Started by test_repeated_push.py in a process that may reach its hub: pushes again to repositories, each its own."""

import json
import sys
import traceback
from pathlib import Path

import huggingface_hub.constants  # noqa: F401  # before conftest, which lets no test reach a hub
import torch
from conftest import make_tokenizer, tiny_bert
from test_trainer import trainer

from hf_multitask import MultiTaskModel
from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training.adapters import add_lora, merge


def model(seed):
    torch.manual_seed(seed)
    found = tiny_bert()
    found.tokenizer = make_tokenizer()
    return found


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[2, 3, 4]])).logits["topic"]


def trained(model, name, **arguments):
    """A Trainer that has pushed `model`."""
    folder = Path(name.replace("/", "-"))
    job = trainer(folder, make_tokenizer(), model, push_to_hub=True, hub_model_id=name, **arguments)
    job.train()
    job.push_to_hub()
    return job


def pushed(name, **where):
    return logits(MultiTaskModel.from_pretrained(name, **where))


def shards_over_one_file(name):
    model(0).push_to_hub(name)
    model(1).push_to_hub(name, max_shard_size="8KB")
    assert torch.equal(pushed(name), logits(model(1)))
    model(0).push_to_hub(name)
    assert torch.equal(pushed(name), logits(model(0)))


def a_whole_model_over_adapters(name):
    merged = merge(trained(add_lora(model(0), LoraSettings()), name).model)
    merged.push_to_hub(name)
    torch.testing.assert_close(pushed(name), logits(merged))


def branches(name):
    job = trained(model(0), name, hub_revision="dev")
    assert torch.equal(pushed(name, revision="dev"), logits(job.model))
    model(1).push_to_hub(name, revision="dev")
    assert torch.equal(pushed(name, revision="dev"), logits(model(1)))


def by_trainer(name):
    trained(model(0), name)


def by_model(name):
    model(0).push_to_hub(name)


def failure(part, name):
    """What went wrong; nothing if all is well."""
    try:
        globals()[part](name)
    except Exception:
        return traceback.format_exc()
    return ""


def main(parts):
    """Do them, by the name of their repository, and write what went wrong with which."""
    failures = {name: failure(part, name) for name, part in parts.items()}
    Path("failures.json").write_text(json.dumps(failures))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
