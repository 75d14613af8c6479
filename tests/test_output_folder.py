"""An output folder never holds two runs and never loses one."""

import logging
from pathlib import Path

import pytest

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.training.output_folder import claim_output_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """An output folder with an earlier run in it."""
    for step in (5, 10):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
    (tmp_path / "run" / "README.md").write_text("first run")
    return tmp_path / "run"


def claim(folder: Path, overwrite: bool = False, **values) -> str | None:
    return claim_output_folder(MultiTaskTrainingArguments(output_dir=str(folder), **values), overwrite)


def test_a_new_run_gets_an_absent_folder(tmp_path):
    assert claim(tmp_path / "new") is None


def test_a_new_run_gets_an_empty_folder(tmp_path):
    assert claim(tmp_path) is None


def test_a_folder_with_files_is_refused_and_left_alone(folder):
    with pytest.raises(ValueError, match=r"must be empty or absent, found files in .*run\. Continue .*--overwrite"):
        claim(folder)
    assert (folder / "README.md").read_text() == "first run"


def test_an_overwritten_run_is_moved_aside_and_nothing_is_lost(folder, caplog):
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    with caplog.at_level(logging.WARNING):
        assert claim(folder, overwrite=True) is None
    moved = folder.with_name("run.previous-1")
    assert not folder.exists()
    assert sorted(path.relative_to(moved) for path in moved.rglob("*")) == before
    assert (moved / "README.md").read_text() == "first run"
    assert f"was moved to {moved}" in caplog.text


def test_runs_moved_aside_never_meet(folder):
    for content in ("second run", "third run"):
        claim(folder, overwrite=True)
        folder.mkdir()
        (folder / "README.md").write_text(content)
    kept = [folder.with_name(f"run.previous-{number}") / "README.md" for number in (1, 2)]
    assert [path.read_text() for path in [*kept, folder / "README.md"]] == ["first run", "second run", "third run"]


@pytest.mark.parametrize("word", ["True", "true", "last"])
def test_a_run_continues_from_its_last_checkpoint(folder, word):
    assert claim(folder, resume_from_checkpoint=word) == str(folder / "checkpoint-10")


def test_a_run_continues_from_the_named_checkpoint(folder):
    named = str(folder / "checkpoint-5")
    assert claim(folder, resume_from_checkpoint=named) == named


def test_a_run_that_continues_is_not_moved_aside(folder):
    claim(folder, overwrite=True, resume_from_checkpoint="last")
    assert (folder / "README.md").exists()


@pytest.mark.parametrize("word", ["False", "false"])
def test_a_run_that_does_not_continue_is_a_new_one(folder, word):
    with pytest.raises(ValueError, match="must be empty or absent"):
        claim(folder, resume_from_checkpoint=word)


def test_a_run_may_start_from_a_checkpoint_of_another(folder):
    named = str(folder / "checkpoint-5")
    assert claim(folder.with_name("new"), resume_from_checkpoint=named) == named


def test_a_run_from_a_checkpoint_elsewhere_never_joins_the_one_in_the_folder(folder, tmp_path):
    (tmp_path / "other" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(ValueError, match="must be empty or absent"):
        claim(folder, resume_from_checkpoint=str(tmp_path / "other" / "checkpoint-3"))


@pytest.mark.parametrize("wanted", ["last", "none/checkpoint-1"])
def test_a_checkpoint_that_is_not_there_is_refused(tmp_path, wanted):
    with pytest.raises(
        ValueError, match=r"resume_from_checkpoint must name a checkpoint, found none at .* Start without"
    ):
        claim(tmp_path / "new", resume_from_checkpoint=wanted)


def test_an_output_dir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ValueError, match=r"output_dir must be a folder, found the file .*run\. Choose another"):
        claim(tmp_path / "run")


def test_only_the_first_process_moves_the_folder(folder, monkeypatch):
    monkeypatch.setattr(MultiTaskTrainingArguments, "process_index", 1)
    assert claim(folder, overwrite=True) is None
    assert (folder / "README.md").exists()
    with pytest.raises(ValueError, match="must be empty or absent"):  # but none trains beside one that refused
        claim(folder)
