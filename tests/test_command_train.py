"""What the command writes behind training, and what it leaves alone."""

import dataclasses
import logging

import pytest
from records import record

from hf_multitask.commands import train
from hf_multitask.modeling.hub import MARK, is_own_text


def test_a_card_that_somebody_has_made_his_own_is_kept(tmp_path, caplog):
    train._write_card(record(), [], tmp_path)
    readme = tmp_path / "README.md"
    first = readme.read_text()
    assert first.count(MARK) == 1
    train._write_card(dataclasses.replace(record(), name="another"), [], tmp_path)
    assert readme.read_text() != first, "what the command wrote is written anew"
    readme.write_text(first.replace(MARK, "My own words."))
    train._write_card(dataclasses.replace(record(), name="another"), [], tmp_path)
    assert readme.read_text() == first.replace(MARK, "My own words.")
    assert "is a text of your own and stays as it is" in caplog.text


def test_figures_that_cannot_be_written_cost_no_card(tmp_path, caplog):
    (tmp_path / "figures").write_text("a file where the folder is to be")
    with caplog.at_level(logging.WARNING):
        assert train._draw(record(), tmp_path) == []
    assert "are left out, found:" in caplog.text


@pytest.mark.parametrize(
    ("card", "is_own"),
    [
        ("# Mine", True),
        ("---\nlicense: mit\n---\nMine", True),
        ("---\nlicense: [\n---\n", True),  # no YAML: somebody is at work on it
        ("---\nlicense: mit\n---\n", False),
        ("", False),
        (f"# Ours\n{MARK}\n", False),
    ],
)
def test_a_card_is_somebodys_own_where_it_has_words_and_no_mark(card, is_own):
    assert is_own_text(card) is is_own
