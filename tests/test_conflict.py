"""Conflicts of gradients: what the monitor and the measure by depth say is the cosine of the gradients themselves."""

import threading
from itertools import combinations

import pytest
import torch
from conftest import tiny_bert
from torch import nn
from torch.nn import functional as F

from hf_multitask.balancing.conflict import ConflictMonitor
from hf_multitask.balancing.conflict_by_depth import depth_cosines
from hf_multitask.balancing.fan_out import FanOut, virtual_gradient
from hf_multitask.training.layerwise import named_groups

NAMES = ["topic", "sentiment"]
TWINS = [{"name": name, "labels": ["no", "yes"]} for name in ("left", "right")]


def alone(tensor):
    """The sum over the only process."""
    return tensor


def cosine(a, b):
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def encoder_groups(model):
    return {name: group for name, group in named_groups(model).items() if name != "heads"}


def batch(labels, rows=4):
    """Texts with the labels of some tasks."""
    ids = torch.randint(4, 32, (rows, 6), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": {name: torch.tensor(values) for name, values in labels.items()}}


def watched(model, **inputs):
    """What a monitor says of one backward pass."""
    monitor = ConflictMonitor([task.name for task in model.config.tasks], 1)
    model.fan_out = FanOut(model.config.tasks, monitor.observe)
    model(**inputs).loss.backward()
    model.fan_out = None
    return monitor.cosines(alone)


def test_it_is_due_every_so_many_steps():
    monitor = ConflictMonitor(NAMES, 3)
    assert [step for step in range(1, 10) if monitor.due(step)] == [3, 6, 9]


def test_the_cosine_of_each_pair_is_that_of_the_sums_over_the_micro_batches():
    names = ["a", "b", "c"]
    first_TDD, second_TDD = torch.randn(3, 4, 4), torch.randn(2, 4, 4)
    monitor = ConflictMonitor(names, 1)
    monitor.observe(names, first_TDD)
    monitor.observe(["a", "c"], second_TDD)  # b has no label there
    sums = {"a": first_TDD[0] + second_TDD[0], "b": first_TDD[1], "c": first_TDD[2] + second_TDD[1]}
    found = monitor.cosines(alone)
    assert found == {f"conflict/{a}|{b}": pytest.approx(cosine(sums[a], sums[b])) for a, b in combinations(names, 2)}
    assert list(found) == ["conflict/a|b", "conflict/a|c", "conflict/b|c"]


def test_it_forgets_what_it_has_told_and_keeps_what_it_was_shown():
    monitor = ConflictMonitor(NAMES, 1)
    shown = torch.randn(2, 3, 3)
    before = shown.clone()
    monitor.observe(NAMES, shown)
    monitor.observe(NAMES, shown)
    monitor.cosines(alone)
    assert torch.equal(shown, before)
    opposite = torch.eye(3).expand(2, 3, 3) * torch.tensor([1.0, -1.0])[:, None, None]
    monitor.observe(NAMES, opposite)
    assert monitor.cosines(alone) == {"conflict/topic|sentiment": pytest.approx(-1.0)}
    assert monitor.cosines(alone) == {}


@pytest.mark.parametrize("wrong", [0.0, float("nan"), float("inf")])
def test_a_pair_with_a_gradient_that_is_zero_or_not_finite_has_no_cosine(wrong):
    monitor = ConflictMonitor(["a", "b", "c"], 1)
    monitor.observe(["a", "b", "c"], torch.stack([torch.eye(2), torch.full((2, 2), wrong), torch.eye(2)]))
    assert monitor.cosines(alone) == {"conflict/a|c": pytest.approx(1.0)}


def test_gradients_as_small_as_those_of_half_precision_are_compared():
    monitor = ConflictMonitor(NAMES, 1)
    monitor.observe(NAMES, torch.stack([torch.eye(2), torch.ones(2, 2)]) * 1e-18)
    assert monitor.cosines(alone) == {"conflict/topic|sentiment": pytest.approx(0.5**0.5)}


def in_processes(count, work):
    """What each of `count` processes gets from `work(process, reduce)`, threads in place of processes."""
    barrier, slots, results, errors = threading.Barrier(count, timeout=10), [None] * count, [None] * count, []

    def run(process):
        def reduce(tensor):
            slots[process] = tensor
            barrier.wait()
            assert len({tuple(slot.shape) for slot in slots}) == 1
            total = torch.stack(slots).sum(0)
            barrier.wait()
            return total

        try:
            results[process] = work(process, reduce)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(process,)) for process in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert errors == []
    return results


def test_processes_that_saw_other_tasks_or_none_get_the_cosines_of_all():
    shown = [(["topic"], torch.randn(1, 5, 5)), (["sentiment"], torch.randn(1, 5, 5)), None]

    def work(process, reduce):
        monitor = ConflictMonitor(NAMES, 1)
        if shown[process]:
            monitor.observe(*shown[process])
        return monitor.cosines(reduce)

    found = in_processes(3, work)
    assert found[0] == {"conflict/topic|sentiment": pytest.approx(cosine(shown[0][1], shown[1][1]))}
    assert found[0] == found[1] == found[2]
    assert in_processes(2, lambda process, reduce: ConflictMonitor(NAMES, 1).cosines(reduce)) == [{}, {}]


def test_opposite_labels_of_the_same_texts_on_different_rows_are_a_conflict():
    model = tiny_bert(tasks=TWINS)
    model.heads["right"].load_state_dict(model.heads["left"].state_dict())
    texts = batch({}, rows=4)["input_ids"]
    inputs = {
        "input_ids": texts.repeat(2, 1),
        "labels": {
            "left": torch.tensor([1, 1, 1, 1, -100, -100, -100, -100]),
            "right": torch.tensor([-100, -100, -100, -100, 0, 0, 0, 0]),
        },
    }
    found = watched(model, **inputs)
    # With equal heads, the gradients of a logit's two labels are opposite, row by row, but for their sizes.
    assert found["conflict/left|right"] < -0.99

    embedding = model(inputs["input_ids"]).sentence_embedding.detach().requires_grad_()
    losses = model(sentence_embedding=embedding, labels=inputs["labels"]).losses
    by_row = {name: torch.autograd.grad(loss, embedding)[0] for name, loss in losses.items()}
    assert (by_row["left"] * by_row["right"]).sum().item() == 0.0, "what a product row by row sees"
    assert min(g.norm() for g in by_row.values()) > 0


def test_equal_labels_on_different_rows_are_no_conflict():
    model = tiny_bert(tasks=TWINS)
    model.heads["right"].load_state_dict(model.heads["left"].state_dict())
    texts = batch({}, rows=2)["input_ids"].repeat(2, 1)
    labels = {"left": torch.tensor([1, 0, -100, -100]), "right": torch.tensor([-100, -100, 1, 0])}
    assert watched(model, input_ids=texts, labels=labels) == {"conflict/left|right": pytest.approx(1.0)}


def test_loss_weights_change_no_cosine():
    inputs = batch({"left": [0, 1, 1, 0], "right": [1, 1, 0, 0]})
    model = tiny_bert(tasks=TWINS)
    weighed = tiny_bert(tasks=[TWINS[0] | {"loss_weight": 7.0}, TWINS[1]])
    weighed.load_state_dict(model.state_dict())
    assert watched(weighed, **inputs) == pytest.approx(watched(model, **inputs), abs=1e-6)


def linear_encoder(weight_DK, bias_D, rows=6):
    """Per task, the gradients of W, of b and of the virtual layer of z = W x + b, for two losses of all rows."""
    x_NK = torch.randn(rows, weight_DK.shape[1])
    weight_DK, bias_D = weight_DK.clone().requires_grad_(), bias_D.clone().requires_grad_()
    z_ND = x_NK @ weight_DK.T + bias_D
    found = []
    for target_ND in torch.randn(2, *z_ND.shape):
        loss = (z_ND - target_ND).square().sum()
        of_z, of_weight, of_bias = torch.autograd.grad(loss, (z_ND, weight_DK, bias_D), retain_graph=True)
        found.append((of_weight, of_bias, virtual_gradient(of_z, z_ND.detach())))
    return found


def test_the_virtual_gradient_of_a_linear_encoder_is_made_of_those_of_its_weight_and_bias():
    weight_DK, bias_D = torch.randn(4, 3), torch.randn(4)
    for of_weight, of_bias, virtual_DD in linear_encoder(weight_DK, bias_D):
        expected = of_weight @ weight_DK.T + of_bias[:, None] * bias_D
        assert torch.allclose(virtual_DD, expected, rtol=1e-5, atol=1e-4)


def test_the_cosines_of_a_linear_encoder_are_those_of_its_weight_if_that_keeps_angles_and_has_no_bias():
    orthogonal_DK = nn.init.orthogonal_(torch.empty(5, 3)) * 2.5  # orthogonal columns of one length
    a, b = linear_encoder(orthogonal_DK, torch.zeros(5))
    assert cosine(a[2], b[2]) == pytest.approx(cosine(a[0], b[0]), abs=1e-5)


def test_the_cosines_of_another_linear_encoder_are_not_those_of_its_weight():
    weight_DK = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # drops the second input, in which the two texts are opposite
    x_NK = torch.tensor([[1.0, 3.0], [1.0, -3.0]])
    z_ND = x_NK @ weight_DK.T
    gradients = [torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])]  # a row each
    of_weight = [g.T @ x_NK for g in gradients]
    virtual = [virtual_gradient(g, z_ND) for g in gradients]
    assert cosine(*of_weight) == pytest.approx(-0.8)
    assert cosine(*virtual) == pytest.approx(1.0)


def test_by_depth_the_cosines_are_those_of_separate_backward_passes():
    inputs = batch({"topic": [0, 1, 2, -100], "sentiment": [-100, 1, 0, 1]})
    model = tiny_bert()
    found = depth_cosines(model(**inputs).losses, encoder_groups(model), NAMES, alone)

    gradients = {}
    for name in NAMES:
        model.zero_grad()
        model(**inputs).losses[name].backward()
        gradients[name] = {
            group: torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in params])
            for group, params in encoder_groups(model).items()
        }
    assert found == {
        f"conflict/topic|sentiment/{group}": pytest.approx(cosine(*(gradients[name][group] for name in NAMES)))
        for group in ("layers.1", "layers.0", "embeddings")
    }


def test_by_depth_no_gradient_of_a_parameter_is_touched_and_training_goes_on():
    inputs = batch({"topic": [0, 1, 2, 0], "sentiment": [0, 1, 0, 1]})
    model = tiny_bert()
    model(**inputs).loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    output = model(**inputs)
    depth_cosines(output.losses, encoder_groups(model), NAMES, alone)
    assert all(p.grad is None for p in model.parameters())
    output.loss.backward()
    assert all(torch.equal(p.grad, expected[name]) for name, p in model.named_parameters() if p.grad is not None)


def test_by_depth_frozen_groups_and_absent_tasks_are_left_out():
    model = tiny_bert(tasks=[*TWINS, {"name": "third", "labels": ["a", "b"]}])
    for parameter in encoder_groups(model)["embeddings"]:
        parameter.requires_grad_(False)
    losses = model(**batch({"left": [0, 1, 1, 0], "third": [1, 1, 0, 0]})).losses
    found = depth_cosines(losses, encoder_groups(model), ["left", "right", "third"], alone)
    assert list(found) == ["conflict/left|third/layers.1", "conflict/left|third/layers.0"]


def test_by_depth_processes_with_other_tasks_or_none_get_the_cosines_of_all():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 2))
    frozen = nn.Parameter(torch.randn(2), requires_grad=False)
    x_NK, seen = torch.randn(2, 2), [["topic"], ["sentiment"], []]

    def loss(name):
        return (x_NK[NAMES.index(name)] @ weight.T).square().sum()

    def work(process, reduce):
        losses = {name: loss(name) for name in seen[process]}
        return depth_cosines(losses, {"layers.0": [weight], "top": [frozen]}, NAMES, reduce)

    expected = cosine(*(torch.autograd.grad(loss(name), weight)[0] for name in NAMES))
    assert in_processes(3, work) == [{"conflict/topic|sentiment/layers.0": pytest.approx(expected)}] * 3
