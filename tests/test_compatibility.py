"""Precision, checkpointing, compilation and accumulation leave the gradients of every kind of task what they are."""

import logging

import numpy as np
import pytest
import torch
from conftest import tiny_bert
from test_trainer import InterruptsAfter, first_gradients, fresh, relative_difference, trainer
from transformers import TrainerCallback

from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training.adapters import add_lora

KINDS = [
    {"name": "topic", "labels": ["News", "Opinion"], "head": {"hidden": [8]}},
    {"name": "grade", "problem_type": "ordinal", "labels": ["low", "middle", "high"]},
    {"name": "words", "problem_type": "token_classification", "labels": ["O", "X"]},
    {"name": "flags", "problem_type": "multi_label_classification", "labels": ["a", "b"]},
    {"name": "tone", "problem_type": "regression", "target_mean": [2.0], "target_std": [0.5]},
    {"name": "alike", "problem_type": "similarity"},
]
NAN = float("nan")
LORA = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks


def mixed_batch():
    """Four texts, two of them with a second one; every task lacks a target somewhere."""
    return {
        "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0], [2, 9, 10, 3, 0], [2, 11, 12, 13, 3]]),
        "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1] * 5]),
        "pair_input_ids": torch.tensor([[2, 14, 15, 16, 17, 18, 3], [2, 5, 3, 0, 0, 0, 0]]),
        "pair_attention_mask": torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0]]),
        "pair_rows": torch.tensor([0, 2]),
        "labels": {
            "topic": torch.tensor([0, -100, 1, 1]),
            "grade": torch.tensor([2, 0, -100, 1]),
            "words": torch.tensor([[-100, 0, 1, 0, -100], [-100] * 5, [-100, 1, -100, -100, -100], [-100] * 5]),
            "flags": torch.tensor([[1.0, 0.0], [NAN, 1.0], [NAN, NAN], [0.0, 0.0]]),
            "tone": torch.tensor([[2.5], [NAN], [1.0], [3.0]]),
            "alike": torch.tensor([[0.9], [NAN], [0.2], [NAN]]),
        },
    }


def take(batch, first, last):
    """The texts `first` to `last` of a mixed batch, with their second texts."""
    pairs = (batch["pair_rows"] >= first) & (batch["pair_rows"] < last)
    part = {name: batch[name][first:last] for name in ("input_ids", "attention_mask")}
    if pairs.any():
        part |= {name: batch[name][pairs] for name in ("pair_input_ids", "pair_attention_mask")}
        part["pair_rows"] = batch["pair_rows"][pairs] - first
    return part | {"labels": {name: labels[first:last] for name, labels in batch["labels"].items()}}


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture
def expected():
    """A model of every kind of task, its outputs for the mixed batch, and the gradients it should have."""
    model = tiny_bert(tasks=KINDS).train()
    outputs = model(**mixed_batch())
    outputs.loss.backward()
    twin = tiny_bert(tasks=KINDS).train()
    twin.load_state_dict(model.state_dict())
    assert outputs.losses.keys() == {task["name"] for task in KINDS}
    return twin, outputs, gradients(model)


def test_a_mixed_batch_in_bfloat16_has_float32_losses_weights_and_gradients_near_those_of_float32(expected):
    model, outputs, wanted = expected
    dtypes = []
    model.backbone.encoder.layer[0].intermediate.dense.register_forward_hook(lambda *a: dtypes.append(a[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = model(**mixed_batch())
    found.loss.backward()
    assert dtypes == [torch.bfloat16]
    assert {loss.dtype for loss in (found.loss, *found.losses.values())} == {torch.float32}
    assert {value.dtype for p in model.parameters() for value in (p, p.grad) if value is not None} == {torch.float32}
    for task, loss in outputs.losses.items():
        torch.testing.assert_close(found.losses[task], loss, rtol=3e-2, atol=3e-3)
    assert relative_difference(gradients(model), wanted) < 3e-2


def test_a_mixed_batch_has_the_same_gradients_with_activation_checkpointing(expected):
    model, _, wanted = expected
    calls = []
    model.backbone.encoder.layer[0].intermediate.dense.register_forward_hook(lambda *_: calls.append(1))
    model.activation_checkpointing_enable()
    model(**mixed_batch()).loss.backward()
    assert len(calls) == 2, "computed again in the backward pass"
    assert relative_difference(gradients(model), wanted) < 1e-6


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_mixed_batch_cut_in_two_has_the_gradients_of_the_whole(expected, cut):
    model, _, wanted = expected
    batch = mixed_batch()
    counts = {
        task: (~labels.isnan() if labels.is_floating_point() else labels != -100).sum()
        for task, labels in batch["labels"].items()
    }
    for part in (take(batch, 0, cut), take(batch, cut, 4)):
        model(**part, num_items_in_batch=counts).loss.backward()
    assert relative_difference(gradients(model), wanted) < 1e-5


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)  # torch hides it itself
def test_a_mixed_batch_has_the_same_gradients_compiled(expected):
    model, outputs, wanted = expected
    # Traced, forwards and backwards; turning so many small graphs into C++ as well takes a minute.
    found = torch.compile(model, backend="aot_eager")(**mixed_batch())
    found.loss.backward()
    for task, loss in outputs.losses.items():
        torch.testing.assert_close(found.losses[task], loss, rtol=1e-5, atol=1e-6)
    assert relative_difference(gradients(model), wanted) < 1e-5


def test_a_last_incomplete_group_of_accumulated_batches_is_exact(tmp_path, tokenizer, weights):
    settings = {"optim": "sgd", "learning_rate": 0.1, "head_learning_rate": 0.1, "lr_scheduler_type": "constant"}
    whole = trainer(tmp_path / "a", tokenizer, fresh(weights), **settings, per_device_train_batch_size=6)
    whole.train()
    sizes = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}  # 16 rows: groups of 6, 6 and 4
    cut = trainer(tmp_path / "b", tokenizer, fresh(weights), **settings, **sizes)
    cut.train()
    assert whole.state.global_step == cut.state.global_step == 3
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(cut.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    for one, other in zip(whole.state.log_history, cut.state.log_history, strict=True):
        for key in {"loss", "loss/topic", "loss/sentiment"} & set(one):
            assert other[key] == pytest.approx(one[key], rel=1e-5)


def test_training_in_bfloat16_keeps_float32_weights_and_losses(tmp_path, tokenizer, weights):
    model, seen = fresh(weights), []
    model.register_forward_hook(lambda _m, _i, output: seen.extend([output.loss.dtype, output.losses["topic"].dtype]))
    job = trainer(tmp_path, tokenizer, model, bf16=True)
    assert activations(job) == {torch.bfloat16}
    assert set(seen) == {torch.float32}
    assert {value.dtype for value in model.state_dict().values() if value.is_floating_point()} == {torch.float32}
    states = [value for state in job.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in states} == {torch.float32}


@pytest.mark.parametrize("performance", ["off", "exact", "auto"])
def test_each_step_in_bfloat16_reads_the_weights_of_that_step(tmp_path, tokenizer, weights, performance):
    model, agree = fresh(weights), []

    def compare(layer, inputs, output):
        cast = torch.nn.functional.linear(torch.eye(layer.in_features), layer.weight)  # as autocast makes it
        agree.append(torch.equal(cast, layer.weight.T.bfloat16()))

    for layer in (model.backbone.encoder.layer[0].intermediate.dense, model.heads["topic"]):
        layer.register_forward_hook(compare)
    settings = {"num_train_epochs": 3, "learning_rate": 0.1, "head_learning_rate": 0.1, "eval_on_start": True}
    trainer(tmp_path, tokenizer, model, bf16=True, performance=performance, **settings).train()
    assert agree == [True] * 2 * (3 + 2), "three steps, and an evaluation of two batches before"


@LORA
@pytest.mark.parametrize("arguments", [{"activation_checkpointing": True}, {"bf16": True}])
def test_adapters_and_heads_are_trained_the_same_with_checkpointing_and_in_bfloat16(
    tmp_path,
    tokenizer,
    weights,
    arguments,
):
    def adapted():
        torch.manual_seed(1)
        return add_lora(fresh(weights), LoraSettings(rank=2))

    whole = first_gradients(trainer(tmp_path, tokenizer, adapted()))
    found = first_gradients(trainer(tmp_path, tokenizer, adapted(), **arguments))
    assert any(value.abs().max() > 0 for name, value in found.items() if "lora_B" in name)
    assert relative_difference(found, whole) < (3e-2 if "bf16" in arguments else 1e-5)


def test_heads_on_a_frozen_encoder_are_trained_the_same_with_activation_checkpointing(
    tmp_path,
    tokenizer,
    weights,
):
    whole = first_gradients(trainer(tmp_path, tokenizer, fresh(weights), freeze=["backbone"]))
    arguments = {"freeze": ["backbone"], "activation_checkpointing": True}
    found = first_gradients(trainer(tmp_path, tokenizer, fresh(weights), **arguments))
    assert all(name.startswith("heads.") for name in found)
    assert relative_difference(found, whole) < 1e-5


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_a_second_trainer_has_the_precision_it_asks_for(tmp_path, tokenizer, first, second):
    model = tiny_bert()
    for bf16 in (first, second):
        found = activations(trainer(tmp_path, tokenizer, model, bf16=bf16))
        assert found == {torch.bfloat16 if bf16 else torch.float32}


def test_a_model_that_was_trained_in_bfloat16_is_plain_and_its_trainer_still_evaluates_in_it(
    tmp_path,
    tokenizer,
    weights,
):
    model, seen = fresh(weights), []
    job = trainer(tmp_path, tokenizer, model, bf16=True)
    job.train()
    assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & model.__dict__.keys()
    trained = fresh(model.state_dict())
    trained.tokenizer = tokenizer
    np.testing.assert_array_equal(model.encode(["good film"]), trained.encode(["good film"]))
    layer = model.backbone.encoder.layer[0].intermediate.dense
    layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    for other in (job, trainer(tmp_path, tokenizer, model), job):
        other.evaluate()
        model.encode("good film")
    half, whole = torch.bfloat16, torch.float32
    assert seen == [half, half, whole, whole, whole, whole, half, half, whole]


def test_an_evaluation_behind_a_run_that_failed_has_its_precision(tmp_path, tokenizer):
    model, seen = tiny_bert(), []
    job = trainer(tmp_path, tokenizer, model, bf16=True)
    job.add_callback(InterruptsAfter(1))
    with pytest.raises(KeyboardInterrupt):
        job.train()
    model.heads["topic"].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    job.evaluate()
    model(input_ids=torch.tensor([[2, 3]]))
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]


def test_another_trainer_that_evaluates_on_the_way_leaves_a_run_its_precision(tmp_path, tokenizer):
    model = tiny_bert()
    other = trainer(tmp_path / "other", tokenizer, model)

    class Evaluates(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            other.evaluate()

    job = trainer(tmp_path, tokenizer, model, bf16=True, num_train_epochs=2)
    job.add_callback(Evaluates())
    seen = []
    model.heads["topic"].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    job.train()
    assert seen == [torch.float32, torch.float32, torch.bfloat16] * 2


def test_noise_that_depends_on_the_padding_has_it(tmp_path, tokenizer, caplog):
    with caplog.at_level(logging.INFO, logger="hf_multitask"):
        trainer(tmp_path, tokenizer, neftune_noise_alpha=5.0)
    assert "Batches are read with their padding: the noise of neftune_noise_alpha" in caplog.text
    with pytest.raises(ValueError, match="packing must be 'auto' or 'off' here, found 'on': the noise"):
        trainer(tmp_path, tokenizer, neftune_noise_alpha=5.0, packing="on")


def activations(job):
    """Train, and return the dtypes of the activations of a linear layer in training."""
    dtypes = set()
    layer = job.model.backbone.encoder.layer[0].intermediate.dense
    handle = layer.register_forward_hook(lambda *arguments: dtypes.add(arguments[2].dtype))
    job.train()
    handle.remove()
    return dtypes
