"""Model cards: the committed one is whole, and a rendered one tells what the run was, number by number."""

import dataclasses
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from records import METRICS, TASKS, record

from hf_multitask import Task
from hf_multitask.publishing.data_tables import MOST_LISTED
from hf_multitask.publishing.figures import Illustration
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.result_tables import MOST_CLASSES, describe_scores
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


def test_a_task_without_a_temperature_is_not_in_the_card_as_calibrated():
    calibration = record().calibration
    untold = {name: {**found, "temperature": None} for name, found in calibration.items()}
    text = render(record(calibration={**calibration, "flags": untold["flags"]}))
    assert next(iter(tables(text.partition("### Calibration")[2])["task"])) == "topic"
    assert "flags" not in text.partition("### Calibration")[2].partition("Probability from")[0]
    assert "ECE" not in render(record(calibration=untold))
    assert "# calibrated" not in render(record(calibration=untold))
    assert "| flags " in render(record(calibration=untold)).partition("### Calibration")[2].partition("## By")[0]
    assert "### Calibration" not in render(record(calibration={"topic": untold["topic"]}))


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
        link = f"[{run.sources[name]}](https://huggingface.co/datasets/{run.sources[name]})"
        assert card["rows of"][name]["from"] == (link if name in run.hub_datasets else run.sources[name])
        for epoch, rows in enumerate(run.epoch_rows, start=1):
            assert card["dataset"][name][f"rows of epoch {epoch}"] == str(rows[name])
    assert "left out: 987\n" in render(run)
    assert "datasets: temperature (2)\n" in render(run)


def test_the_card_has_every_summary_of_targets_that_are_numbers(card):
    for split, tasks in record().target_summaries.items():
        for name, values in tasks.items():
            cells = card["targets of"][f"{name}, {split}"]
            assert {key: float(cell.replace(",", "")) for key, cell in cells.items()} == values[name]


def test_the_card_has_a_row_of_each_depth_with_its_parameters_rate_and_decays(card):
    assert card["group"] == {
        "layers.0": {"parameters": "1,290", "learning rate": "1e-05", "weight decay": "0.01 (0 for 56)"},
        "heads": {"parameters": "4", "learning rate": "0.0001", "weight decay": "0"},
    }
    alike = tables(render(record(groups=[("heads", 1, 1e-4, 0.0), ("heads", 2, 1e-4, 0.0)])))["group"]["heads"]
    assert alike["parameters"] == "3"


def test_the_card_has_the_arguments_and_what_the_run_stood_on():
    run = record()
    lines = ["`seed`: 42", "`max_length`: 64 tokens"]
    lines += ["Hardware: 3 processes on Some GPU, bfloat16 mixed with float32"]
    lines += [", ".join(f"{name} {version}" for name, version in run.versions.items())]
    lines += ["Energy and emissions were not measured, and are not estimated here"]
    training = render(run).partition("## Training")[2]
    assert all(f"- {line}\n" in training for line in lines)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0 s"),
        (119.4, "119 s"),
        (120.0, "2 min"),
        (7169.0, "119 min"),
        (12345.0, "3 h 26 min"),
        (360_000.0, "100 h 0 min"),
    ],
)
def test_the_card_has_the_time_and_the_speed_of_training(seconds, told):
    measured = {"train_runtime": seconds, "train_samples_per_second": 1234.56}
    what = "evaluations and checkpoints included, 1,234.6 training rows per second\n"
    assert f"- Time: {told}, {what}" in render(record(results={"train": measured}))
    assert f"- Time: {told}, since it was resumed, {what}" in render(record(results={"train": measured}, resumed=True))


def test_the_card_tells_steps_where_they_were_asked_for_and_where_training_ended():
    ends = [{"train_runtime": 9.0, "step": step, "epoch": step / 9872} for step in (617, 1234)]  # it was resumed
    text = render_model_card(record(log_history=ends))
    assert "- Ended at step 1,234, epoch 0.125\n" in text


def test_an_average_is_said_to_be_of_the_tasks_that_were_scored():
    keys = ("eval_topic_f1_macro", "eval_mood_f1_macro", "eval_average", "eval_worst")
    some = dict.fromkeys(keys, 0.5)
    assert "Primary metrics of the 2 tasks with rows there: 0.5000" in describe_scores(
        record(results={"eval": some}), "eval"
    )
    del some["eval_mood_f1_macro"]
    assert "Primary metrics" not in describe_scores(record(results={"eval": some}), "eval")


def test_intervals_of_a_validation_split_stand_behind_its_scores_where_there_is_no_other():
    run = record()
    alone = dataclasses.replace(run, results={"eval": run.results["eval"]})
    low, high = run.intervals["topic_f1_macro"]
    assert f"[{low:.4f}, {high:.4f}]" in describe_scores(alone, "eval")
    assert f"[{low:.4f}, {high:.4f}]" not in describe_scores(run, "eval")


def test_names_of_tasks_are_text_in_headings_and_of_figures():
    name = "a]b <i>"
    task, figure = Task(name=name, labels=("x", "y")), Illustration(f"{name}: right", "a.png", name, "a.csv")
    text = render_model_card(record(tasks=[task], per_class={}, calibration={}, confusion={}), [figure])
    assert r"#### a\]b \<i\>" in text
    assert r"![a\]b \<i\>: right](a.png)" in text


def test_the_first_screen_says_what_each_task_tells_and_how_well(card):
    run, shown = record(), card["task"]
    for task in TASKS:
        metric = METRICS[task.name][0]
        low, high = run.intervals[f"{task.name}_{metric.name}"]
        arrow = "↑" if metric.higher_is_better else "↓"
        value = run.results["test"][f"test_{task.name}_{metric.name}"]
        assert shown[f"**{task.name}**"]["score, test"] == f"{metric.title} {arrow} {value:.4f} [{low:.4f}, {high:.4f}]"
        assert shown[f"**{task.name}**"]["what it tells"] == written(task.description)
    assert {name.strip("*"): row["answers"] for name, row in shown.items() if "answers" in row} == {
        "topic": "News, Opinion, a\\|b,  &lt;c&gt;",
        "mood": "n, p",
        "stars": "in order: 1, 2, 3",
        "flags": "any of: spam, rude",
        "places": "for each word: O, B-LOC, I-LOC",
        "length": "a number",
        "alike": "cosine of two texts",
    }


def test_the_first_screen_names_a_metric_that_all_tasks_share_once():
    run = record(tasks=TASKS[1:3])
    assert set(tables(render(run))["task"]["**mood**"]) == {"answers", "Macro F1 ↑, test"}
    validation = record(tasks=TASKS[1:3], results={"eval": record().results["eval"]})
    assert set(tables(render(validation))["task"]["**mood**"]) == {"answers", "Macro F1 ↑, validation"}
    assert set(tables(render(record(tasks=TASKS[1:3], results={})))["task"]["**mood**"]) == {"answers"}


def test_the_first_screen_has_the_facts_of_the_model():
    text = render(record())
    facts = ["Embedding: 333 numbers", "Reads at most 64 tokens", "Language: en, no", "Licence: apache-2.0"]
    facts += ["Parameters: 7,654,321, of which 1,294 learnt"]
    facts += ["Trained on: news_folder, [someone/films](https://huggingface.co/datasets/someone/films)"]
    assert all(f"\n- {fact}" in text for fact in facts)
    assert "all of which learnt" in render(record(parameters=1294))
    assert "Licence" not in render(record(license=None))


def test_the_card_has_each_tasks_kind_and_what_differs_from_the_default():
    rows = tables(render(record()).partition("## Data")[2])["task"]
    assert [row["kind"] for row in rows.values()] == [task.problem_type.replace("_", " ") for task in TASKS]
    assert [row["labels"] for row in rows.values()] == [str(len(task.labels) or "-") for task in TASKS]
    assert [row["rows from"] for row in rows.values()] == [", ".join(record().task_datasets[t.name]) for t in TASKS]
    assert {name: row["settings"] for name, row in rows.items()} == {
        "topic": "",
        "mood": "loss weight 0.5; head hidden 8 and dropout 0.25",
        "stars": "",
        "flags": "class weights 1.5 2.25",
        "places": "",
        "length": "target mean 31.5; target std 4.125",
        "alike": "score range 1 5",
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
    figure = Illustration("F1 by label", "figures/classes_fine.png", "fine", "figures/classes_fine.csv", True)
    text = render(run, [figure])
    rows = tables(text)
    assert "fine" not in rows
    assert {label: int(cells["train"]) for label, cells in rows["labels of fine"].items()} == counts
    assert f"<summary>All {len(labels)} labels of fine</summary>" in text
    assert "![F1 by label](figures/classes_fine.png)" in text
    assert "[figures/classes_fine.csv](figures/classes_fine.csv)" in text
    told = {row.removeprefix("fine: "): int(cells["train"]) for row, cells in rows["labelled"].items()}
    assert told.pop("10 more") == sum(counts[label] for label in labels[:10])
    assert told == {label: counts[label] for label in labels[10:]}
    assert rows["task"]["**fine**"]["answers"].endswith("label_5, 14 more")


def test_labels_too_many_to_list_are_counted_by_their_number():
    labels = [f"label_{index}" for index in range(MOST_LISTED + 1)]
    run = record(tasks=[Task(name="fine", labels=labels)], label_counts={"train": {"fine": dict.fromkeys(labels, 100)}})
    assert "labels of fine" not in tables(render(run))
    assert tables(render(run))["labelled"]["fine: 191 more"] == {"train": "19100"}


def test_a_figure_that_tells_what_a_table_tells_is_linked_as_csv_alone():
    own = [Illustration(name, f"figures/{name}.png", "mood", f"figures/{name}.csv", name == "classes") for name in "ab"]
    own.append(Illustration("classes", "figures/classes.png", "mood", "figures/classes.csv", True))
    text = render(record(), own)
    assert "figures/a.png" in text
    assert "figures/classes.png" not in text
    assert "[figures/classes.csv](figures/classes.csv)" in text


def test_figures_of_the_run_are_in_the_card():
    text = render(record(), [Illustration("Loss", "figures/losses.png")])
    assert "![Loss](figures/losses.png)" in text.partition("## Training")[2]


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
    assert "## How to use it" in text
    assert "nothing was evaluated" in text
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


def test_the_card_of_a_run_under_way_has_the_scores_so_far_and_says_that_it_is():
    bare = {"intervals": {}, "calibration": {}, "confusion": {}, "per_class": {}, "samples": []}
    scores = record().results["eval"]
    text = render(record(**bare, results={"eval": scores}, unfinished="step 3 of 6"))
    assert "**Training is under way**: this is step 3 of 6." in text
    for task in TASKS:
        score = f"{scores[f'eval_{task.name}_{METRICS[task.name][0].name}']:.4f}"
        assert tables(text)["task"][f"**{task.name}**"]["score, validation"].endswith(score)
    assert {result.dataset_split for result in ModelCard(text).data.eval_results} == {"validation"}
    assert "Time: " not in text
    assert "under way" not in render(record())


def test_a_run_with_a_log_alone_has_a_card_with_its_curves():
    bare = {"results": {}, "intervals": {}, "calibration": {}, "confusion": {}, "per_class": {}, "samples": []}
    text = render(record(**bare), [Illustration("Loss", "figures/losses.png")])
    assert "nothing was evaluated" in text
    assert "![Loss](figures/losses.png)" in text
    assert "model-index" not in text


def test_a_run_of_which_next_to_nothing_is_known_has_a_card_without_gaps():
    unknown = {"label_counts": {}, "target_summaries": {}, "sizes": {}, "sources": {"data": "unknown"}, "groups": []}
    unknown |= {"hub_datasets": [], "task_datasets": {}, "pair_tasks": [], "embedding_size": 0, "parameters": 0}
    unknown |= {"machine": None, "max_length": 0, "epoch_rows": [], "arguments": {}, "mixing": "", "languages": []}
    text = render(record(**unknown, base_model="bert"))
    for absent in ("unknown\n", "Trained on", "at most 0", "`max_length`", "Layer-wise", "rows of", "Hardware"):
        assert absent not in text.partition("\n# run")[2]
    assert "texts that this card cannot name" in text
    compile(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1], "card", "exec")


def test_a_run_with_a_validation_split_alone_shows_its_scores_at_once():
    results = {split: scores for split, scores in record().results.items() if split != "test"}
    text = render(record(results=results))
    assert "<details><summary>Scores" not in text


def test_every_markdown_table_stands_apart():
    """A table that follows a line of text, or that is followed by one, is text to a reader of Markdown."""
    lines = render(record(), [Illustration("Loss", "figures/losses.png")]).splitlines()
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("|"):
            assert before == "" or before.startswith("|")
            assert after == "" or after.startswith("|")


@pytest.mark.parametrize("count", [20, 21])
def test_with_many_tasks_what_the_card_tells_of_each_is_folded(count):
    tasks = [Task(name=f"t{index}<i>", labels=("x", "y")) for index in range(count)]
    of_label = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3.0}
    scores = {task.name: dict.fromkeys(task.labels, of_label) for task in tasks}
    figures = [Illustration(f"{task.name}: right", f"{i}.png", task.name, f"{i}.csv") for i, task in enumerate(tasks)]
    text = render_model_card(record(tasks=tasks, per_class=scores, calibration={}, confusion={}), figures)
    folded = re.findall(r"<details><summary>(.*?)</summary>\n\n(.*?)\n\n</details>\n", text, re.DOTALL)
    assert len(folded) == text.count("<details>") == text.count("</details>")
    bodies = dict(folded)
    for index, task in enumerate(tasks):
        heading, name = rf"#### t{index}\<i\>", f"t{index}&lt;i&gt;"
        assert (heading in text, name in bodies) == ((True, False) if count == 20 else (False, True)), task.name
        if count > 20:
            assert f"]({index}.png)" in bodies[name]
            assert f"[{index}.csv]" in bodies[name]
