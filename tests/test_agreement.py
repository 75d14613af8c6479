"""What a run says of how far its tasks agree is what its log has, and the advice is bound to it."""

from itertools import combinations
from types import SimpleNamespace

import pytest
from conftest import read_csv
from matplotlib.figure import Figure
from records import record
from scipy import stats

from hf_multitask import Task
from hf_multitask.publishing.advice import LITERATURE, advise
from hf_multitask.publishing.agreement import Agreement, agreements, agreements_by_depth
from hf_multitask.publishing.agreement_figures import MOST_CURVES, running_mean
from hf_multitask.publishing.agreement_tables import CAVEAT, MOST_PAIRS, agreement_table, describe_agreement
from hf_multitask.publishing.depth_advice import name_groups
from hf_multitask.publishing.figures import write_figures
from hf_multitask.publishing.model_card import render_model_card

CONFLICT = [-0.3, -0.2, -0.4, -0.3, -0.2, -0.4, -0.3, -0.3]
"""With the mean -0.3."""
AGREEMENT = [0.3, 0.2, 0.4, 0.3, 0.2, 0.4, 0.3, 0.3]
OPEN = [0.5, -0.5] * 4


def run(cosines, names=("a", "b", "c"), **overrides):
    """The record of a run whose log has these cosines, by pair or by pair and group, at the steps 10, 20, ..."""
    log = [
        {"step": 10 * step + 10} | {f"conflict/{key}": values[step] for key, values in cosines.items()}
        for step in range(max(map(len, cosines.values()), default=0))
    ]
    tasks = overrides.pop("tasks", [Task(name=name, labels=("x", "y")) for name in names])
    empty = {key: {} for key in ("label_counts", "target_summaries", "task_datasets", "calibration", "confusion")}
    values = empty | {"tasks": tasks, "per_class": {}, "samples": [], "before": {}, "mixing": "", "log_history": log}
    return record(**values | overrides)


def compared(found, **verdicts):
    """The record with the comparison to models of single tasks."""
    tasks = [SimpleNamespace(task=name, difference=SimpleNamespace(verdict=v)) for name, v in verdicts.items()]
    object.__setattr__(found, "transfer", SimpleNamespace(tasks=tasks))
    return found


def test_the_numbers_of_a_pair_are_those_of_its_cosines():
    pair = Agreement("a", "b", [1, 2, 3, 4, 5], [-0.5, 0.1, -0.3, 0.0, -0.3], comparisons=3)
    assert pair.mean == pytest.approx(-0.2)
    assert pair.share_below == pytest.approx(0.6)
    assert pair.last_quarter == pytest.approx(-0.15), "of the last two of five"
    expected = stats.t.interval(1 - 0.05 / 3, 4, pair.mean, stats.sem(pair.cosines))
    assert pair.interval == pytest.approx(expected)


def test_a_pair_is_in_conflict_only_where_its_interval_lies_below_zero():
    values = [-0.5, 0.1, -0.3, -0.1, -0.3]
    alone, beside_many = (Agreement("a", "b", range(5), values, n) for n in (1, 100))
    assert alone.mean < 0
    assert alone.interval[1] > 0
    assert not alone.is_conflict
    assert Agreement("a", "b", range(20), values * 4).is_conflict
    assert not Agreement("a", "b", [1], [-0.9]).is_conflict, "one step has no interval"
    assert beside_many.interval[1] > alone.interval[1], "of many pairs one would be in conflict by chance"


def test_pairs_are_ranked_by_their_mean_and_what_is_no_number_is_left_out():
    nan = float("nan")
    found = agreements(run({"a|b": AGREEMENT, "a|c": [nan, *CONFLICT[1:]], "b|c": [nan] * 8}))
    assert [pair.tasks for pair in found] == [("a", "c"), ("a", "b")]
    assert (found[0].steps, found[0].cosines) == ([20, 30, 40, 50, 60, 70, 80], CONFLICT[1:])
    assert {pair.comparisons for pair in found} == {2}


def test_groups_are_in_the_order_of_the_encoder_from_the_bottom():
    groups = ["top", "layers.10", "layers.2", "layers.0", "embeddings"]
    found = agreements_by_depth(run({"a|b": OPEN} | {f"a|b/{group}": CONFLICT for group in groups}))
    assert list(found) == ["embeddings", "layers.0", "layers.2", "layers.10", "top"]
    assert {(pair.tasks, pair.mean, pair.comparisons) for (pair,) in found.values()} == {(("a", "b"), -0.3, 5)}


def test_names_with_bars_and_slashes_are_not_taken_for_other_pairs():
    names = ("a", "b", "b/top", "a|b")
    found = run({"a|b": OPEN, "a|b/top": CONFLICT, "a|a|b": AGREEMENT}, names)
    assert {pair.tasks: pair.mean for pair in agreements(found)} == {
        ("a", "b"): 0.0,
        ("a", "b/top"): pytest.approx(-0.3),
        ("a", "a|b"): pytest.approx(0.3),
    }
    assert agreements_by_depth(found) == {}


def test_the_table_has_the_numbers_of_each_pair():
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in agreement_table(run({"a|b": AGREEMENT, "a|c": CONFLICT})).splitlines()
    ]
    pairs = {", ".join(pair.tasks): pair for pair in agreements(run({"a|b": AGREEMENT, "a|c": CONFLICT}))}
    assert cells[0] == ["do the tasks agree?", "mean cosine", "below 0", "last quarter", "steps"]
    low, high = pairs["a, c"].interval
    assert cells[2] == ["a, c", f"-0.3000 [{low:.4f}, {high:.4f}]", "100%", "-0.3000", "8"]
    assert cells[3][0] == "a, b"
    assert cells[3][2:] == ["0%", "0.3000", "8"]


def test_of_many_pairs_the_table_tells_those_that_disagree_most():
    names = [f"t{index}" for index in range(8)]
    cosines = {f"{a}|{b}": [place / 100, place / 100] for place, (a, b) in enumerate(combinations(names, 2))}
    text = agreement_table(run(cosines, names))
    assert text.endswith(f"{28 - MOST_PAIRS} more pairs agree better.")
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:4]] == ["t0, t1", "t0, t2"]


def test_card_and_terminal_tell_the_table_the_caveat_and_the_advice():
    found = run({"a|b": CONFLICT, "a|c": AGREEMENT})
    card = render_model_card(found).partition("### Do the tasks agree?")[2].partition("\n## ")[0]
    terminal = describe_agreement(found)
    for text in (agreement_table(found), CAVEAT, *advise(found)):
        assert text in card
        assert text in terminal
    assert len(advise(found)) == 3


def test_a_run_that_was_not_measured_says_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: None)
    assert describe_agreement(record()) == ""
    assert advise(record()) == []
    assert "agree?" not in render_model_card(record())
    assert not any(figure.tells_agreement for figure in write_figures(record(), tmp_path))


def test_a_name_can_break_neither_the_card_nor_the_table():
    found = run({"<b>|c": CONFLICT}, ("<b>", "c"))
    text = render_model_card(found)
    assert "<b>" not in text.partition("### Do the tasks agree?")[2].partition("\n## ")[0]


def test_figures_and_csv_files_have_the_means_and_the_cosines(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update({path.stem: figure}))
    found = run({"a|b": CONFLICT, "b|c": AGREEMENT, "a|b/layers.0": CONFLICT, "a|b/embeddings": OPEN})
    figures = write_figures(found, tmp_path)
    assert [figure.image for figure in figures if figure.tells_agreement] == [
        f"figures/{name}.png" for name in ("conflicts", "conflict_curves", "conflict_depths")
    ]
    cells = [text.get_text() for text in drawn["conflicts"].axes[0].texts]
    assert cells == ["-0.30", "-0.30", "0.30", "0.30"], "a with b, b with a, b with c, c with b"
    image = drawn["conflicts"].axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert [text.get_text() for text in drawn["conflict_depths"].axes[0].texts] == ["0.00", "-0.30"]
    first, second = drawn["conflict_curves"].axes[:2]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("a | b", "b | c")
    assert list(first.lines[1].get_xdata()) == [10 * step for step in range(1, 9)]
    assert list(first.lines[1].get_ydata()) == CONFLICT

    rows = read_csv(tmp_path / "figures/conflicts.csv")
    pair = agreements(found)[0]
    assert rows[1] == ["a", "b", "", *map(str, (pair.mean, *pair.interval, 1.0, pair.last_quarter, 8))]
    assert read_csv(tmp_path / "figures/conflict_curves.csv")[:2] == [
        ["first", "second", "step", "cosine"],
        ["a", "b", "10", "-0.3"],
    ]
    assert [row[:3] for row in read_csv(tmp_path / "figures/conflict_depths.csv")[1:]] == [
        ["a", "b", "embeddings"],
        ["a", "b", "layers.0"],
    ]


def test_of_many_pairs_the_curves_are_of_those_at_both_ends(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update({path.stem: figure}))
    names = [f"t{index}" for index in range(5)]
    cosines = {f"{a}|{b}": [place / 100, place / 100] for place, (a, b) in enumerate(combinations(names, 2))}
    write_figures(run(cosines, names), tmp_path)
    shown = [axes.get_title(loc="left") for axes in drawn["conflict_curves"].axes]
    assert shown == ["t0 | t1", "t0 | t2", "t0 | t3", "t2 | t3", "t2 | t4", "t3 | t4"]
    assert len(shown) == MOST_CURVES


def test_a_log_of_one_step_is_drawn(tmp_path):
    write_figures(run({"a|b": [0.0], "a|b/top": [0.0]}), tmp_path)
    assert (tmp_path / "figures/conflicts.png").read_bytes().startswith(b"\x89PNG")
    assert read_csv(tmp_path / "figures/conflicts.csv")[1][3:6] == ["0.0", "", ""]


def test_the_running_mean_is_over_a_fifth_and_fewer_at_the_ends():
    assert running_mean([1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    values = [float(value**2) for value in range(10)]
    found = running_mean(values)
    assert (found[0], found[4]) == (0.5, pytest.approx((9 + 16 + 25) / 3))


def test_layers_that_follow_each_other_are_named_as_a_range():
    groups = ["embeddings", "layers.0", "layers.1", "layers.2", "layers.4", "top"]
    assert name_groups(groups) == "embeddings, layers.0-2, layers.4 and top"


def test_the_advice_tells_a_conflict_with_its_numbers():
    found = run({"a|b": CONFLICT, "a|c": AGREEMENT})
    low, high = agreements(found)[0].interval
    assert advise(found)[0] == (
        f"In conflict by the cosine of their gradients: a and b (mean -0.30, interval {low:.2f} to {high:.2f}, "
        "below 0 in 100% of 8 steps, -0.30 in the last quarter)."
    )


def test_a_run_without_a_conflict_is_told_that_the_plain_sum_is_fine():
    found, tried, to_try = advise(run({"a|b": AGREEMENT, "a|c": AGREEMENT}))
    assert found.startswith("No two tasks are known to be in conflict: no interval of a mean cosine lies below 0")
    assert tried == "Tried in this run: the plain sum of the losses, equal weights, nothing frozen."
    assert to_try == f"The plain sum is fine as far as this tells, and nothing needs to be tried: {LITERATURE}."
    assert "Kurin et al. 2022; Xin et al. 2022" in to_try


def test_a_run_whose_intervals_are_wide_is_told_to_measure_more():
    found, _, to_try = advise(run({"a|b": OPEN}))
    assert "No two tasks are known" in found
    assert "measure at more steps (a smaller `conflict_steps`)" in to_try
    assert "plain sum is fine" not in to_try
    assert "with no interval" in advise(run({"a|b": [-0.9]}))[0]


def test_what_was_tried_is_told_and_that_it_is_not_known_to_have_helped():
    heads = {"a": {"loss_weight": 0.5}, "b": {"head": {"hidden": [8]}}}
    tasks = [Task(name=name, labels=("x", "y"), **settings) for name, settings in heads.items()]
    arguments = {"balancing": "pcgrad", "freeze": ["embeddings", "layers.0"], "gradual_unfreezing_steps": 5}
    found = run({"a|b": CONFLICT}, tasks=tasks, arguments=arguments, mixing="temperature")
    assert advise(found)[1] == (
        "Tried in this run: balancing by pcgrad, mixing by temperature, loss weights (a 0.5), freezing (embeddings, "
        "layers.0), gradual unfreezing (every 5 steps), hidden layers in the heads (b); only a run without can show "
        "what that did."
    )


def test_what_the_comparison_with_single_tasks_found_is_told():
    found = compared(run({"a|b": CONFLICT}), a="gained", b="lost", c="not told apart")
    assert advise(found)[1].endswith("nothing frozen; beside models of single tasks, b lost by sharing.")
    assert "a model of its own for b, in conflict and known to have lost by sharing" in advise(found)[2]
    none = compared(run({"a|b": CONFLICT}), a="gained", b="not told apart")
    assert advise(none)[1].endswith("none is known to have lost by sharing.")


def test_a_task_that_lost_by_sharing_is_given_a_model_of_its_own_whether_or_not_a_conflict_tells_why():
    own = "a model of its own for b, known to have lost by sharing, though no known conflict tells why"
    assert advise(compared(run({"a|b": AGREEMENT}), b="lost"))[2] == f"To try next: {own}."
    unsure = advise(compared(run({"a|b": OPEN}), b="lost"))[2]
    assert unsure == f"To try next: {own}; measured at more steps (a smaller `conflict_steps`), one may be found."
    assert own in advise(compared(run({"a|c": CONFLICT}), b="lost"))[2]
    both = advise(compared(run({"a|b": AGREEMENT}), a="lost", b="lost"))[2]
    assert "a model of its own for each of a and b, known" in both


def test_nothing_is_left_as_it_is_where_a_task_lost_by_sharing():
    weak = {"a|b": [value / 10 for value in CONFLICT]}
    for verdicts in ({"b": "lost"}, {"c": "lost"}):
        to_try = advise(compared(run(weak), **verdicts))[2]
        assert "a model of its own" in to_try
        assert "leaving it as it is" not in to_try


def test_tasks_that_gained_by_sharing_are_not_to_be_separated():
    to_try = advise(compared(run({"a|b": CONFLICT}), a="gained", b="not told apart"))[2]
    assert "keeping a and b together, since a gained by sharing in spite of the conflict" in to_try
    assert "separate models" not in to_try
    several = run({"a|b": CONFLICT, "a|c": CONFLICT})
    assert "a model of its own for b, in 1 of the 2" in advise(compared(several, a="gained", b="not told apart"))[2]


def test_the_plain_sum_is_not_praised_as_what_was_done_where_the_run_balanced():
    to_try = advise(run({"a|b": AGREEMENT}, arguments={"balancing": "upgrad"}))[2]
    assert to_try == (
        "As far as this tells there is nothing that needs balancing by upgrad, and only a run with `balancing: sum` "
        f"can show whether that helps: {LITERATURE}."
    )


def test_one_strong_and_lasting_conflict_asks_for_two_models_or_hidden_layers():
    to_try = advise(run({"a|b": CONFLICT, "a|c": AGREEMENT}))[2]
    assert to_try == (
        "To try next, with no promise that it helps: separate models for a and b, whose conflict is strong and "
        "lasting; hidden layers in the heads of a and b (`head.hidden`); `conflict_by_depth`, which tells in which "
        f"layers; whatever is tried, {LITERATURE}."
    )


def test_several_conflicts_ask_for_a_model_of_the_task_that_is_in_most_of_them():
    to_try = advise(run({"a|b": AGREEMENT, "a|c": CONFLICT, "b|c": CONFLICT}))[2]
    assert "a model of its own for c, in 2 of the 2 strong and lasting conflicts" in to_try


@pytest.mark.parametrize("cosines", [[value / 10 for value in CONFLICT], [-0.8, -0.7] * 6 + [0.01] * 4])
def test_a_conflict_that_is_small_or_passes_is_best_left_alone(cosines):
    found = run({"a|b": cosines})
    assert "In conflict" in advise(found)[0]
    assert "leaving it as it is, since no conflict is both strong (below -0.1) and lasting" in advise(found)[2]
    assert "separate models" not in advise(found)[2]


def by_depth(*conflicting, **overrides):
    groups = ["layers.3", "layers.2", "layers.1", "layers.0", "embeddings"]
    cosines = {f"a|b/{group}": CONFLICT if group in conflicting else AGREEMENT for group in groups}
    return advise(run({"a|b": CONFLICT} | cosines, **overrides))


def test_a_conflict_in_upper_layers_asks_for_hidden_layers_and_nothing_frozen():
    found, _, to_try = by_depth("layers.2", "layers.3")
    assert found.endswith("by depth in layers.2-3).")
    assert (
        "hidden layers in the heads of a and b (`head.hidden`), since the conflict is in layers.2-3 alone, where "
        "freezing lower layers would not meet it"
    ) in to_try
    assert "freeze:" not in to_try


def test_a_conflict_in_lower_layers_asks_for_freezing_or_smaller_rates_there():
    to_try = by_depth("embeddings", "layers.1", arguments={"layer_decay": 0.9})[2]
    wanted = "`freeze: [embeddings, layers.0-1]` or a `layer_decay` below 0.9, since the conflict is in embeddings and"
    assert f"{wanted} layers.1 alone" in to_try
    assert "head.hidden" not in to_try
    assert "`freeze: [embeddings]`" in by_depth("embeddings")[2]
    assert "`freeze: [embeddings, layers.0]`" in by_depth("layers.0")[2]


def test_a_conflict_at_all_depths_asks_for_neither():
    to_try = by_depth("embeddings", "layers.3")[2]
    assert "freeze" not in to_try
    assert "(`head.hidden`), though the conflict reaches down to embeddings" in to_try


def test_a_conflict_that_only_the_depths_show_is_no_plain_sum_that_is_fine():
    depths = {f"a|b/{group}": CONFLICT for group in ("embeddings", "layers.0")}
    found, _, to_try = advise(run({"a|b": AGREEMENT, "a|b/layers.3": AGREEMENT} | depths))
    assert "by depth in embeddings and layers.0" in found
    assert "plain sum is fine" not in to_try


def with_losses(found, **losses):
    log = [line | {f"loss/{name}": value for name, value in losses.items()} for line in found.log_history]
    object.__setattr__(found, "log_history", log)
    return found


def test_a_loss_that_dominates_asks_for_a_smaller_weight():
    small = [value / 10 for value in CONFLICT]
    found = with_losses(run({"a|b": small}), a=0.5, b=4.0, c=0.1)
    assert "a smaller `loss_weight` for b, whose weighted loss is 8 times the next largest" in advise(found)[2]
    assert "loss_weight" not in advise(with_losses(run({"a|b": small}), a=0.5, b=1.5, c=0.1))[2]
    outside = with_losses(run({"a|b": small}), a=0.5, b=0.5, c=5.0)
    assert "loss_weight" not in advise(outside)[2], "c is in no conflict"


def test_datasets_of_very_unequal_sizes_ask_for_mixing_by_temperature():
    small, sizes = [value / 10 for value in CONFLICT], {"big": {"train": 5000}, "little": {"train": 100}}
    asked = "`mixing` by temperature, since big has 50 times the training rows of little"
    assert asked in advise(run({"a|b": small}, sizes=sizes, mixing="proportional"))[2]
    assert "`mixing`" not in advise(run({"a|b": small}, sizes=sizes, mixing="uniform"))[2]
    sizes["little"]["train"] = 2500
    assert "`mixing`" not in advise(run({"a|b": small}, sizes=sizes, mixing="proportional"))[2]
