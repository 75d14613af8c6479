"""A model that does not look for its modules and parameters again while it trains."""

import copy

import pytest
import torch
from conftest import tiny_bert
from test_trainer import trainer
from transformers import TrainerCallback


@pytest.fixture
def counted(model, monkeypatch):
    """The model, and how often its modules have been walked through."""
    walks = []

    def watched(walk):
        def call(self, *args, **kwargs):
            if self is model:
                walks.append(1)
            return walk(self, *args, **kwargs)

        return call

    for name in ("named_modules", "named_children"):
        monkeypatch.setattr(torch.nn.Module, name, watched(getattr(torch.nn.Module, name)))
    return model, walks


def test_modules_are_walked_through_once(counted):
    model, walks = counted
    expected = [id(p) for p in model.parameters()]
    model.train()
    with model.with_known_parts():
        walks.clear()
        model.train()
        assert [id(p) for p in model.parameters()] == expected
        model.zero_grad()
        assert not walks
    list(model.parameters())
    assert len(walks) == 1
    model.train()
    assert len(walks) == 2


def test_a_part_in_another_mode_is_put_in_that_of_the_model(model):
    model.train()
    with model.with_known_parts():
        model.backbone.encoder.layer[1].eval()
        assert model.train() is model
        assert all(module.training for module in model.modules())
        model.eval()
        assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_cleared(model, set_to_none):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    with model.with_known_parts():
        model.zero_grad(set_to_none)
    left = [parameter.grad for parameter in model.parameters()]
    assert all(grad is None if set_to_none else not grad.any() for grad in left)


def test_a_copy_made_meanwhile_has_parts_of_its_own(model):
    model.train()
    with model.with_known_parts():
        copied = copy.deepcopy(model).eval()
        assert model.training
        assert not copied.backbone.training
        copied.add_task({"name": "new", "labels": ["a", "b"]})
        assert {id(p) for p in copied.parameters()} == {id(p) for _, p in copied.named_parameters()}
        assert not {id(p) for p in copied.parameters()} & {id(p) for p in model.parameters()}


def test_a_copy_leaves_out_what_torch_leaves_out(model):
    """A compiled call is bound to the original."""
    model._compiled_call_impl = print
    assert copy.deepcopy(model)._compiled_call_impl is None


def test_parts_are_looked_for_again_afterwards_also_after_an_error(model):
    with pytest.raises(KeyError), model.with_known_parts():
        raise KeyError
    model.add_task({"name": "new", "labels": ["a", "b"]})
    names = {name for name, _ in model.named_parameters()}
    assert len(list(model.parameters())) == len(names)


class Watch(TrainerCallback):
    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.knows = model._parts is not None


def test_a_trainer_lets_the_model_know_its_parts(tmp_path, tokenizer):
    model, watch = tiny_bert(), Watch()
    made = trainer(tmp_path, tokenizer, model)
    made.add_callback(watch)
    made.train()
    assert watch.knows
    assert model._parts is None
