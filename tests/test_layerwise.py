"""Groups of parameters: what belongs to no layer, and what must not be."""

import pytest
import torch
from architectures import tiny_model
from conftest import TASKS, tiny_bert

from hf_multitask import layerwise_parameter_groups
from hf_multitask.training.layerwise import format_groups, named_groups


def test_learned_parameters_of_the_loss_move_at_the_heads_rate_without_decay():
    model = tiny_bert()
    model.log_variances = torch.nn.Parameter(torch.zeros(2))
    groups = layerwise_parameter_groups(model, head_learning_rate=3e-4, weight_decay=0.1)
    (group,) = (group for group in groups if group["name"] == "loss")
    assert group["params"] == [model.log_variances]
    assert (group["lr"], group["weight_decay"]) == (3e-4, 0.0)


def test_a_group_is_halved_into_decayed_matrices_and_spared_norms_and_biases():
    groups = layerwise_parameter_groups(tiny_bert(), weight_decay=0.1)
    for group in groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.1}


def test_groups_that_would_be_the_same_but_for_decay_are_one_without_it():
    names = [group["name"] for group in layerwise_parameter_groups(tiny_bert())]
    assert names == ["layers.1", "layers.0", "embeddings", "heads"]


def test_without_weight_decay_the_rates_are_the_same():
    plain = {group["name"]: group["lr"] for group in layerwise_parameter_groups(tiny_bert())}
    decayed = {group["name"]: group["lr"] for group in layerwise_parameter_groups(tiny_bert(), weight_decay=0.1)}
    assert plain == decayed


def test_a_model_without_a_backbone_is_refused():
    with pytest.raises(ValueError, match="a child called 'backbone', found none in Linear"):
        layerwise_parameter_groups(torch.nn.Linear(2, 2))


def test_the_last_layer_comes_first_so_that_its_rate_is_the_one_logged():
    assert next(iter(named_groups(tiny_bert()))) == "layers.1"


def test_the_table_names_every_group_with_its_size():
    model = tiny_bert(tasks=TASKS)
    table = format_groups(layerwise_parameter_groups(model, weight_decay=0.01))
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert cells[0] == ["group", "parameters", "learning rate", "weight decay"]
    assert ["heads", "80", "0.0001", "0.01"] in cells  # (3 + 2) x 16 weights
    assert ["heads", "5", "0.0001", "0"] in cells


class Wrapped(torch.nn.Module):
    """Puts a module where FSDP1 puts it, with its name in the path of every parameter."""

    def __init__(self, module):
        super().__init__()
        self._fsdp_wrapped_module = module


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # DeBERTa in 5.17
@pytest.mark.parametrize("model_type", ["bert", "deberta-v2"])  # the overrides of deberta-v2 go by path
def test_the_groups_are_the_same_under_the_names_of_fsdp1(model_type):
    model = tiny_model(model_type)
    plain = {name: [id(p) for p in parameters] for name, parameters in named_groups(model).items()}
    encoder = model.backbone.encoder
    encoder.layer = torch.nn.ModuleList([Wrapped(layer) for layer in encoder.layer])
    model.backbone.encoder = Wrapped(encoder)
    wrapped = Wrapped(model)
    assert all("_fsdp_wrapped_module" in name for name, _ in wrapped.named_parameters())
    found = {name: [id(p) for p in parameters] for name, parameters in named_groups(wrapped).items()}
    assert {name: set(ids) for name, ids in found.items()} == {name: set(ids) for name, ids in plain.items()}
