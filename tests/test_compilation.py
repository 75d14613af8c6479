"""Which runs are compiled on their way, and what is compiled then."""

import functools
from types import SimpleNamespace

import pytest
import torch
from architectures import tiny_model, token_ids
from test_trainer import rows, trainer

from hf_multitask.modeling.packing import LAYOUTS, PACKED_ATTENTION
from hf_multitask.training import compilation
from hf_multitask.training.compilation import LEAST, STEPS, WARM, Compilation, why_not_compiled
from hf_multitask.training.compiled import compiled_layers

LABELS = {"topic": torch.tensor([0, 1, 2]), "tone": torch.tensor([0, 1, -100])}


@pytest.fixture
def model():
    model = tiny_model("bert").train()
    model.set_attn_implementation(PACKED_ATTENTION)
    return model


def arguments(**changes):
    values = {
        "performance": "auto",
        "device": SimpleNamespace(type="cuda"),
        "bf16": True,
        "is_alone": True,
        "conflict_by_depth": False,
    }
    return SimpleNamespace(**values | changes)


def run(model, args, seconds_a_step, steps, first=0):
    """Whether a run of so many steps is compiled after some, and what `forward` of a layer is at its end."""
    now = [0.0]
    made = Compilation(model, args, clock=lambda: now[0])
    layer, state = model.backbone.encoder.layer[0], SimpleNamespace(global_step=first, max_steps=first + steps)
    changed_at = None
    with made.until_the_end():
        made.on_train_begin(args, state, None)
        for _ in range(steps):
            now[0] += seconds_a_step
            state.global_step += 1
            made.on_step_end(args, state, None)
            if changed_at is None and "forward" in vars(layer) and "forward" in vars(model.backbone):
                changed_at = state.global_step - first
    assert "forward" not in vars(layer)
    assert "forward" not in vars(model.backbone)
    return changed_at


@pytest.mark.parametrize("first", [0, 1000])
def test_a_run_is_compiled_where_its_rest_takes_long_enough(model, first, caplog, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: forward)
    caplog.set_level("INFO", "hf_multitask")
    steps = STEPS + int(LEAST / 0.5)
    assert run(model, arguments(), 0.5, steps, first) == STEPS
    assert "pays" in caplog.text
    assert run(model, arguments(), 0.5, steps - 1, first) is None


def test_the_first_steps_which_take_longer_do_not_count(model):
    now, state = [0.0], SimpleNamespace(global_step=0, max_steps=100)
    made = Compilation(model, arguments(), clock=lambda: now[0])
    with made.until_the_end():
        made.on_train_begin(None, state, None)
        for step in range(1, 101):
            now[0] += 100.0 if step <= WARM else 0.01
            state.global_step = step
            made.on_step_end(None, state, None)
        assert "forward" not in vars(model.backbone)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"performance": "exact"}, "not auto"),
        ({"device": SimpleNamespace(type="cpu")}, "slower on cpu"),
        ({"bf16": False}, "not in bfloat16"),
        ({"is_alone": False}, "several processes"),
        ({"conflict_by_depth": True}, "show their gradients"),
    ],
)
def test_why_a_run_is_not_compiled(model, changes, reason):
    assert reason in why_not_compiled(model, arguments(**changes))
    assert bool(reason) == bool(why_not_compiled(model, arguments(**changes)))


def test_models_with_other_layers_hooks_checkpointing_or_padding_are_not_compiled(model):
    albert = tiny_model("albert")
    albert.set_attn_implementation(PACKED_ATTENTION)
    assert "other layers" in why_not_compiled(albert, arguments())
    handle = model.backbone.encoder.layer[1].attention.register_forward_hook(lambda *args: None)
    assert "hooks" in why_not_compiled(model, arguments())
    handle.remove()
    layer = model.backbone.encoder.layer[1]
    layer.gradient_checkpointing = True
    assert "second time" in why_not_compiled(model, arguments())
    layer.gradient_checkpointing = False
    assert not why_not_compiled(model, arguments())
    model.set_attn_implementation("sdpa")
    assert "not packed" in why_not_compiled(model, arguments())


def losses(model):
    loss = model(**token_ids(3, 5, 2), labels=LABELS).loss
    if loss.requires_grad:
        model.zero_grad()
        loss.backward()
    return loss.detach(), model.backbone.embeddings.word_embeddings.weight.grad


def test_compiled_layers_compute_the_same_with_one_compilation(model, monkeypatch):
    """By torch._dynamo with the operators as they are: what a GPU makes of them is in test_cuda.py."""
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setitem(LAYOUTS, "cpu", LAYOUTS["cuda"])
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    loss, gradient = losses(model)
    gradient = gradient.clone()
    with compiled_layers(model):
        found, found_gradient = losses(model)
        torch.testing.assert_close(found, loss)
        torch.testing.assert_close(found_gradient, gradient)
        assert len(graphs) == 1  # three layers, one code, no break in it
        with torch.no_grad():
            losses(model)
        losses(model.eval())
        assert len(graphs) == 1
    assert all("forward" not in vars(layer) for layer in model.backbone.encoder.layer)


def test_a_model_without_such_layers_is_not_compiled():
    with (
        pytest.raises(ValueError, match="must have layers of GradientCheckpointingLayer"),
        compiled_layers(tiny_model("albert")),
    ):
        pass


def test_the_trainer_lets_itself_be_compiled(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(compilation, "LEAST", 0.0)
    monkeypatch.setattr(compilation, "WARM", 1)
    monkeypatch.setattr(compilation, "STEPS", 2)
    seen = []
    monkeypatch.setattr(compilation, "why_not_compiled", lambda model, args: seen.append(model) or "a test")
    made = trainer(tmp_path, tokenizer, data=rows(48))
    made.train()
    assert seen == [made.model]
