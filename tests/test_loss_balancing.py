"""Methods that learn from the losses: each against its paper's formula, and torchjd's or torch's own computation."""

import math

import pytest
import torch
from torchjd.scalarization import DWA, FAMO

from hf_multitask.balancing.dwa import DynamicWeightAverage
from hf_multitask.balancing.famo import Famo
from hf_multitask.balancing.gradnorm import ALPHA, GradNorm
from hf_multitask.balancing.uncertainty import Uncertainty

NAMES = ["a", "b", "c"]


def losses(step, names=NAMES):
    torch.manual_seed(step)
    values = torch.rand(len(NAMES), dtype=torch.float64) + torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    return {name: value for name, value in zip(NAMES, values.tolist(), strict=True) if name in names}


def tensor(values):
    return torch.tensor(list(values.values()), dtype=torch.float64)


def test_uncertainties_are_what_adam_and_autograd_make_of_the_papers_loss():
    method = Uncertainty(NAMES, 0.01)
    s = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([s], lr=0.01)
    assert method.factors(NAMES) == dict.fromkeys(NAMES, 1.0), "the plain sum at first"
    for step in range(20):
        adam.zero_grad()
        (torch.exp(-s) * tensor(losses(step)) + s / 2).sum().backward()
        adam.step()
        method.update(losses(step), {})
        torch.testing.assert_close(tensor(method.factors(NAMES)), torch.exp(-s).detach(), rtol=1e-12, atol=0)


def test_uncertainties_settle_where_every_weighted_loss_is_a_half():
    method = Uncertainty(NAMES, 0.05)
    for _ in range(2000):
        method.update(losses(0), {})
    weighted = [factor * losses(0)[name] for name, factor in method.factors(NAMES).items()]
    assert weighted == pytest.approx([0.5] * 3, rel=1e-3)


def test_an_uncertainty_of_a_task_without_labels_stands_still():
    method = Uncertainty(NAMES, 0.1)
    method.update(losses(0), {})
    before = method.factors(NAMES)
    method.update(losses(1, ["a", "c"]), {})
    after = method.factors(NAMES)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]


def test_dynamic_averages_are_torchjds():
    method, reference = DynamicWeightAverage(NAMES), DWA()
    for epoch in range(5):
        method.begin_epoch(epoch)
        for step in range(3):
            values = tensor(losses(10 * epoch + step)).requires_grad_()
            reference(values).backward()
            torch.testing.assert_close(tensor(method.factors(NAMES)), values.grad, rtol=1e-12, atol=0)
            method.update(losses(10 * epoch + step), {})
        reference.step()
    assert sum(method.factors(NAMES).values()) == pytest.approx(3.0)


def test_an_epoch_that_goes_on_after_a_resume_keeps_its_means():
    method, resumed = DynamicWeightAverage(NAMES), DynamicWeightAverage(NAMES)
    for epoch in range(3):
        method.begin_epoch(epoch)
        method.update(losses(epoch), {})
    resumed.load(method.state())
    resumed.begin_epoch(2)
    for each in (method, resumed):
        each.update(losses(7), {})
        each.begin_epoch(3)
    assert resumed.factors(NAMES) == method.factors(NAMES)


def test_a_task_without_two_epochs_behind_it_counts_as_one_that_did_not_fall():
    method = DynamicWeightAverage(NAMES)
    for epoch in range(3):
        method.begin_epoch(epoch)
        method.update({"a": 2.0 - epoch / 2, "b": 1.0} | ({"c": 1.0} if epoch == 1 else {}), {})
    found = method.factors(NAMES)
    assert found["c"] == found["b"] > found["a"]


def test_the_logits_of_famo_are_torchjds():
    method, reference = Famo(NAMES), FAMO(3).double()
    for step in range(20):
        before, after = losses(step), {name: 0.9 * loss for name, loss in losses(step + 100).items()}
        reference(tensor(before))
        reference.update(tensor(after))
        method.update(before, after)
        values = tensor(after).requires_grad_()
        reference(values).backward()  # the weights of its gradient at the newest losses
        torch.testing.assert_close(tensor(method.factors(NAMES)), 3 * values.grad, rtol=1e-9, atol=0)


def test_famo_weighs_less_what_falls_fast_and_starts_as_the_plain_sum():
    method = Famo(NAMES)
    assert method.factors(NAMES) == dict.fromkeys(NAMES, 1.0)
    for _ in range(20):
        method.update({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.9})
    found = method.factors(["a", "b"])
    assert found["a"] * 0.5 < found["b"] * 0.9
    assert sum(found.values()) == pytest.approx(2.0)
    assert method.factors(["c"]) == {"c": 1.0}


def test_gradnorm_takes_the_step_of_its_papers_loss():
    method = GradNorm(NAMES)
    virtual = torch.randn(3, 4, 4) * torch.tensor([0.3, 1.0, 2.0])[:, None, None]
    c = torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([c], lr=0.025)
    for step in range(20):
        norms = virtual.flatten(1).norm(dim=1).double()
        norms = norms / norms.square().mean().sqrt()
        rates = tensor(losses(step)) / tensor(losses(0))
        goal = (c * norms).mean() * (rates / rates.mean()) ** ALPHA
        adam.zero_grad()
        (c * norms - goal.detach()).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            c *= 3 / c.sum()
        assert method.factors(NAMES[:2], virtual[:2] * 0) is not None  # a micro-batch without a label
        method.factors(NAMES, 0.25 * virtual)
        method.factors(NAMES, 0.75 * virtual)
        method.update(losses(step), {})
        found = torch.tensor(method.factors(NAMES, virtual * 0), dtype=torch.float64)
        torch.testing.assert_close(found, c.detach(), rtol=1e-6, atol=0)
    assert found[0] > found[2], "short gradients are made longer"


def test_gradnorm_knows_no_scale_and_keeps_every_factor_positive():
    found = []
    for scale in (1.0, 2.0**16):
        method = GradNorm(NAMES)
        for step in range(200):
            torch.manual_seed(step)
            method.factors(NAMES, scale * torch.randn(3, 4, 4) * torch.tensor([1e-3, 1.0, 50.0])[:, None, None])
            method.update(losses(step), {})
        found.append(method.factors(NAMES, torch.zeros(3, 4, 4)))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert min(found[0]) > 0
    assert sum(found[0]) == pytest.approx(3.0)


def test_gradnorm_leaves_alone_what_is_not_finite():
    method = GradNorm(NAMES)
    method.factors(NAMES, torch.full((3, 4, 4), math.inf))
    method.update(losses(0), {})
    assert method.factors(NAMES, torch.zeros(3, 4, 4)) == [1.0] * 3
