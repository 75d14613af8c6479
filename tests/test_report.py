"""What a person reads on the terminal is what the run said."""

from records import record

from hf_multitask.publishing.report import describe_data
from hf_multitask.publishing.samples import describe_samples
from hf_multitask.tables import format_table


def lines_of(answer):
    return describe_samples([(("one", "two"), {"mood": answer})]).splitlines()


def test_neither_a_cell_nor_a_header_can_break_its_table():
    table = format_table(["a|b", "rows"], [["a|b\nc\r\nd", 1]])
    assert table.splitlines() == ["| a\\|b     | rows |", "| -------- | ---: |", "| a\\|b c d |    1 |"]


def test_samples_name_the_likeliest_label_first():
    answer = {"label": "good", "probabilities": {"bad": 0.25, "good": 0.75}}
    assert lines_of(answer) == ["> one / two", "  mood  good 75.0%   bad 25.0%"]


def test_samples_name_the_answer_first_where_it_is_not_the_likeliest_label():
    answer = {"label": "2", "probabilities": {"1": 0.4, "2": 0.2, "3": 0.4}}
    assert lines_of(answer)[1] == "  mood  2 20.0%   1 40.0%   3 40.0%"


def test_samples_of_any_number_of_labels_put_those_that_apply_before_a_bar():
    chances = {"a": 0.1, "b": 0.7, "c": 0.9}
    assert lines_of({"labels": ["b", "c"], "probabilities": chances})[1] == "  mood  c 90.0%   b 70.0%  |  a 10.0%"
    assert lines_of({"labels": [], "probabilities": {"a": 0.1}})[1] == "  mood  none  |  a 10.0%"
    assert lines_of({"labels": ["a"], "probabilities": {"a": 0.9}})[1] == "  mood  a 90.0%"


def test_samples_have_a_label_on_one_line():
    assert lines_of({"label": "a\nb", "probabilities": {"a\nb": 1.0}})[1:] == ["  mood  a b 100.0%"]


def test_samples_tell_the_first_of_many_labels():
    answer = {"label": "l0", "probabilities": {f"l{index}": 0.5 - index / 20 for index in range(7)}}
    assert lines_of(answer)[1].endswith("l4 30.0%   (2 more)")


def test_samples_tell_the_words_that_belong_to_an_entity():
    words = [{"word": "In", "label": "O", "probability": 0.9}, {"word": "Rome", "label": "B-LOC", "probability": 0.5}]
    assert lines_of({"words": words})[1] == "  mood  Rome B-LOC 50.0%"
    assert lines_of({"words": words[:1]})[1] == "  mood  O for all 1 words"


def test_samples_tell_numbers_and_cosines():
    assert lines_of({"value": 3.25})[1] == "  mood  3.25"
    assert lines_of({"values": {"joy": 0.5, "fear": -2.0}})[1] == "  mood  joy 0.5   fear -2"
    assert lines_of({"cosine": 0.5})[1] == "  mood  cosine 0.5000"


def test_samples_have_a_huge_text_on_one_short_line():
    text = describe_samples([(("word\n" * 10_000,), {"mood": {"value": 1.0}})])
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
