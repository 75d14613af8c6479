"""Freezing: what is named does not move, and everything else does."""

import pytest
import torch
from conftest import tiny_bert
from test_trainer import InterruptsAfter, trainer

from hf_multitask import GradualUnfreezing, freeze


def moved_groups(job):
    """First components of the parameters that training changed: embeddings, layer.0, ..., heads.topic, ..."""
    before = {name: parameter.detach().clone() for name, parameter in job.model.named_parameters()}
    job.train()
    return {part(name) for name, parameter in job.model.named_parameters() if not torch.equal(parameter, before[name])}


def part(name):
    pieces = name.split(".")
    if pieces[0] == "heads":
        return f"heads.{pieces[1]}"
    return "embeddings" if pieces[1] == "embeddings" else ".".join(pieces[2:4])


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["embeddings"], {"layer.0", "layer.1", "heads.topic", "heads.sentiment"}),
        (["embeddings", "layers.0"], {"layer.1", "heads.topic", "heads.sentiment"}),
        (["layers.0-1"], {"embeddings", "heads.topic", "heads.sentiment"}),
        (["backbone"], {"heads.topic", "heads.sentiment"}),
        (["heads.topic"], {"embeddings", "layer.0", "layer.1", "heads.sentiment"}),
        (["heads"], {"embeddings", "layer.0", "layer.1"}),
    ],
)
def test_what_is_frozen_stays_and_the_rest_moves(tmp_path, tokenizer, patterns, expected):
    assert moved_groups(trainer(tmp_path, tokenizer, freeze=patterns)) == expected


def test_a_trainer_freezes_what_it_is_told_whatever_another_one_of_the_model_was(tmp_path, tokenizer):
    model = tiny_bert()
    frozen = trainer(tmp_path / "frozen", tokenizer, model, freeze=["backbone"])
    whole = trainer(tmp_path / "whole", tokenizer, model)
    assert moved_groups(frozen) == {"heads.topic", "heads.sentiment"}
    assert moved_groups(whole) == {"embeddings", "layer.0", "layer.1", "heads.topic", "heads.sentiment"}


def test_what_is_frozen_without_a_trainer_stays_so(tmp_path, tokenizer):
    model = tiny_bert()
    freeze(model, ["embeddings"])
    trainer(tmp_path / "frozen", tokenizer, model, freeze=["backbone"])
    moved = moved_groups(trainer(tmp_path / "whole", tokenizer, model))
    assert moved == {"layer.0", "layer.1", "heads.topic", "heads.sentiment"}


def test_what_is_frozen_by_hand_behind_a_trainer_stays_so(tmp_path, tokenizer):
    model = tiny_bert()
    trainer(tmp_path / "frozen", tokenizer, model, freeze=["backbone"])
    freeze(model, ["embeddings"])
    moved = moved_groups(trainer(tmp_path / "whole", tokenizer, model))
    assert moved == {"layer.0", "layer.1", "heads.topic", "heads.sentiment"}


def test_what_is_thawed_by_hand_behind_a_trainer_learns(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, freeze=["backbone"])
    job.model.backbone.encoder.layer[1].requires_grad_(True)
    assert moved_groups(job) == {"layer.1", "heads.topic", "heads.sentiment"}


def test_frozen_parameters_are_in_no_group(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, freeze=["embeddings", "layers.0"])
    assert {group["name"] for group in job.create_optimizer().param_groups} == {"layers.1", "heads"}


@pytest.mark.parametrize("pattern", ["layers.2", "layers.0-2", "layers.1-0", "heads.topik", "embedding", ""])
def test_a_pattern_that_names_nothing_is_refused(pattern):
    with pytest.raises(ValueError, match="must name a part of the model, one of .*'heads.topic'.*, found"):
        freeze(tiny_bert(), [pattern])


def test_freezing_everything_is_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="At least one parameter must be trainable, found all frozen"):
        trainer(tmp_path, tokenizer, freeze=["backbone", "heads"]).create_optimizer()


def trainable_after(job, steps):
    """What is trainable at each step."""
    seen = []
    job.create_optimizer().register_step_pre_hook(
        lambda *_: seen.append({part(n) for n, p in job.model.named_parameters() if p.grad is not None})
    )
    job.train()
    assert len(seen) == steps
    return seen


def test_gradual_unfreezing_goes_from_the_heads_down_one_layer_at_a_time(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=2, gradual_unfreezing_steps=2)
    heads = {"heads.topic", "heads.sentiment"}
    seen = [names | heads for names in trainable_after(job, 8)]  # a batch of two rows may lack a task
    assert seen[0] == seen[1] == heads
    assert seen[2] == seen[3] == heads | {"layer.1"}
    assert seen[4] == seen[5] == heads | {"layer.1", "layer.0"}
    assert seen[6] == seen[7] == heads | {"layer.1", "layer.0", "embeddings"}


def test_gradual_unfreezing_does_not_move_what_still_waits(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, gradual_unfreezing_steps=100, weight_decay=0.1)
    assert moved_groups(job) == {"heads.topic", "heads.sentiment"}


def test_gradual_unfreezing_leaves_the_frozen_frozen_and_ends_with_the_rest_trainable(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, gradual_unfreezing_steps=100, freeze=["embeddings"])
    job.train()
    trainable = {part(name) for name, parameter in job.model.named_parameters() if parameter.requires_grad}
    assert trainable == {"layer.0", "layer.1", "heads.topic", "heads.sentiment"}


def test_gradual_unfreezing_goes_on_where_a_checkpoint_stopped(tmp_path, tokenizer):
    settings = {
        "per_device_train_batch_size": 2,
        "gradual_unfreezing_steps": 2,
        "save_strategy": "steps",
        "save_steps": 4,
    }
    trainer(tmp_path, tokenizer, **settings).train()
    resumed = trainer(tmp_path, tokenizer, **settings)
    seen = []
    resumed.create_optimizer().register_step_pre_hook(
        lambda *_: seen.append({part(n) for n, p in resumed.model.named_parameters() if p.grad is not None})
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert {"layer.1", "layer.0"} <= seen[0]
    assert "embeddings" not in seen[0]
    assert "embeddings" in seen[2]


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_gradual_unfreezing_leaves_nothing_frozen_after_a_run_that_was_interrupted(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=4, gradual_unfreezing_steps=1)
    job.add_callback(InterruptsAfter(1))
    before = trainable(job.model)
    with pytest.raises(KeyboardInterrupt):
        job.train()
    assert trainable(job.model) == before
    job.remove_callback(InterruptsAfter)
    assert moved_groups(job) == {"embeddings", "layer.0", "layer.1", "heads.topic", "heads.sentiment"}


def test_gradual_unfreezing_that_was_passed_as_a_callback_leaves_nothing_frozen_either(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=4)
    job.add_callback(GradualUnfreezing(1))
    job.add_callback(InterruptsAfter(1))
    before = trainable(job.model)
    with pytest.raises(KeyboardInterrupt):
        job.train()
    assert trainable(job.model) == before
