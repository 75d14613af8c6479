"""Model cards: the committed one is whole, and a rendered one tells what the run was, number by number."""

import re
from pathlib import Path

import pytest
import transformers.dynamic_module_utils
from conftest import tiny_bert
from huggingface_hub import ModelCard
from records import METRICS, TASKS, record

from hf_multitask import Task
from hf_multitask.publishing.figures import Illustration
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.result_tables import MOST_CLASSES
from hf_multitask.publishing.run_record import LOSS

CARDS = Path(__file__).parents[1] / "model_cards"


def render(run, figures=()):
    return render_model_card(run, figures)


def tables(text):
    """Per title (the first cell of a table, where tables of one title follow each other), row -> column -> cell."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    header = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if header is None:
            header = cells
        elif not set(cells[0]) <= {"-"}:
            found.setdefault(header[0], {})[cells[0]] = dict(zip(header[1:], cells[1:], strict=True))
    return found


def written(label):
    """A label as a cell has it."""
    return label.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace(">", "&gt;").strip()


@pytest.fixture(scope="module")
def card():
    return tables(render(record()))


def test_the_committed_card_reports_both_tasks_of_the_sample_run():
    card = ModelCard.load(CARDS / "sample.md")
    scores = {(r.task_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert {task for task, _ in scores} == {"topic", "sentiment"}
    assert len(scores) == 6
    assert all(scores[task, "accuracy"] >= 0.85 for task in ("topic", "sentiment"))
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(("split", "title"), [("eval", "validation scores"), ("test", "test scores")])
def test_the_card_has_every_score_of_both_splits_with_its_interval(card, split, title):
    run = record()
    for task in TASKS:
        row = dict(card[title][task.name])
        assert row.pop("Loss") == f"{run.results[split][f'{split}_{task.name}_loss']:.4f}"
        assert [header.rstrip(" ↑↓") for header in row] == [metric.title for metric in METRICS[task.name]]
        for metric, cell in zip(METRICS[task.name], row.values(), strict=True):
            expected = f"{run.results[split][f'{split}_{task.name}_{metric.name}']:.4f}"
            if split == "test" and (interval := run.intervals.get(f"{task.name}_{metric.name}")):
                expected += f" [{interval[0]:.4f}, {interval[1]:.4f}]"
            assert cell == expected


@pytest.mark.parametrize("split", ["eval", "test"])
def test_the_card_has_average_and_worst_of_both_splits(split):
    scores = record().results[split]
    text = f"{scores[f'{split}_average']:.4f} on average, by loss weight; the worst is {scores[f'{split}_worst']:.4f}."
    assert render(record()).count(text) == 1


def test_the_card_has_every_score_of_the_earlier_tasks_before_and_after(card):
    run = record()
    rows = {}
    for task, split, title in (
        (TASKS[1], "eval", "validation"),
        (TASKS[2], "test", "test"),
        (TASKS[3], "test", "test"),
    ):
        for metric in [*METRICS[task.name], LOSS]:
            key = f"{split}_{task.name}_{metric.name}"
            rows[f"{task.name}: {metric.title}"] = {
                "split": title,
                "before": f"{run.before[split][key]:.4f}",
                "after": f"{run.results[split][key]:.4f}",
            }
    assert {name.rstrip(" ↑↓"): row for name, row in card["earlier task"].items()} == rows


@pytest.mark.parametrize(
    ("retention", "sentence"),
    [("distill", "(distillation)"), ("replay", "(replay)"), ("frozen", "was frozen"), ("none", "Nothing kept those")],
)
def test_the_card_says_how_earlier_tasks_were_kept(retention, sentence):
    assert sentence in render(record(retention=retention))
    assert "There were no rows to score them on." in render(record(retention=retention, before={}))


def test_arrows_say_which_way_a_metric_is_good(card):
    assert set(card["test scores"]["length"]) == {"RMSE ↓", "foreign", "Loss"}
    assert set(card["test scores"]["alike"]) == {"Spearman ↑", "Loss"}


def test_the_card_has_every_number_of_the_calibration():
    text = render(record()).partition("### Calibration")[2].partition("## By label")[0]
    calibration = tables(text)
    for name, found in record().calibration.items():
        assert calibration["task"][name] == {
            "temperature": f"{found['temperature']:.4g}",
            "ECE before": f"{found['ece_before']:.4f}",
            "ECE": f"{found['ece_after']:.4f}",
            "NLL before": f"{found['nll_before']:.4f}",
            "NLL": f"{found['nll_after']:.4f}",
        }
    thresholds = record().calibration["flags"]["thresholds"]
    assert [row["given from"] for row in calibration["flags"].values()] == [f"{p:.4f}" for p in thresholds]


def test_the_card_has_the_scores_of_every_label():
    for name, classes in record().per_class.items():
        shown = tables(render(record()).partition(f"### {name}")[2].partition("\n#")[0])[name]
        for label, scores in classes.items():
            row = shown[written(label)]
            assert row == {
                "precision": f"{scores['precision']:.4f}",
                "recall": f"{scores['recall']:.4f}",
                "F1": f"{scores['f1']:.4f}",
                "support": str(scores["support"]),
            }


def test_the_card_has_the_rows_of_every_label_dataset_and_epoch(card):
    run = record()
    for split, tasks in run.label_counts.items():
        for name, counts in tasks.items():
            for label, count in counts.items():
                assert card["labelled"][f"{name}: {written(label)}"][split] == str(count)
    for name, sizes in run.sizes.items():
        assert {split: card["rows of"][name][split] for split in sizes} == {s: str(n) for s, n in sizes.items()}
        assert card["rows of"][name]["from"] == run.sources[name]
        for epoch, rows in enumerate(run.epoch_rows, start=1):
            assert card["dataset"][name][f"rows of epoch {epoch}"] == str(rows[name])
    assert "left out: 987\n" in render(run)
    assert "datasets: temperature (2)\n" in render(run)


def test_the_card_has_every_summary_of_targets_that_are_numbers(card):
    for split, tasks in record().target_summaries.items():
        for name, values in tasks.items():
            cells = card["targets of"][f"{name}, {split}"]
            assert {key: float(cell.replace(",", "")) for key, cell in cells.items()} == values[name]


def test_the_card_has_the_groups_the_arguments_and_the_run_time(card):
    assert card["group"]["layers.0"] == {"parameters": "10", "learning rate": "1e-05", "weight decay": "0.01"}
    assert card["group"]["heads"] == {"parameters": "4", "learning rate": "0.0001", "weight decay": "0"}
    text = render(record())
    assert all(f"- {line}\n" in text for line in ("`seed`: 42", "`max_length`: 64 tokens", "Training took 12,345 s"))


def test_the_card_has_each_tasks_kind_and_what_differs_from_the_default():
    rows = tables(render(record()).partition("## Tasks and data")[2])["task"]
    assert [row["kind"] for row in rows.values()] == [task.problem_type.replace("_", " ") for task in TASKS]
    assert {name: row["settings"] for name, row in rows.items()} == {
        "topic": "-",
        "mood": "loss weight 0.5; head hidden 8 and dropout 0.25",
        "stars": "-",
        "flags": "class weights 1.5 2.25",
        "places": "-",
        "length": "target mean 31.5; target std 4.125",
        "alike": "score range 1 5",
    }


def test_the_model_index_has_every_metric_of_the_test_split_under_the_hubs_task_types():
    index = ModelCard(render(record())).data.eval_results
    scores = record().results["test"]
    assert {(r.task_name, r.metric_type, r.metric_name): r.metric_value for r in index} == {
        (name, metric.name, metric.title): scores[f"test_{name}_{metric.name}"]
        for name, metrics in METRICS.items()
        for metric in metrics
    }
    assert {(r.task_name, r.task_type) for r in index} == {
        (
            task.name,
            {"places": "token-classification", "alike": "sentence-similarity"}.get(task.name, "text-classification"),
        )
        for task in TASKS
    }
    assert {r.dataset_split for r in index} == {"test"}


def test_a_score_that_is_no_number_is_in_the_table_and_not_in_the_index():
    run = record(tasks=TASKS[:1], results={"test": {"test_topic_f1_macro": float("nan"), "test_topic_accuracy": 0.5}})
    assert [r.metric_type for r in ModelCard(render(run)).data.eval_results] == ["accuracy"]
    assert tables(render(run))["test scores"]["topic"] == {"Macro F1 ↑": "nan [0.1825, 0.1832]"} | {
        "Accuracy ↑": "0.5000 [0.1839, 0.1846]"
    }


def test_a_task_with_many_labels_is_told_by_its_top_labels_and_by_links():
    labels = tuple(f"label_{index}" for index in range(MOST_CLASSES + 5))
    counts = {label: 100 + index for index, label in enumerate(labels)}
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 5}
    run = record(
        tasks=[Task(name="fine", labels=labels)],
        label_counts={"train": {"fine": counts}},
        per_class={"fine": dict.fromkeys(labels, scores)},
    )
    figure = Illustration("F1 by label", "figures/classes_fine.png", "fine", "figures/classes_fine.csv")
    text = render(run, [figure])
    rows = tables(text)
    assert "fine" not in rows
    assert "![F1 by label](figures/classes_fine.png)" in text
    assert "[figures/classes_fine.csv](figures/classes_fine.csv)" in text
    told = {row.removeprefix("fine: "): int(cells["train"]) for row, cells in rows["labelled"].items()}
    assert told.pop("10 more") == sum(counts[label] for label in labels[:10])
    assert told == {label: counts[label] for label in labels[10:]}
    assert rows["task"]["fine"]["labels"].endswith("label_9, 10 more")


def test_figures_of_the_run_are_in_the_card():
    text = render(record(), [Illustration("Loss", "figures/losses.png")])
    assert "![Loss](figures/losses.png)" in text.partition("## Training")[2]


def test_the_code_of_a_card_runs_for_every_kind_of_task(tmp_path, monkeypatch, tokenizer, capsys):
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    model = tiny_bert(tasks=TASKS)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    code = re.search(r"```python\n(.*?)```", render(record()), re.DOTALL)[1]
    exec(code.replace('"..."', repr(str(tmp_path / "model"))), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [task.name for task in TASKS]


@pytest.mark.parametrize("kind", sorted({task.problem_type for task in TASKS}))
def test_the_code_of_a_card_shows_what_its_kinds_of_task_need_and_no_more(kind):
    run = record(tasks=[task for task in TASKS if task.problem_type == kind])
    code = re.search(r"```python\n(.*?)```", render(run), re.DOTALL)[1]
    assert ("model.probabilities(" in code) == (kind not in ("regression", "similarity"))
    assert ("in the units" in code) == (kind == "regression")
    assert ("pair_input_ids" in code) == (kind == "similarity")
    compile(code, "card", "exec")


@pytest.mark.parametrize(("base_model", "link"), [("someone/some-bert", True), ("my-folder", False)])
def test_only_a_backbone_of_the_hub_is_linked(base_model, link):
    card = ModelCard(render(record(base_model=base_model)))
    assert ("huggingface.co/" + base_model in card.text) is link
    assert card.data.base_model == (base_model if link else None)


def test_a_run_without_any_evaluation_has_a_card_too():
    bare = {
        "retention": "",
        "before": {},
        "results": {},
        "intervals": {},
        "calibration": {},
        "confusion": {},
        "per_class": {},
        "log_history": [],
    }
    text = render(record(**bare, samples=[], mixing="", skipped_rows=0, target_summaries={}))
    assert "How to load it" in text
    for absent in (
        "test split",
        "validation split",
        "Calibration",
        "By label",
        "left out",
        "Mixing",
        "figures/",
        "earlier",
    ):
        assert absent not in text
