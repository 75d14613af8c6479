"""Training arguments are the specification's by default, and what would be silently wrong is refused."""

import importlib.util
import re

import pytest

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.training.argument_parser import argument_names, parse_arguments


@pytest.fixture
def parsed(tmp_path):
    return lambda **values: parse_arguments({"output_dir": str(tmp_path), **values})


def refusal(call) -> str:
    """The message that refuses, in the one form: what must hold, what was found, what to do."""
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert " must be " in message.partition("found")[0]
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1e-5),
        ("head_learning_rate", 1e-4),
        ("layer_decay", 0.95),
        ("embeddings_lr_scale", 0.1),
        ("freeze", None),
        ("gradual_unfreezing_steps", None),
        ("remove_unused_columns", False),
        ("ddp_find_unused_parameters", True),
    ],
)
def test_the_default_is_the_specifications(parsed, name, value):
    assert getattr(parsed(), name) == value


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("label_smoothing_factor", 0.1, "0.0"),
        ("average_tokens_across_devices", False, "True"),
        ("remove_unused_columns", True, "False"),
        ("batch_eval_metrics", True, "False"),
        ("dataloader_in_order", False, "True"),
        ("prediction_loss_only", True, "False"),
        ("label_names", ["topic"], r"['labels']"),
        ("optim", "galore_adamw", "'adamw_torch'"),
        ("optim", "galore_adamw_8bit_layerwise", "'adamw_torch'"),
        ("optim", "apollo_adamw", "'adamw_torch'"),
        ("optim", "lomo", "'adamw_torch'"),
        ("optim", "adalomo", "'adamw_torch'"),
    ],
)
def test_an_argument_that_would_be_silently_wrong_is_refused(tmp_path, name, value, instead):
    message = refusal(lambda: MultiTaskTrainingArguments(output_dir=str(tmp_path), **{name: value}))
    assert message.startswith(f"{name} must be {instead} for a multi-task model, found {value!r}: ")
    assert message.endswith(f"Pass {name}={instead}.")


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["learning_rate", "head_learning_rate", "embeddings_lr_scale"])
def test_a_rate_that_is_no_rate_is_refused(tmp_path, name, value):
    message = refusal(lambda: MultiTaskTrainingArguments(output_dir=str(tmp_path), **{name: value}))
    assert message.startswith(f"{name} must be a finite number >= 0, found {value}. ")


@pytest.mark.parametrize("value", [0.0, -0.5, 1.01, float("nan")])
def test_a_layer_decay_outside_its_range_is_refused(tmp_path, value):
    message = refusal(lambda: MultiTaskTrainingArguments(output_dir=str(tmp_path), layer_decay=value))
    assert message.startswith(f"layer_decay must be in (0, 1], found {value}. ")


def test_no_steps_of_gradual_unfreezing_are_refused(tmp_path):
    refusal(lambda: MultiTaskTrainingArguments(output_dir=str(tmp_path), gradual_unfreezing_steps=0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"freeze": "embeddings"}, {"freeze": ["embeddings"]}),
        ({"freeze": ["embeddings", "layers.0-1"]}, {"freeze": ["embeddings", "layers.0-1"]}),
        ({"freeze": []}, {"freeze": None}),
        ({"freeze": None}, {"freeze": None}),
        ({"bf16": False}, {"bf16": False}),
        ({"lr_scheduler_kwargs": {"num_cycles": 2}}, {"lr_scheduler_kwargs": {"num_cycles": 2}}),
        ({"warmup_steps": 0.1}, {"warmup_steps": 0.1}),
        ({"run_name": 2024}, {"run_name": "2024"}),
        ({"run_name": "--odd = name"}, {"run_name": "--odd = name"}),
        ({"resume_from_checkpoint": True}, {"resume_from_checkpoint": "True"}),
    ],
)
def test_a_value_of_the_configuration_becomes_the_argument(parsed, values, expected):
    arguments = parsed(**values)
    assert {name: getattr(arguments, name) for name in expected} == expected


def test_an_unknown_argument_is_refused_with_the_nearest_known_one(parsed):
    with pytest.raises(ValueError, match=r"training: .* found 'lerning_rate'\. Did you mean 'learning_rate'\?"):
        parsed(lerning_rate=1)


def test_a_shortened_name_is_unknown(parsed):
    with pytest.raises(ValueError, match="found 'learning'"):
        parsed(learning=1)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"learning_rate": "fast"}, "--learning_rate.* invalid float value: 'fast'"),
        ({"learning_rate": True}, "--learning_rate.* invalid float value: 'True'"),
        ({"learning_rate": [1, 2]}, "more than one value for an argument that takes one: 2"),
        ({"learning_rate": {"a": 1}}, "--learning_rate.* invalid float value"),
        ({"seed": 1.5}, "--seed.* invalid int value: '1.5'"),
        ({"bf16": "maybe"}, "--bf16: Truthy value expected: got maybe"),
        ({"eval_strategy": "epochs"}, "--eval_strategy.* invalid choice: 'epochs'"),
        ({"optim": "adamm"}, "--optim.* invalid choice: 'adamm'"),
        ({"lr_scheduler_kwargs": [1]}, r"\[1\]"),
        ({"lr_scheduler_kwargs": "x"}, "'x'"),
        ({"accelerator_config": {"even": 1}}, "unexpected keyword argument 'even'"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(parsed, values, found):
    message = refusal(lambda: parsed(**values))
    assert message.startswith("training")
    assert re.search(found, message)


def test_every_field_of_the_arguments_can_be_named():
    assert {"learning_rate", "layer_decay", "freeze", "output_dir"} <= argument_names()


def test_batches_that_accelerate_would_split_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"accelerator_config\.split_batches must be False for .* found True: "):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, accelerator_config={"split_batches": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accelerator_config.dispatch_batches", True),
        ("accelerator_config.even_batches", False),
        ("eval_use_gather_object", True),
        ("ddp_find_unused_parameters", False),
        ("ddp_static_graph", True),
    ],
)
def test_what_would_end_several_processes_or_part_their_gradients_is_refused_of_them_alone(
    tmp_path, monkeypatch, name, value
):
    *parts, last = name.split(".")
    values = {parts[0]: {last: value}} if parts else {last: value}
    MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **values)
    monkeypatch.setattr(MultiTaskTrainingArguments, "world_size", 2)
    with pytest.raises(ValueError, match=rf"{name} must be {not value} for .* found {value}: "):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **values)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="it is installed")
def test_a_package_that_is_not_installed_is_told_as_such(tmp_path):
    values = {"output_dir": str(tmp_path), "deepspeed": {"zero_optimization": {"stage": 2}}}
    with pytest.raises(ImportError, match="deepspeed"):
        parse_arguments(values)
