"""Weights from the inner products of gradients: those of the papers, by closed forms and by torchjd."""

import pytest
import torch
from torchjd.aggregation import IMTLG, MGDA, UPGrad

from hf_multitask.balancing import weightings
from hf_multitask.balancing.gramian_method import GramianMethod
from hf_multitask.balancing.methods import WEIGHTINGS


def gradients(tasks=2, size=40, seed=0):
    """Gradients that conflict, of unequal length."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(tasks, size, generator=generator, dtype=torch.float64)
    found[1] -= 1.5 * found[0]
    return found * torch.linspace(0.5, 2.0, tasks, dtype=torch.float64)[:, None]


def normalised(gradients_TP):
    gramian_TT = gradients_TP @ gradients_TP.T
    return gramian_TT / gramian_TT.diagonal().mean()


def factors(name, gradients_TP, seed=0):
    """As in training, where the gradients are of a square layer."""
    names = [str(index) for index in range(len(gradients_TP))]
    found = GramianMethod(WEIGHTINGS[name], seed).factors(names, gradients_TP[:, None].float())
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("tasks", [2, 4, 8])
def test_mgda_is_torchjds_and_the_shortest_vector(tasks):
    g = gradients(tasks)
    found = weightings.mgda(normalised(g)) @ g / tasks
    assert (g @ found >= found @ found - 1e-6).all(), "the condition of the shortest vector"
    near = MGDA(epsilon=1e-6, max_iters=2000)(g)
    assert found.norm() - 1e-9 <= near.norm() <= 1.02 * found.norm()


def test_mgda_of_two_tasks_is_the_closed_form():
    a, b = gradients()
    share = (((b - a) @ b) / ((a - b) @ (a - b))).clamp(0, 1)
    torch.testing.assert_close(weightings.mgda(normalised(torch.stack([a, b]))), 2 * torch.stack([share, 1 - share]))


@pytest.mark.parametrize("tasks", [2, 4, 8])
@pytest.mark.parametrize(("name", "aggregator"), [("upgrad", UPGrad()), ("imtl_g", IMTLG())])
def test_the_encoder_gets_t_times_what_torchjd_makes_of_the_whole_gradients(name, aggregator, tasks):
    g = gradients(tasks)
    torch.testing.assert_close(factors(name, g) @ g, tasks * aggregator(g), rtol=1e-3, atol=1e-4)


def test_pcgrad_of_two_tasks_takes_away_what_points_against_the_other():
    a, b = gradients()
    assert a @ b < 0
    expected = a - (a @ b) / (b @ b) * b + b - (a @ b) / (a @ a) * a
    torch.testing.assert_close(
        factors("pcgrad", torch.stack([a, b])) @ torch.stack([a, b]), expected, rtol=1e-5, atol=0
    )


def test_imtl_g_projects_equally_onto_every_direction():
    g = gradients(4)
    total = factors("imtl_g", g) @ g
    projections = g @ total / g.norm(dim=1)
    torch.testing.assert_close(projections, projections.mean().expand(4), rtol=1e-4, atol=0)


@pytest.mark.parametrize("tasks", [2, 4, 8])
def test_the_bargain_of_nash_solves_its_equation(tasks):
    gramian_TT = normalised(gradients(tasks))
    alpha = weightings.nashmtl(gramian_TT)
    regular = gramian_TT + weightings.NASH_REGULARISATION * torch.eye(tasks, dtype=torch.float64)
    torch.testing.assert_close(regular @ alpha, 1 / alpha, rtol=1e-9, atol=0)
    assert (alpha > 0).all()


def test_the_bargain_of_two_tasks_is_the_closed_form():
    a, b = gradients()
    gramian_TT = normalised(torch.stack([a, b]))
    found = weightings.nashmtl(gramian_TT)
    gramian_TT += weightings.NASH_REGULARISATION * torch.eye(2, dtype=torch.float64)
    lengths = gramian_TT.diagonal().sqrt()
    cosine = gramian_TT[0, 1] / lengths.prod()  # by symmetry of the unit gradients, alpha_t |g_t| is the same for both
    torch.testing.assert_close(found, 1 / (lengths * (1 + cosine).sqrt()), rtol=1e-9, atol=0)


@pytest.mark.parametrize("tasks", [2, 4, 8])
def test_the_bargain_does_not_break_down_where_all_gradients_cancel_out(tasks):
    g = gradients(tasks)
    g[-1] = -g[:-1].sum(0)
    alpha = weightings.nashmtl(normalised(g))
    assert alpha.isfinite().all()
    assert (alpha @ normalised(g) @ alpha).item() <= tasks


def test_cagrad_of_two_tasks_is_the_best_of_all_mixtures():
    g = gradients()
    gramian_TT = normalised(g)
    mean = torch.full((2,), 0.5, dtype=torch.float64)
    length = (mean @ gramian_TT @ mean).sqrt()
    shares = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    grid = torch.stack([shares, 1 - shares], dim=1)
    sizes = (grid @ gramian_TT * grid).sum(1).sqrt()
    best = (grid @ gramian_TT @ mean + 0.5 * length * sizes).argmin()
    expected = (mean + 0.5 * length / sizes[best] * grid[best]) * 2 / 1.5
    torch.testing.assert_close(weightings.cagrad(gramian_TT), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tasks", [2, 4, 8])
def test_cagrad_lowers_the_worst_task_more_than_any_other_step_of_its_ball(tasks):
    g = gradients(tasks)
    mean = g.mean(0)
    step = weightings.cagrad(normalised(g)) @ g * 1.5 / tasks
    radius = 0.5 * mean.norm()
    torch.testing.assert_close((step - mean).norm(), radius, rtol=1e-6, atol=0)
    worst = (g @ step).min()
    for _ in range(500):
        other = step - mean + 0.1 * radius * torch.randn_like(mean)
        other = mean + radius * other / other.norm()
        assert (g @ other).min() <= worst + 1e-6 * worst.abs()


ALL = list(WEIGHTINGS)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tasks", [2, 5])
def test_a_scale_common_to_all_gradients_changes_no_factor(name, tasks):
    g = gradients(tasks)
    for scale in (2.0**16, 2.0**-30):
        assert torch.equal(factors(name, scale * g), factors(name, g))


@pytest.mark.parametrize("name", ALL)
def test_a_task_alone_and_one_without_a_gradient_are_left_as_they_are(name):
    g = gradients(3)
    assert factors(name, g[:1]).tolist() == [1.0]
    padded = torch.stack([g[0], torch.zeros_like(g[0]), g[1]])
    found = factors(name, padded)
    torch.testing.assert_close(found[[0, 2]], factors(name, g[:2]))
    assert found[1] == 1.0
    assert factors(name, torch.zeros(2, 5)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ALL)
def test_gradients_that_overflowed_are_left_to_what_skips_the_step(name):
    g = gradients(2)
    g[0, 0] = float("inf")
    assert factors(name, g).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("name", "size"), [(name, 0.5**0.5 if name == "nashmtl" else 1.0) for name in ALL])
def test_tasks_that_agree_are_summed(name, size):
    """By the bargain, with the length that the sum of two orthogonal gradients of that length has."""
    g = gradients(2)[:1].repeat(2, 1)
    torch.testing.assert_close(factors(name, g) @ g, size * g.sum(0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["pcgrad", "upgrad"])
def test_without_a_conflict_there_is_nothing_to_solve(name):
    g = gradients(4).abs()
    torch.testing.assert_close(factors(name, g), torch.ones(4, dtype=torch.float64), rtol=1e-6, atol=0)


def test_the_order_of_pcgrad_follows_the_seed_and_the_calls_and_takes_no_number_of_trainings():
    g = gradients(6) - 0.6 * gradients(6).mean(0)
    before = torch.get_rng_state()
    method, again, other = (GramianMethod(weightings.pcgrad, seed) for seed in (0, 0, 1))
    names = [str(index) for index in range(6)]
    found = [[m.factors(names, g[:, None].float()) for _ in range(3)] for m in (method, again, other)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0][0] != found[0][1]
    assert torch.equal(torch.get_rng_state(), before)
    resumed = GramianMethod(weightings.pcgrad, 0)
    resumed.load(method.state())
    assert resumed.factors(names, g[:, None].float()) == method.factors(names, g[:, None].float())


@pytest.mark.parametrize("method", ["mgda", "imtl_g"])
def test_gradients_that_depend_on_each_other_have_factors_of_common_size(method):
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        a, b = torch.randn(2, 8, 8, generator=generator)
        factors = GramianMethod(getattr(weightings, method), 0).factors("abc", torch.stack([a, b, a + b]))
        assert max(map(abs, factors)) < 100
