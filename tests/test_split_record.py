"""Rows that are cut otherwise than in a model's run are not scored; all others are."""

import json

import pytest
from transformers import TrainerState

from hf_multitask.data.preparation import prepare
from hf_multitask.data.split_record import check_same_splits, check_same_training_rows, split_record
from hf_multitask.settings.run_settings import RunSettings
from hf_multitask.training.recorded_splits import RecordedSplits, recorded_splits

COUNT = 40


@pytest.fixture(autouse=True)
def _here(own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, count=COUNT):
    """Rows with two labels."""
    rows = ["text,topic,mood", *(f"{path.stem} {i},{'ab'[i % 2]},{'pqr'[i % 3]}" for i in range(count))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Two files."""
    for name in ("rows", "new"):
        write(tmp_path / f"{name}.csv")
    return tmp_path


def settings_of(name="rows", seed=42, **dataset):
    described = {"path": "rows.csv", "text": "text", "targets": {"topic": "topic", "mood": "mood"}, "test": 0.25}
    datasets = {name: described | dataset}
    return RunSettings.from_dict({"backbone": "x", "datasets": datasets, "training": {"seed": seed}})


def record_of(settings):
    return json.loads(json.dumps(split_record(settings, prepare(settings)), sort_keys=True))


def check(record, settings, split="test"):
    check_same_splits(record, settings, prepare(settings), split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_same_splits_are_scored_in_silence(folder, caplog, split):
    check(record_of(settings_of()), settings_of(), split)
    assert not caplog.records


@pytest.mark.parametrize(
    ("run", "scored", "differs", "advice"),
    [
        ({"seed": 7}, {}, "seed 42 (in the run 7)", "--seed 7"),
        ({}, {"max_rows": 30}, "datasets.rows.max_rows 30 (in the run null)", "--datasets.rows.max_rows null"),
        ({"max_rows": 30}, {}, "datasets.rows.max_rows null (in the run 30)", "--datasets.rows.max_rows 30"),
        ({"test": None}, {}, "datasets.rows.test 0.25 (in the run null)", "--datasets.rows.test null"),
        ({"validation": 0.1}, {}, "datasets.rows.validation null (in the run 0.1)", "--datasets.rows.validation 0.1"),
    ],
    ids=["seed", "fewer rows", "more rows", "a cut where there was none", "one cut less"],
)
def test_rows_cut_otherwise_are_refused_with_what_differs_and_what_to_do(folder, run, scored, differs, advice):
    with pytest.raises(ValueError, match=r"datasets\.rows: its test rows must be cut as in the model's run") as error:
        check(record_of(settings_of(**run)), settings_of(**scored))
    assert f"found others, by {differs}: the model may have been trained on some" in str(error.value)
    assert f" Add {advice}, or give new rows a file of their own" in str(error.value)


def test_rows_cut_by_the_classes_of_another_task_are_refused(folder):
    with pytest.raises(ValueError, match=r"no setting of the split differs: .* Restore the targets and the files"):
        check(record_of(settings_of()), settings_of(targets={"mood": "mood"}))


def test_rows_of_a_file_that_has_grown_are_refused(folder):
    record = record_of(settings_of())
    write(folder / "rows.csv", COUNT + 2)
    with pytest.raises(ValueError, match=r"no setting of the split differs: .* Restore the targets and the files"):
        check(record, settings_of())


def test_rows_of_a_file_with_the_same_number_of_others_are_refused(folder):
    record = record_of(settings_of())
    path = folder / "rows.csv"
    path.write_text(path.read_text().replace("rows ", "other "))
    with pytest.raises(ValueError, match=r"no setting of the split differs: .* Restore the targets and the files"):
        check(record, settings_of(), "train")


def test_of_the_splits_those_that_are_asked_for_are_tokenised(folder, tokenizer):
    data = prepare(settings_of())
    assert data.splits.keys() == {"train", "test"}
    assert data.tokenized(tokenizer, 32, ["test"]).keys() == {"test"}


def test_a_run_goes_on_with_the_training_rows_of_its_checkpoint_alone(folder):
    record = record_of(settings_of())
    check_same_training_rows(record, record_of(settings_of()))
    write(folder / "rows.csv", COUNT + 2)
    found = record_of(settings_of())
    with pytest.raises(ValueError, match=r"rows of its checkpoint, found others in the datasets \['rows'\]"):
        check_same_training_rows(record, found)
    for older in (None, {"settings": record["settings"], "rows": {}}):
        check_same_training_rows(older, found)


def test_what_does_not_change_the_splits_may_be_other(folder, caplog):
    """Labels of a file of its own, whatever the seed; and its path."""
    apart = {"data_files": {"train": "rows.csv", "test": "new.csv"}, "path": "."}
    record = record_of(settings_of(**apart))
    check(record, settings_of(**apart, max_rows=10, seed=7))
    (folder / "moved.csv").write_bytes((folder / "rows.csv").read_bytes())
    check(record_of(settings_of()), settings_of(path="moved.csv"))
    assert not caplog.records


@pytest.mark.parametrize(("known", "told"), [(True, "the model's run had no such dataset"), (False, "no record of")])
def test_what_the_run_did_not_have_is_scored_and_told(folder, caplog, known, told):
    check(record_of(settings_of()) if known else None, settings_of(name="new", path="new.csv"))
    assert "Dataset 'new': its test rows, cut from training rows, could not be compared" in caplog.text
    assert told in caplog.text


def test_a_record_is_read_as_it_was_written_also_by_a_run_that_had_none(folder):
    record = record_of(settings_of())
    TrainerState(stateful_callbacks={}).save_to_json(str(folder / "trainer_state.json"))
    assert recorded_splits(str(folder)) is None
    state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
    RecordedSplits(record).on_train_begin(None, state, None)
    state.save_to_json(str(folder / "trainer_state.json"))
    assert recorded_splits(str(folder)) == record
    (folder / "trainer_state.json").unlink()
    assert recorded_splits(str(folder)) is None
