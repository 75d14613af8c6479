"""What a person reads on the terminal is what the run said."""

import pytest
from records import record

from hf_multitask import Task
from hf_multitask.publishing.report import describe_data
from hf_multitask.publishing.samples import describe_samples
from hf_multitask.tables import format_table, four_digits


def lines_of(task, answer, scores=None):
    """What is told of a text with one answer; `scores` are those of all labels, by label."""
    ranked = sorted((scores or {}).items(), key=lambda pair: -pair[1])
    scores = {"mood": [{"label": label, "score": score} for label, score in ranked]}
    return describe_samples([(("one", "two"), {"mood": answer}, scores)], [Task(name="mood", **task)]).splitlines()


def test_neither_a_cell_nor_a_header_can_break_its_table():
    table = format_table(["a|b", "rows"], [["a|b\nc\r\nd", 1]])
    assert table.splitlines() == ["| a\\|b     | rows |", "| -------- | ---: |", "| a\\|b c d |    1 |"]


def test_samples_name_the_likeliest_label_first():
    lines = lines_of({"labels": ("bad", "good")}, {"label": "good", "score": 0.75}, {"bad": 0.25, "good": 0.75})
    assert lines == ["> one / two", "  mood  good 75.0%   bad 25.0%"]


def test_samples_name_the_answer_first_where_it_is_not_the_likeliest_label():
    task = {"problem_type": "ordinal", "labels": ("1", "2", "3")}
    lines = lines_of(task, {"label": "2", "score": 0.2}, {"1": 0.4, "2": 0.2, "3": 0.4})
    assert lines[1] == "  mood  2 20.0%   1 40.0%   3 40.0%"


def test_samples_of_any_number_of_labels_put_those_that_apply_before_a_bar():
    task = {"problem_type": "multi_label_classification", "labels": ("a", "b", "c")}
    scores = {"a": 0.1, "b": 0.7, "c": 0.9}
    given = [{"label": label, "score": scores[label]} for label in ("c", "b")]
    assert lines_of(task, given, scores)[1] == "  mood  c 90.0%   b 70.0%  |  a 10.0%"
    assert lines_of(task, [], {"a": 0.1})[1] == "  mood  none  |  a 10.0%"
    assert lines_of(task, given[:1], {"c": 0.9})[1] == "  mood  c 90.0%"


def test_samples_have_a_label_on_one_line():
    lines = lines_of({"labels": ("a\nb", "c")}, {"label": "a\nb", "score": 1.0}, {"a\nb": 1.0})
    assert lines[1:] == ["  mood  a b 100.0%"]


def test_samples_tell_the_first_of_many_labels():
    scores = {f"l{index}": 0.5 - index / 20 for index in range(7)}
    lines = lines_of({"labels": tuple(scores)}, {"label": "l0", "score": 0.5}, scores)
    assert lines[1].endswith("l4 30.0%   (2 more)")


def test_samples_tell_entities_and_words():
    labels = {"problem_type": "token_classification", "labels": ("O", "B-LOC")}
    assert lines_of(labels, [{"word": "Rome", "entity_group": "LOC", "score": 0.5}])[1] == "  mood  Rome LOC 50.0%"
    assert lines_of(labels, [])[1] == "  mood  none"
    words = [{"word": "go", "entity": "verb", "score": 0.25}] * 22
    assert lines_of(labels, words)[1].endswith("go verb 25.0%   (2 more)")


def test_samples_tell_numbers_and_cosines():
    assert lines_of({"problem_type": "regression"}, {"score": 3.25})[1] == "  mood  3.25"
    several = [{"label": "joy", "score": 0.5}, {"label": "fear", "score": -2.0}]
    assert (
        lines_of({"problem_type": "regression", "labels": ("joy", "fear")}, several)[1] == "  mood  joy 0.5   fear -2"
    )
    assert lines_of({"problem_type": "similarity"}, {"score": 0.5})[1] == "  mood  cosine 0.5000"


def test_samples_have_a_huge_text_on_one_short_line():
    text = describe_samples(
        [(("word\n" * 10_000,), {"mood": {"score": 1.0}}, {"mood": {}})], [Task(name="mood", problem_type="regression")]
    )
    assert len(text.splitlines()) == 2
    assert max(map(len, text.splitlines())) <= 302


def test_what_a_run_learns_from_is_told_before_it_starts():
    run = record(results={})
    text = describe_data(run)
    assert text.startswith("7 tasks on one someone/some-bert, pooled by mean\n")
    for told in (run.sizes["films"]["test"], run.label_counts["test"]["places"]["B-LOC"], run.epoch_rows[1]["films"]):
        assert f" {told} " in text
    assert "| alike, test " in text
    assert "Mixing: temperature (2)" in text
    assert "Left out: 987 rows" in text


def test_epochs_that_draw_alike_are_told_once():
    text = describe_data(record(epoch_rows=[{"news": 5, "films": 6}] * 3))
    assert "| dataset | rows per epoch |" in text
    assert "epoch 1" not in text


@pytest.mark.parametrize(("value", "shown"), [(-0.00001, "0.0000"), (-0.00006, "-0.0001"), (float("nan"), "nan")])
def test_zeros_have_no_sign(value, shown):
    assert four_digits(value) == shown
    assert f" {shown} |" in format_table(["task", "score"], [["a", value]])
