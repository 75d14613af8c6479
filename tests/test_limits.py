"""The limits in a card are those of its run."""

import re

from records import METRICS, TASKS, record

from hf_multitask import Task
from hf_multitask.publishing.limits import FEW_ROWS, MOST_NAMED, describe_limits
from hf_multitask.publishing.model_card import render_model_card


def limits(**overrides):
    return "\n".join(describe_limits(record(**overrides)))


def counted(counts):
    """A record's fields for one task with so many training rows of each label."""
    return {"tasks": [Task(name="fine", labels=tuple(counts))], "label_counts": {"train": {"fine": counts}}}


def test_every_limit_is_in_the_card():
    text = render_model_card(record()).partition("## Limits")[2].partition("\n## ")[0]
    assert [line[2:] for line in text.splitlines() if line.startswith("- ")] == describe_limits(record())


def test_labels_with_few_training_rows_are_named_with_their_number():
    found = limits(**counted({"many": FEW_ROWS, "few": FEW_ROWS - 1, "none": 0}))
    assert (
        f"Labels of fine with fewer than {FEW_ROWS} training rows, which it can hardly know: none (0), few (29)."
        in found
    )
    assert "fewer than" not in limits(**counted({"a": FEW_ROWS, "b": FEW_ROWS}))


def test_of_many_labels_with_few_rows_the_rarest_are_named():
    counts = {f"l{index}": index for index in range(MOST_NAMED + 3)}
    assert "l8 (8), l9 (9) and 3 more." in limits(**counted(counts))


def test_labels_of_streamed_rows_are_not_judged_by_the_first_ones():
    counts = counted({"a": 1, "b": 1})
    assert "fewer than" not in limits(**counts, streamed=["films"], task_datasets={"fine": ["films"]})


def test_a_wide_interval_is_told_and_a_narrow_one_is_not():
    intervals = {"topic_f1_macro": (0.5123, 0.6234), "topic_accuracy": (0.1, 0.9), "mood_f1_macro": (0.5, 0.6)}
    found = limits(intervals=intervals)
    assert (
        "The test rows of topic are too few to tell more than that its Macro F1 is between 0.5123 and 0.6234." in found
    )
    assert found.count("too few") == 1


def test_an_error_in_the_users_units_has_no_width_that_is_wide():
    assert METRICS["length"][0].higher_is_better is False
    assert "too few" not in limits(intervals={"length_rmse": (1.0, 9.0)})


def test_scores_without_intervals_and_without_a_test_split_are_told():
    assert "no confidence intervals" in limits(intervals={})
    assert "no confidence intervals" not in limits()
    validation = {"eval": record().results["eval"]}
    assert "There is no test split." in limits(results=validation)
    assert "There is no test split." not in limits()


def test_what_was_fitted_or_chosen_on_the_validation_split_is_told():
    assert "Temperatures and thresholds (of flags) were fitted" in limits()
    assert "fitted" not in limits(calibration={})
    assert "Not calibrated: the probabilities of mood, stars and places." in limits()
    before = [Task(name="mood", labels=("n", "p"), temperature=1.5)]
    assert "Not calibrated" not in limits(tasks=before)
    assert "by them the checkpoint was chosen" in limits(chosen_by="average")
    assert "by them the checkpoint was chosen" not in limits()


def test_a_task_whose_validation_rows_told_no_temperature_is_named():
    calibration = record().calibration
    flags = {**calibration["flags"], "temperature": None}
    told = "Not calibrated: the probabilities of flags. The validation rows told no temperature"
    assert "told no temperature" not in limits()
    found = limits(calibration={**calibration, "flags": flags})
    assert told in found
    assert "Temperatures and thresholds (of flags) were fitted" in found
    found = limits(calibration={"flags": flags})
    assert told in found
    assert "Thresholds (of flags) were fitted" in found
    assert "Temperatures" not in found
    assert "of calibration" not in found


def test_tasks_of_pairs_and_of_some_datasets_are_told():
    assert "no meaning for a single text: alike." in limits()
    assert "single text" not in limits(pair_tasks=[])
    assert "Not every task was trained on every dataset" in limits()
    everywhere = {task.name: ["news", "films"] for task in TASKS}
    assert "Not every task" not in limits(task_datasets=everywhere)


PAIRS = {
    "sizes": {"sick": {"train": 9, "test": 5}, "sick:similarity": {"train": 9, "test": 5}},
    "sources": {"sick": "sick"},
    "hub_datasets": [],
    "task_datasets": {task.name: ["sick"] for task in TASKS},
}


def test_a_dataset_that_is_read_in_two_forms_is_one():
    assert "Not every task" not in limits(**PAIRS)
    assert "trained on sick, and scored" in limits(**PAIRS)
    assert re.search(r"\| sick:similarity +\| +9 \| +0 \| +5 \| sick +\|", render_model_card(record(**PAIRS)))


def test_tasks_without_training_rows_are_told_and_their_labels_are_not_called_rare():
    counts = {"train": {"topic": {"News": 0, "Opinion": 0, "a|b, \n<c>": 0}, "mood": {"n": 9, "p": 99}}}
    numbers = {"train": {"length": {}, "alike": {"alike": {"count": 9}}}}
    found = limits(label_counts=counts, target_summaries=numbers)
    assert "Without a training row in this run: topic, stars, flags, places and length." in found
    streamed = limits(label_counts=counts, target_summaries=numbers, streamed=["news"])
    assert "Without a training row" not in streamed, "a stream may have some behind its first"
    assert "Labels of topic" not in found
    assert "Labels of mood" in found


def test_a_dataset_that_was_only_scored_was_not_trained_on():
    sizes = {"news": {"train": 9, "test": 5}, "films": {"test": 5}}
    assert "trained on news_folder, and scored on texts from there and from someone/films" in limits(sizes=sizes)
    card = render_model_card(record(sizes=sizes))
    assert "- Trained on: news_folder\n" in card
    assert "datasets:" not in card.partition("model-index")[0]


def test_a_temperature_that_makes_the_calibration_error_larger_is_told():
    better = {name: {**found, "ece_before": 0.5, "ece_after": 0.1} for name, found in record().calibration.items()}
    assert "error larger" not in limits(calibration=better)
    worse = better | {"topic": {**better["topic"], "ece_after": 0.6}}
    assert "The temperature of topic, that of the best likelihood, made the" in limits(calibration=worse)


def test_how_much_of_a_text_is_read_is_told():
    assert "At most 64 tokens of a text are read, of a pair that is read together of both." in limits()
    assert "At most 64 tokens of a text are read. " in limits(pair_tasks=[])


def test_where_the_texts_came_from_is_told():
    assert "trained on news_folder and someone/films, and scored on texts from there" in limits()
    assert "scored" not in limits(results={})
