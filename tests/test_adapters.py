"""LoRA: adapters in the encoder, heads trained in full, and an ordinary model in the end."""

import builtins

import pytest
import torch
from conftest import tiny_bert
from test_trainer import fresh, trainer
from transformers import AutoModel

from hf_multitask import MultiTaskModel
from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training.adapters import add_lora, merge
from hf_multitask.training.layerwise import layerwise_parameter_groups

pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # peft 0.21 asks for it
)
KINDS = [
    {"name": "topic", "labels": ["News", "Opinion"], "head": {"hidden": [8], "dropout": 0.1}},
    {"name": "grade", "problem_type": "ordinal", "labels": ["low", "middle", "high"]},
    {"name": "words", "problem_type": "token_classification", "labels": ["O", "X"]},
    {"name": "alike", "problem_type": "similarity"},
]
INPUTS = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}


def adapted(model=None, **settings):
    """A model with adapters that change its output: those just made add nothing."""
    torch.manual_seed(1)
    lora = add_lora(model or tiny_bert(), LoraSettings(rank=2, **settings))
    for name, parameter in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return lora.eval()


def trainable(model):
    return [name.removeprefix("base_model.model.") for name, p in model.named_parameters() if p.requires_grad]


def adapted_modules(model):
    return {name.partition(".lora_")[0] for name in trainable(model) if "lora_" in name}


def test_all_linear_layers_of_the_encoder_are_adapted_and_no_head_and_no_unused_layer():
    layers = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    layers += ["intermediate.dense", "output.dense"]
    expected = {f"backbone.encoder.layer.{index}.{layer}" for index in range(2) for layer in layers}
    assert adapted_modules(adapted(tiny_bert(tasks=KINDS))) == expected


def test_only_the_layers_named_are_adapted():
    found = adapted_modules(adapted(target_modules=["query", "intermediate.dense"]))
    layers = ("attention.self.query", "intermediate.dense")
    assert found == {f"backbone.encoder.layer.{index}.{layer}" for index in range(2) for layer in layers}


def test_a_layer_that_is_not_in_the_encoder_is_refused():
    with pytest.raises(ValueError, match="must name linear layers of the encoder, found 'q_proj'.*'query'"):
        add_lora(tiny_bert(), LoraSettings(target_modules=["q_proj"]))


def test_a_head_is_no_layer_to_adapt():
    with pytest.raises(ValueError, match="found 'topic'"):
        add_lora(tiny_bert(), LoraSettings(target_modules=["topic"]))


def test_every_head_is_trained_in_full():
    model = tiny_bert(tasks=KINDS)
    heads = {name for name, _ in model.named_parameters() if name.startswith("heads.")}
    found = {name for name in trainable(add_lora(model, LoraSettings())) if name.startswith("heads.")}
    assert {name.replace("modules_to_save.default.", "") for name in found} == heads


def test_a_model_without_heads_can_be_adapted():
    model = tiny_bert(tasks=[{"name": "alike", "problem_type": "similarity"}])
    found = trainable(add_lora(model, LoraSettings()))
    assert found
    assert all("lora_" in name for name in found)


def test_adapters_have_the_learning_rate_of_their_layer():
    how = {"learning_rate": 1e-3, "head_learning_rate": 1e-2, "layer_decay": 0.5, "weight_decay": 0.1}
    groups = layerwise_parameter_groups(adapted(), **how)
    assert {group["name"]: group["lr"] for group in groups} == {"layers.1": 1e-3, "layers.0": 5e-4, "heads": 1e-2}
    counts = {group["name"]: sum(p.numel() for p in group["params"]) for group in groups if group["weight_decay"] == 0}
    assert counts["heads"] == 5  # the biases


def test_a_new_adapter_changes_no_output(weights):
    before = fresh(weights)(**INPUTS).logits
    after = add_lora(fresh(weights), LoraSettings()).eval()(**INPUTS).logits
    for task, logits in before.items():
        torch.testing.assert_close(after[task], logits, rtol=0, atol=0)


def test_a_merged_model_has_the_same_logits_and_is_all_trainable():
    model = adapted(tiny_bert(tasks=KINDS))
    plain = tiny_bert(tasks=KINDS)
    expected = model(**INPUTS).logits
    merged = merge(model)
    assert isinstance(merged, MultiTaskModel)
    assert {name for name, _ in merged.named_parameters()} == {name for name, _ in plain.named_parameters()}
    assert trainable(merged) == trainable(plain)
    found = merged(**INPUTS).logits
    for task in ("topic", "grade", "words"):
        torch.testing.assert_close(found[task], expected[task], rtol=1e-5, atol=1e-5)


def test_a_merged_checkpoint_opens_as_any_other_and_holds_the_trained_heads(tmp_path, tokenizer, weights):
    job = trainer(tmp_path / "run", tokenizer, adapted(fresh(weights)), head_learning_rate=0.1)
    job.train()
    expected = job.model.eval()(**INPUTS).logits
    merge(job.model).save_pretrained(tmp_path / "merged")
    opened = AutoModel.from_pretrained(tmp_path / "merged", trust_remote_code=True)
    for task, logits in opened(**INPUTS).logits.items():
        torch.testing.assert_close(logits, expected[task], rtol=1e-5, atol=1e-5)
    assert (opened.heads["topic"].weight - weights["heads.topic.weight"]).abs().max() > 0.01
    assert not list((tmp_path / "merged").glob("adapter*"))


def test_a_resumed_run_ends_with_the_adapters_and_heads_of_an_unbroken_one(tmp_path, tokenizer, weights):
    settings = {"per_device_train_batch_size": 4, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3}
    settings["train_sampling_strategy"] = "random"
    unbroken = trainer(tmp_path / "a", tokenizer, adapted(fresh(weights), dropout=0.1), **settings)
    unbroken.train()
    torch.manual_seed(7)
    start = add_lora(fresh(weights), LoraSettings(rank=2, dropout=0.1))  # other adapters, before it is resumed
    resumed = trainer(tmp_path / "b", tokenizer, start, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_only_adapters_and_heads_move(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, adapted(fresh(weights)))
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    job.train()
    moved = {name for name, value in job.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"base_model.model.{name}" for name in trainable(job.model)}


def test_without_peft_the_command_to_install_it_is_named(monkeypatch):
    real = builtins.__import__

    def without_peft(name, *args, **kwargs):
        if name == "peft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(ImportError, match="pip install peft"):
        add_lora(tiny_bert(), LoraSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "lora.rank must be at least 1, found 0"),
        ({"alpha": 0}, "lora.alpha must be a finite number > 0, found 0"),
        ({"alpha": float("nan")}, "lora.alpha must be a finite number"),
        ({"dropout": 1.0}, r"lora.dropout must be a probability in \[0, 1\), found 1.0"),
        ({"target_modules": []}, "lora.target_modules must name at least one layer"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        add_lora(tiny_bert(), LoraSettings(**settings))
