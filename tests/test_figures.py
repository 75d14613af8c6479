"""Figures and their csv files: the numbers are the run's, the files are the same every time."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
from conftest import read_csv
from matplotlib.figure import Figure
from records import METRICS, TASKS, record

from hf_multitask import Task
from hf_multitask.publishing import confusion_figure
from hf_multitask.publishing.canvas import MOST_NAMES
from hf_multitask.publishing.confusion_figure import draw_confusion
from hf_multitask.publishing.csv_files import CLASS_COLUMNS
from hf_multitask.publishing.curves import points
from hf_multitask.publishing.figures import write_figures

FEW = [task for task in TASKS if task.name in ("topic", "flags", "length")]
"""One task with a confusion, one with labels alone and one without: to write a picture takes long."""


def small(**overrides):
    return record(**{"tasks": FEW, "metrics": {task.name: METRICS[task.name] for task in FEW}, **overrides})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_figures(small(), folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """All figures of the record, by the name of their file."""
    figures = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, path, **options: figures.update({path.stem: figure}))
        write_figures(record(), tmp_path_factory.mktemp("pictures"))
    return figures


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw figures of a record that has only what is told, and return them by the name of their file."""
    figures = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.update({path.stem: figure}))

    def draw(**overrides):
        write_figures(record(**{"confusion": {}, "per_class": {}, "log_history": [], **overrides}), tmp_path)
        return figures

    return draw


def test_a_run_has_figures_of_the_labels_and_of_the_curves(written):
    folder, figures = written
    names = [f"confusion_{task.name}" for task in FEW if task.is_choice]
    names += [f"classes_{task.name}" for task in FEW if task.labels] + ["losses", "metrics", "learning_rates"]
    assert sorted(figure.image for figure in figures) == sorted(f"figures/{name}.png" for name in names)
    for figure in figures:
        assert (folder / figure.image).read_bytes().startswith(b"\x89PNG")
        assert bool(figure.table) == bool(figure.task)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        path for figure in figures for path in (figure.image, figure.table) if path
    }


def test_the_csv_of_a_confusion_has_the_records_labels_and_counts(written):
    folder, _ = written
    labels = list(TASKS[0].labels)  # one has a comma, a bar and a line break
    rows = read_csv(folder / "figures/confusion_topic.csv")
    assert rows[0] == ["right \\ given", *labels]
    assert [row[0] for row in rows[1:]] == labels
    assert [list(map(int, row[1:])) for row in rows[1:]] == record().confusion["topic"]


def test_the_csv_of_the_labels_has_the_records_scores(written):
    folder, _ = written
    rows = read_csv(folder / "figures/classes_topic.csv")
    assert rows[0] == ["label", "precision", "recall", "f1", "support"]
    assert {row[0]: [float(cell) for cell in row[1:]] for row in rows[1:]} == {
        label: list(scores.values()) for label, scores in record().per_class["topic"].items()
    }


def test_figures_are_the_same_bytes_every_time(written, tmp_path):
    folder, figures = written
    with mpl.rc_context({"axes.titlesize": 30, "font.size": 30}):
        write_figures(small(), tmp_path)
    for figure in figures:
        assert (tmp_path / figure.image).read_bytes() == (folder / figure.image).read_bytes(), figure.image


def test_drawing_leaves_matplotlib_as_it_was(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)  # which no figure has, and no earlier test left behind
    settings = [name for name in mpl.rcParams if name != "backend"]  # reading that would choose one
    before = {name: mpl.rcParams[name] for name in settings}
    write_figures(small(per_class={}, confusion={}), tmp_path)
    assert {name: mpl.rcParams[name] for name in settings} == before
    assert "matplotlib.pyplot" not in sys.modules, "which alone chooses a backend"


def test_the_cells_of_a_confusion_are_its_counts_and_coloured_by_the_row(pictures):
    (axes, _) = pictures["confusion_topic"].axes
    counts = record().confusion["topic"]
    assert [text.get_text() for text in axes.texts] == [f"{count:,}" for row in counts for count in row]
    shares = axes.images[0].get_array()
    assert shares.sum(axis=1).tolist() == pytest.approx([1.0] * 3)
    assert shares[2, 1] == pytest.approx(counts[2][1] / sum(counts[2]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("given label", "right label")


def test_a_confusion_of_many_labels_has_colours_alone_and_short_names(drawn):
    labels = tuple(f"a label that is very long and has number {index}" for index in range(50))
    figures = drawn(tasks=[Task(name="fine", labels=labels)], confusion={"fine": [[1] * 50] * 50})
    axes = figures["confusion_fine"].axes[0]
    assert list(axes.texts) == []
    names = [name.get_text() for name in axes.get_yticklabels()]
    assert len(names) == 50
    assert all(len(name) <= 24 and name.endswith("…") for name in names)


def test_figures_of_more_labels_than_have_room_are_bounded_and_without_names(drawn):
    labels = tuple(f"label {index}" for index in range(1000))
    counts = np.eye(1000, dtype=int).tolist()
    scores = {label: {**dict.fromkeys(CLASS_COLUMNS, 0.0), "f1": index / 1000} for index, label in enumerate(labels)}
    figures = drawn(tasks=[Task(name="fine", labels=labels)], confusion={"fine": counts}, per_class={"fine": scores})
    for name in ("confusion_fine", "classes_fine"):
        assert max(figures[name].get_size_inches()) < 15
        axes = figures[name].axes[0]
        assert list(axes.texts) == []
        assert len(axes.get_xticks()) + len(axes.get_yticks()) < 50
        assert len(axes.get_xticks(minor=True)) + len(axes.get_yticks(minor=True)) == 0
        assert "label " not in "".join(text.get_text() for text in axes.get_yticklabels())
    assert figures["confusion_fine"].axes[0].images[0].get_array().shape == (1000, 1000)
    (outline,) = figures["classes_fine"].axes[0].patches
    assert list(outline.get_data().values) == sorted(found["f1"] for found in scores.values())


def test_no_cell_is_lost_where_several_labels_share_one(drawn, monkeypatch):
    monkeypatch.setattr(confusion_figure, "MOST_CELLS", 50)
    counts = np.eye(MOST_NAMES + 1, dtype=int)
    counts[3, 60] = 3
    labels = tuple(map(str, range(len(counts))))
    figures = drawn(tasks=[Task(name="fine", labels=labels)], confusion={"fine": counts.tolist()})
    image = figures["confusion_fine"].axes[0].images[0]
    expected = np.eye(34)  # three labels to a cell, and two to the last
    expected[1, 20] = 0.75
    assert np.asarray(image.get_array()).tolist() == expected.tolist()
    assert list(image.get_extent()) == [-0.5, MOST_NAMES + 0.5, MOST_NAMES + 0.5, -0.5]


def test_all_labels_that_have_room_are_named(drawn):
    labels = tuple(f"label {index}" for index in range(MOST_NAMES))
    counts, scores = np.eye(MOST_NAMES, dtype=int).tolist(), dict.fromkeys(CLASS_COLUMNS, 0.5)
    found = {"confusion": {"fine": counts}, "per_class": {"fine": dict.fromkeys(labels, scores)}}
    figures = drawn(tasks=[Task(name="fine", labels=labels)], **found)
    for name in ("confusion_fine", "classes_fine"):
        assert [text.get_text() for text in figures[name].axes[0].get_yticklabels()] == list(labels)


def test_bars_are_the_f1_of_each_label_with_f1_and_support_beside_them(pictures):
    axes = pictures["classes_flags"].axes[0]
    scores = record().per_class["flags"].values()
    assert [bar.get_width() for bar in axes.patches] == [found["f1"] for found in scores]
    f1 = ["F1", *(f"{found['f1']:.2f}" for found in scores)]
    assert [text.get_text() for text in axes.texts] == [*f1, "support", *(f"{found['support']:,}" for found in scores)]


def test_curves_are_the_log(pictures):
    log = record().log_history
    losses = {axes.get_title(loc="left"): axes for axes in pictures["losses"].axes[:8]}
    train, evaluation = losses["topic"].lines
    assert (list(train.get_xdata()), list(train.get_ydata())) == points(log, "loss/topic")
    assert (list(evaluation.get_xdata()), list(evaluation.get_ydata())) == points(log, "eval_topic_loss")
    assert [list(line.get_ydata()) for line in losses["all tasks, weighted"].lines] == [
        [6.0 / step for step in range(1, 7)],
        [1.0, 0.5],
    ]
    metrics = {axes.get_title(loc="left"): axes for axes in pictures["metrics"].axes[:7]}
    for name, axes in metrics.items():
        assert axes.get_ylabel() == METRICS[name][0].title
        assert list(axes.lines[0].get_ydata()) == pytest.approx([0.3, 0.6])
    rates = {line.get_label(): list(line.get_ydata()) for line in pictures["learning_rates"].axes[0].lines}
    assert rates == {name: points(log, f"lr/{name}")[1] for name in ("layers.0", "heads")}


@pytest.mark.parametrize(("task", "best"), [("topic", (6, 0.6)), ("length", (3, 0.3))])  # length: lower is better
def test_the_best_value_of_a_metric_is_marked(pictures, task, best):
    (axes,) = (axes for axes in pictures["metrics"].axes if axes.get_title(loc="left") == task)
    ring = axes.lines[1]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx(best)
    assert [text.get_text() for text in axes.texts] == [f"{best[1]:.3f}"]


def test_a_value_that_is_no_number_is_never_the_best(drawn):
    log = [{"step": step, "eval_topic_f1_macro": value} for step, value in ((1, float("nan")), (2, 0.5), (3, 0.4))]
    (axes,) = drawn(log_history=log)["metrics"].axes
    assert (axes.lines[1].get_xdata()[0], axes.lines[1].get_ydata()[0]) == (2, 0.5)


def test_the_names_of_many_groups_are_spread_from_the_first_layer_to_the_last(drawn):
    names = ["heads", *(f"layers.{index}" for index in range(47, -1, -1)), "embeddings"]
    log = [{"step": step, **{f"lr/{name}": 1e-5 for name in names}} for step in (1, 2)]
    (legend,) = drawn(log_history=log)["learning_rates"].legends
    told = [text.get_text() for text in legend.get_texts()]
    assert len(told) == 14
    assert told[:2] == ["heads", "layers.47"]
    assert told[-2:] == ["layers.0", "embeddings"]


def test_a_log_of_zeros_and_of_one_line_and_of_no_numbers_is_drawn(tmp_path):
    log = [{"step": 1, "loss": float("nan"), "lr/heads": 0.0, "eval_topic_f1_macro": float("nan")}]
    figures = write_figures(record(log_history=log, confusion={}, per_class={}), tmp_path)
    assert [figure.image for figure in figures] == [f"figures/{n}.png" for n in ("losses", "metrics", "learning_rates")]


def test_a_run_without_a_log_and_without_scores_has_no_figures(tmp_path):
    assert write_figures(record(log_history=[], confusion={}, per_class={}), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_names_that_no_file_can_have_give_two_files_all_the_same(tmp_path):
    tasks = [Task(name="a/b", labels=("x", "y")), Task(name="A b", labels=("x", "y"))]
    run = record(
        tasks=tasks, confusion={"a/b": [[1, 0], [0, 1]], "A b": [[2, 0], [0, 2]]}, per_class={}, log_history=[]
    )
    figures = write_figures(run, tmp_path)
    assert [figure.image for figure in figures] == ["figures/confusion_a_b.png", "figures/confusion_A_b_2.png"]
    assert [read_csv(tmp_path / figure.table)[1][1] for figure in figures] == ["1", "2"]


@pytest.mark.parametrize("label", ["$x", "$a$ & b_{1", "_hidden", "日本語", "two\nlines", "🎉", "$\\nope{$"])
def test_any_label_can_be_drawn(tmp_path, label):
    draw_confusion([label, "other"], [[1, 2], [0, 0]], f"{label}: title", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
