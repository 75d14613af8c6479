"""Which runs are compiled on their way, and what is compiled then."""

import copy
import functools
import os
from types import SimpleNamespace

import pytest
import torch
from architectures import packed_bert, tiny_model, token_ids
from test_trainer import rows, trainer
from torch._dynamo.exc import InternalTorchDynamoError

from hf_multitask.modeling import segments
from hf_multitask.modeling.packing import LAYOUTS, PACKED_ATTENTION
from hf_multitask.training import compilation
from hf_multitask.training.compilation import LEAST, STEPS, WARM, Compilation, why_not_compiled
from hf_multitask.training.compiled import compiled_layers

LABELS = {"topic": torch.tensor([0, 1, 2]), "tone": torch.tensor([0, 1, -100])}


model = pytest.fixture(packed_bert)


@pytest.fixture(autouse=True)
def triton_works(monkeypatch):
    monkeypatch.setattr(compilation, "attends_short", lambda device, size: True)


def arguments(**changes):
    values = {
        "performance": "auto",
        "device": SimpleNamespace(type="cuda"),
        "bf16": True,
        "is_alone": True,
        "balancing": "sum",
        "conflict_by_depth": False,
    }
    return SimpleNamespace(**values | changes)


def run(model, args, steps, seconds_a_step=lambda step: 0.5, seconds_between=0.0, first=0):
    """After how many steps of so many a run is compiled; `None` where it is not."""
    now = [0.0]
    made = Compilation(model, args, clock=lambda: now[0])
    layer, state = model.backbone.encoder.layer[0], SimpleNamespace(global_step=first, max_steps=first + steps)
    changed_at = None
    with made.training():
        made.on_train_begin(args, state, None)
        for step in range(steps):
            made.on_step_begin(args, state, None)
            now[0] += seconds_a_step(step)
            state.global_step += 1
            made.on_step_end(args, state, None)
            now[0] += seconds_between
            if changed_at is None and "forward" in vars(layer) and "forward" in vars(model.backbone):
                changed_at = state.global_step - first
    assert "forward" not in vars(layer)
    assert "forward" not in vars(model.backbone)
    return changed_at


ENOUGH = STEPS + int(LEAST / 0.5)
"""Steps of half a second, of which those that are left behind the first ones are just enough."""


@pytest.mark.parametrize("first", [0, 1000])
def test_a_run_is_compiled_where_its_steps_take_long_enough(model, first, caplog, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: forward)
    caplog.set_level("INFO", "hf_multitask")
    assert run(model, arguments(), ENOUGH, first=first) == STEPS
    assert "it pays from" in caplog.text
    assert run(model, arguments(), ENOUGH - 1, first=first) is None


def test_the_first_steps_and_what_lies_between_steps_do_not_count(model):
    assert run(model, arguments(), ENOUGH - 1, lambda step: 100.0 if step < WARM else 0.5) is None
    assert run(model, arguments(), ENOUGH - 1, seconds_between=100.0) is None


REASONS = [
    ({"bf16": False}, "not in bfloat16"),
    ({"is_alone": False}, "several processes"),
    ({"balancing": "famo"}, "a second time"),
    ({"conflict_by_depth": True}, "show their gradients"),
]


@pytest.mark.parametrize(("changes", "reason"), REASONS)
def test_why_a_long_run_is_not_compiled_is_told(model, caplog, changes, reason):
    caplog.set_level("INFO", "hf_multitask")
    assert not why_not_compiled(model, arguments())
    assert run(model, arguments(**changes), ENOUGH) is None
    (record,) = caplog.records
    assert reason in record.getMessage()


@pytest.mark.parametrize("changes", [{"performance": "exact"}, {"device": SimpleNamespace(type="cpu")}])
def test_where_nobody_expects_it_nothing_is_told(model, caplog, changes):
    caplog.set_level("INFO", "hf_multitask")
    assert run(model, arguments(**changes), ENOUGH) is None
    assert not caplog.records


def test_models_with_other_layers_hooks_checkpointing_or_padding_are_not_compiled(model, monkeypatch):
    albert = tiny_model("albert")
    albert.set_attn_implementation(PACKED_ATTENTION)
    assert "other layers" in why_not_compiled(albert, arguments())
    layer = model.backbone.encoder.layer[1]
    for hook in (layer.attention.register_forward_hook, layer.output.dense.weight.register_hook):
        handle = hook(lambda *args: None)
        assert "hooks" in why_not_compiled(model, arguments())
        handle.remove()
    layer.gradient_checkpointing = True
    assert "second time" in why_not_compiled(model, arguments())
    layer.gradient_checkpointing = False
    assert not why_not_compiled(model, arguments())
    monkeypatch.setattr(compilation, "attends_short", lambda device, size: False)
    assert "Triton" in why_not_compiled(model, arguments())
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
        model(**token_ids(9, 1, 4, 6, 5)).sentence_embedding.sum().backward()
        assert len(graphs) == 1  # also for other numbers of texts and tokens
        with torch.no_grad():
            losses(model)
        losses(model.eval())
        assert len(graphs) == 1
    assert all("forward" not in vars(layer) for layer in model.backbone.encoder.layer)


@pytest.mark.skipif("TRITON_INTERPRET" not in os.environ, reason="the interpreter is for machines without a GPU")
def test_compiled_layers_attend_to_short_texts_in_tiles(model, monkeypatch):
    """By Triton's interpreter, in float16, as it cannot multiply in bfloat16."""
    short_texts = pytest.importorskip("hf_multitask.modeling.short_texts")
    calls, launch = [], short_texts.launch
    monkeypatch.setattr(short_texts, "launch", lambda *args: calls.append(args[0]) or launch(*args))
    monkeypatch.setattr(segments, "_flash_size", lambda device: 256)
    monkeypatch.setattr(segments, "_attends_short", lambda device, size: True)
    monkeypatch.setitem(LAYOUTS, "cpu", LAYOUTS["cuda"])
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager", fullgraph=True))
    loss, gradient = losses(model)
    gradient = gradient.clone()
    assert not calls
    with compiled_layers(model), torch.autocast("cpu", torch.float16):
        found, found_gradient = losses(model)
    assert len(calls) == 6  # three layers, there and back
    torch.testing.assert_close(found, loss, rtol=2e-3, atol=0)
    assert (found_gradient - gradient).norm() <= 5e-3 * gradient.norm()


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
    made = trainer(tmp_path, tokenizer, data=rows(48), performance="auto")
    made._compilation = Compilation(made.model, arguments(), clock=lambda: 0.0)
    made.add_callback(made._compilation)
    made.train()
    assert seen == [made.model]


def test_a_layer_that_cannot_be_compiled_runs_as_it_is(model, monkeypatch, caplog):
    def backend(graph, example_inputs):
        raise RuntimeError("no C compiler found")

    monkeypatch.setitem(LAYOUTS, "cpu", LAYOUTS["cuda"])
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    loss, gradient = losses(model)
    gradient = gradient.clone()
    with compiled_layers(model):
        for _ in range(2):
            found, found_gradient = losses(model)
            torch.testing.assert_close(found, loss)
            torch.testing.assert_close(found_gradient, gradient)
    told = [record for record in caplog.records if record.name.startswith("hf_multitask")]
    assert len(told) == 1  # for three layers of a kind
    assert "no C compiler found" in caplog.text


def test_a_copy_made_meanwhile_computes_with_its_own_weights(model, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: forward)
    with compiled_layers(model):
        copied = copy.deepcopy(model)
        before, _ = losses(copied)
        with torch.no_grad():
            model.backbone.encoder.layer[0].output.dense.weight.zero_()
        assert torch.equal(losses(copied)[0], before)
        assert not torch.equal(losses(model)[0], before)


def test_a_compilation_that_fails_later_is_told_too(model, monkeypatch, caplog):
    """Texts of other lengths, or other parameters that learn, are other code."""
    calls = []

    def compiled(forward, dynamic):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) > 4:
                raise InternalTorchDynamoError("no")
            return forward(*args, **kwargs)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    with compiled_layers(model):
        expected, _ = losses(model)
        for _ in range(2):
            assert torch.equal(losses(model)[0], expected)
    assert len(calls) == 5
    assert "BertLayer cannot be compiled" in caplog.text


def test_layers_are_compiled_once_and_what_stood_there_stands_there_again(model, monkeypatch):
    layer = model.backbone.encoder.layer[0]
    own = layer.forward
    layer.forward = standing = lambda *args, **kwargs: own(*args, **kwargs)
    made = []
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: made.append(forward) or forward)
    with compiled_layers(model), compiled_layers(model):
        assert len(made) == 3
    assert layer.forward is standing
