"""What a card, its figures and its files tell of a comparison is what was measured."""

import dataclasses
import math

import pytest
from conftest import read_csv
from matplotlib.figure import Figure
from records import record

from hf_multitask.publishing.figures import write_figures
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.transfer_record import (
    GAINED,
    LOST,
    OPEN,
    Costs,
    Difference,
    TaskTransfer,
    TransferRecord,
    gain_of,
)
from hf_multitask.publishing.transfer_tables import describe_transfer, verdicts

BARE = {"confusion": {}, "per_class": {}, "log_history": []}
"""What other figures are of."""


def difference(mean, verdict, gain=None, interval=True):
    return Difference(
        mean=mean,
        interval=(mean - 0.0111, mean + 0.0222) if interval else None,
        verdict=verdict,
        gain=mean if gain is None else gain,
        by_seed=[mean - 0.0003, mean + 0.0003],
    )


def task(name, mean, verdict, **overrides):
    values = {
        "task": name,
        "metric": "accuracy",
        "title": "Accuracy",
        "higher_is_better": True,
        "shared": [0.8125 + mean, 0.8375 + mean],
        "single": [0.8125, 0.8375],
        "difference": difference(mean, verdict),
        "rows": 1821,
        "examples": 600,
        "examples_single": 600,
    }
    return TaskTransfer(**values | overrides)


def transfer(**overrides):
    values = {
        "tasks": [
            task("topic", 0.0345, GAINED),
            task("mood", -0.0567, LOST, examples_single=598),
            task("length", -0.25, OPEN, metric="rmse", title="RMSE", higher_is_better=False),
        ],
        "seeds": [42, 43],
        "split": "test",
        "shared": Costs(models=1, training=61.0, answering=1.25, texts=512, parameters=22_000_001, size=88_100_000),
        "single": Costs(models=3, training=97.6, answering=3.5, texts=512, parameters=66_000_003, size=264_300_000),
    }
    return TransferRecord(**values | overrides)


def with_pairs():
    tasks = []
    for found in transfer().tasks:
        others = [other.task for other in transfer().tasks if other is not found and other.task != found.task]
        beside = {other: difference(0.001 * len(found.task + other), OPEN) for other in others}
        tasks.append(dataclasses.replace(found, beside=beside))
    return transfer(tasks=tasks, groups=(("topic", "length"), ("mood",)), groups_gain=0.0123)


def section(found, folder=None):
    run = record(**BARE, transfer=found)
    figures = [] if folder is None else write_figures(run, folder)
    return render_model_card(run, figures).partition("### Does sharing help?")[2].partition("\n### ")[0]


def test_a_card_says_in_words_which_tasks_gained_lost_and_cannot_be_told_apart():
    text = section(transfer())
    assert "- Gained by sharing: topic (Accuracy +0.0345 [+0.0234, +0.0567])\n" in text
    assert "- Lost by sharing: mood (Accuracy -0.0567 [-0.0678, -0.0345])\n" in text
    assert "- Cannot be told apart: length (RMSE -0.2500 [-0.2611, -0.2278])\n" in text


def test_a_task_s_name_cannot_break_the_section():
    names = {"topic": "<b>", "mood": "x</details>"}
    tasks = [dataclasses.replace(found, task=names.get(found.task, found.task)) for found in transfer().tasks]
    text = section(transfer(tasks=tasks, groups=(("<b>",), ("x</details>", "length"))))
    assert "- Gained by sharing: &lt;b&gt; (Accuracy" in text
    assert "{&lt;b&gt;}; {x&lt;/details&gt;, length}" in text
    assert "<" not in text


def test_a_gain_is_in_points_of_a_score_and_a_share_of_an_error():
    assert gain_of(0.02, [0.001, -0.001], higher_is_better=True) == 0.02
    assert gain_of(-0.5, [2.0, 3.0], higher_is_better=False) == 0.2
    assert gain_of(0.5, [0.0], higher_is_better=False) == -0.5


def test_where_no_task_gained_the_card_says_so():
    assert verdicts(transfer(tasks=[task("topic", 0.01, OPEN)])) == [
        "Gained by sharing: none",
        "Lost by sharing: none",
        "Cannot be told apart: topic (Accuracy +0.0100 [-0.0011, +0.0322])",
    ]


def test_a_card_has_the_scores_of_both_models_and_their_budget():
    (row,) = [line for line in section(transfer()).splitlines() if line.startswith("| topic")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["topic", "Accuracy ↑", "0.8250", "0.8595", "+0.0345 [+0.0234, +0.0567]", GAINED, "1,821", "600"]
    assert "598 alone, 600 shared" in section(transfer())


def test_a_card_has_the_costs_of_one_model_and_of_all():
    lines = section(transfer()).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert rows[-4:] == [
        ["training", "61 s", "98 s", "1.60"],
        ["answers to all tasks, 512 texts", "1.25 s", "3.50 s", "2.80"],
        ["parameters", "22,000,001", "66,000,003", "3.00"],
        ["weights", "88.1 MB", "264.3 MB", "3.00"],
    ]
    unknown = transfer(shared=dataclasses.replace(transfer().shared, training=None))
    assert "| training" in section(unknown)
    assert "98 s" in section(unknown)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "what 2 seeds leave open"),
        ({"seeds": [42]}, "what chance does in training is not in them"),
        ({"split": "validation"}, "There is no test split"),
        ({"stopped_early": True}, "by its own validation scores"),
        ({}, "where not every row has one, it makes fewer steps"),
        (
            {"groups": (("a", "b"), ("c",)), "groups_gain": 0.0123},
            "{a, b}; {c} (the best of all partitions; estimated to give +1.23 on",
        ),
        ({"groups": (("a", "b"), ("c",)), "groups_exact": False}, "(joined by average linkage;"),
    ],
)
def test_a_card_says_what_must_be_known_to_read_it(change, told):
    assert told in section(transfer(**change))
    assert (told in section(transfer())) == (not change)


def test_a_card_without_a_comparison_does_not_ask_whether_sharing_helps():
    assert "sharing" not in render_model_card(record())


def test_the_pictures_and_files_of_a_comparison_are_in_its_section(tmp_path):
    text = section(with_pairs(), tmp_path)
    for name in ("transfer", "transfer_pairs"):
        assert f"(figures/{name}.png)" in text
        assert f"[figures/{name}.csv](figures/{name}.csv)" in text
        assert (tmp_path / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    run = record(**BARE, transfer=with_pairs())
    card = render_model_card(run, write_figures(run, tmp_path))
    assert card.count("(figures/transfer.png)") == 1
    assert "figures/transfer_pairs.png" not in section(transfer(), tmp_path / "other")


def test_every_table_of_the_section_stands_apart(tmp_path):
    lines = section(with_pairs(), tmp_path).splitlines()
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("|"):
            assert before == "" or before.startswith("|")
            assert after == "" or after.startswith("|")


def test_the_csv_has_every_seed_and_the_mean_with_its_interval(tmp_path):
    found = with_pairs()
    write_figures(record(**BARE, transfer=found), tmp_path)
    rows = read_csv(tmp_path / "figures/transfer.csv")
    topic = found.tasks[0]
    assert rows[1] == [
        "topic",
        "accuracy",
        "42",
        "0.8125",
        str(topic.shared[0]),
        str(topic.difference.by_seed[0]),
        *[""] * 3,
    ]
    assert rows[3][:4] == ["topic", "accuracy", "mean", "0.825"]
    assert [float(cell) for cell in rows[3][5:8]] == [0.0345, *topic.difference.interval]
    assert rows[3][8] == GAINED
    pairs = read_csv(tmp_path / "figures/transfer_pairs.csv")
    assert [row[:2] for row in pairs[1:3]] == [["topic", "mood"], ["topic", "length"]]
    assert float(pairs[1][3]) == topic.beside["mood"].mean


def test_colours_are_centred_at_nothing_and_better_is_blue_for_errors_too(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update({path.stem: figure}))
    errors = {"metric": "rmse", "title": "RMSE", "higher_is_better": False, "single": [1.0, 1.0], "shared": [0.9, 0.9]}
    less = dataclasses.replace(difference(-0.1, GAINED, gain=0.1), by_seed=[-0.1, -0.1])
    write_figures(
        record(**BARE, transfer=transfer(tasks=[task("length", 0, OPEN, **errors, difference=less)])), tmp_path
    )
    axes = drawn["transfer"].axes[0]
    image = axes.get_images()[0]
    assert image.norm.vmin == -image.norm.vmax
    assert image.get_array().tolist() == [[0.1, 0.1, 0.1]]
    assert [text.get_text() for text in axes.texts] == ["-0.1000", "-0.1000", "-0.1000 ↑"]


def test_a_score_near_nothing_is_coloured_in_points(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update({path.stem: figure}))
    found = dataclasses.replace(difference(0.02, OPEN), by_seed=[0.01, 0.03])
    none = task("topic", 0.0, OPEN, metric="r2", title="R2", single=[0.001, -0.001], difference=found)
    write_figures(record(**BARE, transfer=transfer(tasks=[none])), tmp_path)
    figure = drawn["transfer"]
    assert figure.axes[0].get_images()[0].get_array().tolist() == [[0.01, 0.03, 0.02]]
    bar = figure.axes[1]
    assert bar.get_ylabel() == "worse (-) or better (+):\npoints of a score, % of an error"
    assert bar.yaxis.get_major_formatter()(0.03) == "3.0"


def test_a_pair_that_was_not_trained_has_an_empty_cell(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: drawn.update({path.stem: figure}))
    write_figures(record(**BARE, transfer=with_pairs()), tmp_path)
    axes = drawn["transfer_pairs"].axes[0]
    assert axes.texts[0].get_text() == ""
    assert len(axes.texts) == 3 * 4


def test_a_model_that_diverged_has_a_card_too(tmp_path):
    broken = difference(math.nan, OPEN, interval=False)
    found = transfer(tasks=[task("topic", 0.0, OPEN, shared=[math.nan] * 2, difference=broken)])
    assert "- Cannot be told apart: topic (Accuracy +nan)" in section(found, tmp_path)


def test_the_terminal_has_all_of_it():
    text = describe_transfer(with_pairs())
    for part in ("Gained by sharing: topic", "| trained beside", "| parameters", "a proposal that was not trained"):
        assert part in text
