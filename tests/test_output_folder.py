"""An output folder never holds two runs and never loses one."""

import logging
from pathlib import Path

import pytest
from conftest import full_disk

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.training.checkpoints import mark_complete
from hf_multitask.training.output_folder import claim_output_folder, write_errors_explained


@pytest.fixture
def folder(tmp_path) -> Path:
    """An output folder with an earlier run in it."""
    for step in (5, 10):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
        (tmp_path / "run" / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
        mark_complete(tmp_path / "run" / f"checkpoint-{step}")
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
    assert not list(folder.iterdir())
    assert sorted(path.relative_to(moved) for path in moved.rglob("*")) == before
    assert (moved / "README.md").read_text() == "first run"
    assert f"was moved to {moved}" in caplog.text


def test_runs_moved_aside_never_meet(folder):
    for content in ("second run", "third run"):
        claim(folder, overwrite=True)
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


def cut_off(folder: Path, step: int) -> Path:
    """A checkpoint that was being written when the run was killed."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "model.safetensors").write_text("half of it")
    return checkpoint


@pytest.mark.parametrize("word", ["last", "auto"])
def test_incomplete_checkpoints_are_skipped_with_a_message_each(folder, word, caplog):
    cut_off(folder, 15)
    (folder / "checkpoint-10" / "trainer_state.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert claim(folder, resume_from_checkpoint=word) == str(folder / "checkpoint-5")
    assert caplog.messages == [
        f"Skipped the incomplete checkpoint {folder / 'checkpoint-15'}: it has no complete.json.",
        f"Skipped the incomplete checkpoint {folder / 'checkpoint-10'}: it has no trainer_state.json.",
    ]


def test_only_the_first_process_speaks_of_incomplete_checkpoints(folder, caplog, monkeypatch):
    cut_off(folder, 15)
    monkeypatch.setattr(MultiTaskTrainingArguments, "process_index", 1)
    assert claim(folder, resume_from_checkpoint="auto") == str(folder / "checkpoint-10")
    assert not caplog.messages


def test_last_is_refused_when_no_checkpoint_is_complete(tmp_path):
    cut_off(tmp_path, 5)
    with pytest.raises(ValueError, match=r"must name a checkpoint, found none at .* that is complete\. Start without"):
        claim(tmp_path, resume_from_checkpoint="last")


def test_an_incomplete_checkpoint_that_is_named_is_refused(tmp_path):
    named = cut_off(tmp_path, 5)
    with pytest.raises(
        ValueError, match=r"must name a complete checkpoint, found no complete\.json in .* Name another"
    ):
        claim(tmp_path, resume_from_checkpoint=str(named))


def test_a_checkpoint_older_than_lists_of_files_is_used_once_its_owner_says_that_it_is_whole(folder):
    named = folder / "checkpoint-10"
    (named / "complete.json").unlink()
    with pytest.raises(ValueError, match="If an earlier version wrote it and it is whole, say so once") as caught:
        claim(folder, resume_from_checkpoint=str(named))
    exec(str(caught.value).split('python -c "')[1].rstrip('"'))
    assert claim(folder, resume_from_checkpoint=str(named)) == str(named)


def test_auto_begins_a_new_run_where_there_is_none(tmp_path):
    assert claim(tmp_path / "new", resume_from_checkpoint="auto") is None


def test_auto_continues_from_the_last_checkpoint_of_a_finished_run_too(folder):
    (folder / "model.safetensors").write_text("weights")
    assert claim(folder, resume_from_checkpoint="auto") == str(folder / "checkpoint-10")
    assert (folder / "model.safetensors").exists()


def test_auto_moves_what_a_run_without_a_complete_checkpoint_left_aside(tmp_path):
    cut_off(tmp_path / "run", 5)
    (tmp_path / "run" / "skipped_rows.csv").write_text("mine")
    assert claim(tmp_path / "run", resume_from_checkpoint="auto") is None
    assert not list((tmp_path / "run").iterdir())
    assert (tmp_path / "run.previous-1" / "skipped_rows.csv").read_text() == "mine"
    assert (tmp_path / "run.previous-1" / "checkpoint-5" / "model.safetensors").exists()


@pytest.mark.parametrize("word", ["False", "false"])
def test_a_run_that_does_not_continue_is_a_new_one(folder, word):
    with pytest.raises(ValueError, match="must be empty or absent"):
        claim(folder, resume_from_checkpoint=word)


def test_a_run_may_start_from_a_checkpoint_of_another(folder):
    named = str(folder / "checkpoint-5")
    assert claim(folder.with_name("new"), resume_from_checkpoint=named) == named


def test_a_run_from_a_checkpoint_elsewhere_never_joins_the_one_in_the_folder(folder, tmp_path):
    (tmp_path / "other" / "checkpoint-3").mkdir(parents=True)
    mark_complete(tmp_path / "other" / "checkpoint-3")
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


def test_an_unwritable_output_dir_is_found_before_training(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"output_dir must be writable, found Not a directory at .* Choose another"):
        claim(tmp_path / "file" / "run")


def test_a_full_disk_is_found_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="output_dir must be writable, found No space left on device"):
        claim(tmp_path / "run")


def test_finding_out_whether_the_folder_is_writable_leaves_nothing(folder):
    before = sorted(folder.rglob("*"))
    claim(folder, resume_from_checkpoint="last")
    assert sorted(folder.rglob("*")) == before


def test_an_error_that_is_not_one_of_writing_is_left_as_it_is(tmp_path):
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), write_errors_explained(tmp_path / "checkpoint-5"):
        raise RuntimeError("shapes differ")


def test_auto_refuses_a_folder_with_files_of_someone_else(tmp_path):
    (tmp_path / "project" / "notes").mkdir(parents=True)
    with pytest.raises(ValueError, match="must be empty or absent, found files in"):
        claim(tmp_path / "project", resume_from_checkpoint="auto")
    assert (tmp_path / "project" / "notes").is_dir()


def test_a_complete_checkpoint_that_was_set_aside_for_one_never_finished_is_put_back(folder):
    last = folder / "checkpoint-10"
    last.rename(folder / "_replaced-checkpoint-10")
    last.mkdir()
    (last / "model.safetensors").write_text("half")
    assert claim(folder, resume_from_checkpoint="auto") == str(last)
    assert not (last / "model.safetensors").exists() or (last / "model.safetensors").read_text() != "half"
