"""A stream gives each row once a pass, in an order of the seed alone, and goes on at the exact row."""

import gzip
import itertools
import json

import numpy as np
import pytest
import torch
from conftest import tiny_bert
from datasets import Dataset, Image, IterableDataset
from torch.utils.data import DataLoader

from hf_multitask import MultiTaskCollator, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data import stream, streaming
from hf_multitask.data.preparation import prepare
from hf_multitask.data.stream import Stream
from hf_multitask.data.streaming import StreamedBatches, StreamedMixture
from hf_multitask.data.tokenization import tokenize
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.settings.run_settings import RunSettings

TASKS = {
    "topic": {"problem_type": "single_label_classification", "labels": ["News", "Opinion"]},
    "score": {"problem_type": "regression"},
}
PARTS = (20, 17, 6)  # 43 rows, a prime


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(streaming, "READ_AHEAD", 8)
    monkeypatch.setattr(stream, "CHUNK", 10)
    monkeypatch.setattr(stream, "BUFFER", 30)  # fewer than there are rows


def raw(part, row):
    return {"text": "good film" + " song" * (row % 5), "topic": ["News", "Opinion"][row % 2], "score": row / 7 + part}


def run_settings(tmp_path, parts=None, **values):
    """Of a run on a stream of several files."""
    folder = tmp_path / "stream"
    folder.mkdir(exist_ok=True)
    parts = parts or [[raw(part, row) for row in range(size)] for part, size in enumerate(PARTS)]
    for part, rows in enumerate(parts):
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    dataset = {
        "path": "stream",
        "data_files": [f"{part}.jsonl.gz" for part in range(len(parts))],
        "text": "text",
        "targets": {"topic": "topic", "score": "score"},
        "streaming": True,
        **values.pop("dataset", {}),
    }
    settings = {"backbone": "x", "datasets": {"s": dataset}, "tasks": TASKS, "training": {"max_steps": 9}, **values}
    return RunSettings.from_dict(settings, tmp_path)


def mixture_of(data, tokenizer, mixing=None, others=None):
    datasets = data.tokenized(tokenizer, 32)["train"] | (others or {})
    return StreamedMixture(datasets, data.streams, mixing or MixingSettings(), tokenizer, 32)


@pytest.fixture
def mixture(tmp_path, tokenizer):
    return mixture_of(prepare(run_settings(tmp_path)), tokenizer)


def micro_batches(mixture, count, start=0, **values):
    """The rows of the first micro-batches, by name."""
    batches = StreamedBatches(mixture, lambda rows: [row["row"] for row in rows], **values)
    batches.start = start
    return list(itertools.islice(batches, count))


def first_rows(mixture, count, seed=0):
    return list(itertools.chain(*micro_batches(mixture, count, per_device_batch_size=1, seed=seed)))


def every_row():
    return sorted(f"s/train/part {part + 1}/{row + 1}" for part, size in enumerate(PARTS) for row in range(size))


def test_every_pass_has_each_row_once(mixture):
    rows = first_rows(mixture, 2 * 43)
    for start in (0, 43):
        assert sorted(rows[start : start + 43]) == every_row()


@pytest.mark.parametrize("max_rows", [5, 20, 30, 99])
def test_no_more_rows_than_max_rows_are_streamed_and_they_are_the_same_in_every_pass(tmp_path, tokenizer, max_rows):
    data = prepare(run_settings(tmp_path, dataset={"max_rows": max_rows}))
    expected = [f"s/train/part {part + 1}/{row + 1}" for part, size in enumerate(PARTS) for row in range(size)]
    count = min(max_rows, 43)
    rows = first_rows(mixture_of(data, tokenizer), 2 * count)
    for start in (0, count):
        assert sorted(rows[start : start + count]) == sorted(expected[:count])
    assert rows[:count] != rows[count : 2 * count]
    assert data.sizes() == {"s": {"train": count}}


def test_what_is_computed_from_the_first_rows_is_computed_from_no_more_than_max_rows(tmp_path):
    data = prepare(run_settings(tmp_path, dataset={"max_rows": 3}))
    assert data.tasks[1].target_mean == pytest.approx((1 / 7,))


def test_the_order_is_another_one_in_each_pass_and_for_each_seed(mixture):
    rows, others = first_rows(mixture, 86), first_rows(mixture, 43, seed=1)
    assert rows == first_rows(mixture, 86)
    assert len({tuple(order) for order in (rows[:43], rows[43:], others, every_row())}) == 4


def test_rows_of_several_parts_are_mixed(mixture):
    parts = [row.split("/")[2] for row in first_rows(mixture, 43)]
    assert sum(one != other for one, other in itertools.pairwise(parts)) > 10


@pytest.mark.parametrize(("processes", "per_device", "accumulation"), [(1, 12, 1), (1, 2, 6), (2, 3, 2), (3, 2, 2)])
def test_effective_batches_are_the_same_for_any_number_of_processes(mixture, processes, per_device, accumulation):
    shares = [
        micro_batches(
            mixture,
            4 * accumulation,
            per_device_batch_size=per_device,
            accumulation_steps=accumulation,
            num_processes=processes,
            process_index=index,
        )
        for index in range(processes)
    ]
    rows = first_rows(mixture, 48)  # more than one pass
    for batch in range(4):
        steps = slice(batch * accumulation, (batch + 1) * accumulation)
        assert all(len(taken) == per_device for share in shares for taken in share[steps])
        found = [row for share in shares for taken in share[steps] for row in taken]
        assert sorted(found) == sorted(rows[batch * 12 : (batch + 1) * 12])


def test_a_start_leaves_the_batches_from_there_on_as_they_are(mixture):
    batches = micro_batches(mixture, 20, per_device_batch_size=3)
    assert micro_batches(mixture, 20, start=17, per_device_batch_size=3) == [{}] * 17 + batches[17:]


@pytest.mark.slow
def test_workers_change_nothing(mixture, tokenizer):
    def first(workers):
        batches = StreamedBatches(mixture, list, per_device_batch_size=3)
        loader = DataLoader(batches, batch_size=None, num_workers=workers)
        return [[row["row"] for row in batch] for batch in itertools.islice(loader, 20)]

    assert first(2) == first(0)


def test_rows_become_what_they_are_where_they_are_not_streamed(tmp_path, tokenizer, mixture):
    whole = prepare(run_settings(tmp_path, dataset={"streaming": False})).tokenized(tokenizer, 32)["train"]["s"]
    streamed = next(iter(StreamedBatches(mixture, list, per_device_batch_size=43)))

    def contents(rows):
        return sorted(json.dumps({**row, "row": None}) for row in rows)

    assert contents(streamed) == contents(whole)


def test_no_more_rows_are_read_than_the_buffer_holds_and_a_window_takes(tmp_path, tokenizer):
    data, read = prepare(run_settings(tmp_path)), []

    def generate():
        for row in range(1000):
            read.append(row)
            yield raw(0, row)

    data.streams["s"]._rows = IterableDataset.from_generator(generate)
    read.clear()
    micro_batches(mixture_of(data, tokenizer), 40, per_device_batch_size=4)
    assert 160 < len(read) <= 30 + 160 + 8 + 2 * 10


def test_statistics_are_those_of_the_first_rows_with_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("hf_multitask.data.raw_rows.SAMPLE", 3)
    data = prepare(run_settings(tmp_path))
    assert data.tasks[1].target_mean == pytest.approx((1 / 7,))
    assert "'s' is streamed: its first 3 rows stand for all" in caplog.text


def bad_rows():
    rows = [raw(0, row) for row in range(12)]
    rows[4]["topic"], rows[9]["text"] = "Sport", ""
    return [rows]


def test_a_row_that_cannot_be_used_ends_the_run_with_its_place(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr("hf_multitask.data.raw_rows.SAMPLE", 4)
    mixture = mixture_of(prepare(run_settings(tmp_path, bad_rows())), tokenizer)
    with pytest.raises(ValueError, match=r"row (5|10) of dataset 's', split 'train'"):
        first_rows(mixture, 12)


def test_rows_that_cannot_be_used_are_left_out_and_told_once(tmp_path, tokenizer, caplog):
    data = prepare(run_settings(tmp_path, bad_rows(), invalid_rows="skip"))
    batches = micro_batches(mixture_of(data, tokenizer), 6, per_device_batch_size=4)
    usable = sorted(f"s/train/{row + 1}" for row in range(12) if row not in (4, 9))
    assert sorted(itertools.chain(*batches[:3])) == usable
    assert sorted(itertools.chain(*batches[3:])) == usable
    assert data.streams["s"].num_skipped == 2
    told = [record.message for record in caplog.records if "Row left out" in record.message]
    assert len(told) == 2
    assert any("row 5 of dataset 's'" in message and "'Sport'" in message for message in told)


def test_a_micro_batch_without_a_usable_row_has_one_that_teaches_nothing(tmp_path, tokenizer):
    data = prepare(run_settings(tmp_path, bad_rows(), invalid_rows="skip"))
    batches = StreamedBatches(mixture_of(data, tokenizer), list, per_device_batch_size=1)
    empty = [rows for rows in itertools.islice(batches, 12) if rows[0]["targets"] == {"topic": None, "score": None}]
    assert [len(rows) for rows in empty] == [1, 1]


def test_a_stream_mixes_with_a_dataset_as_often_as_the_weights_say(tmp_path, tokenizer):
    rows = [{"text": "bad", "targets": {"topic": 1, "score": None}, "row": f"o/{row}"} for row in range(10)]
    others = {"o": tokenize(Dataset.from_list(rows), tokenizer, 32)}
    data = prepare(run_settings(tmp_path))
    weights = MixingSettings(strategy="weights", weights={"s": 3, "o": 1})
    found = first_rows(mixture_of(data, tokenizer, weights, others), 200)
    stored = [row for row in found if row.startswith("o/")]
    assert 35 < len(stored) < 65
    assert sorted(stored[:10]) == sorted(stored[10:20]) == sorted(f"o/{row}" for row in range(10))
    with pytest.raises(ValueError, match=r"mixing.strategy must be one of \['weights', 'uniform'\]"):
        mixture_of(data, tokenizer, MixingSettings(), others)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": {"validation": 0.1}}, "validation and test must be left out where the training rows are streamed"),
        ({"tasks": {**TASKS, "topic": {"problem_type": "ordinal"}}}, "tasks.topic must have labels, found none"),
        ({"tasks": {**TASKS, "score": {}}}, "tasks.score must have problem_type and labels"),
        ({"tasks": {**TASKS, "topic": {**TASKS["topic"], "class_weights": "balanced"}}}, "must be numbers, found"),
        ({"training": {}}, "training.max_steps must be at least 1 where a dataset is streamed"),
    ],
)
def test_what_a_stream_cannot_tell_must_be_given(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        prepare(run_settings(tmp_path, **values))


def test_files_whose_rows_shift_are_not_streamed(tmp_path):
    (tmp_path / "train.csv").write_text("text,topic,score\ngood,News,1.5\n")
    dataset = {"path": "train.csv", "data_files": None}
    with pytest.raises(ValueError, match="streamed must be json, jsonl or parquet, found csv"):
        prepare(run_settings(tmp_path, dataset=dataset))


def trained(tmp_path, data, tokenizer, max_steps=9, resume=None, **values):
    model = tiny_bert(tasks=data.tasks)
    rows = []

    def collate(batch):
        rows.append([row["row"] for row in batch])
        return MultiTaskCollator(tokenizer, data.tasks)(batch)

    args = MultiTaskTrainingArguments(
        output_dir=str(tmp_path / "run"),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=max_steps,
        save_steps=4,
        learning_rate=1e-2,
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
        **values,
    )
    train = mixture_of(data, tokenizer)
    trainer = MultiTaskTrainer(model, args, train_dataset=train, data_collator=collate, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=resume)
    return model.state_dict(), rows


@pytest.mark.parametrize(("max_rows", "different"), [(None, 43), (25, 25)])
def test_a_resumed_run_goes_on_at_the_exact_row_to_the_same_weights(tmp_path, tokenizer, max_rows, different):
    # Nine steps of eight rows are more than one pass.
    data = prepare(run_settings(tmp_path, dataset={"max_rows": max_rows}))
    torch.manual_seed(0)
    whole, rows = trained(tmp_path, data, tokenizer)
    torch.manual_seed(0)
    checkpoint = str(tmp_path / "run" / "checkpoint-4")
    resumed, remaining = trained(tmp_path, data, tokenizer, resume=checkpoint)
    assert [len(rows), len(remaining)] == [18, 10]
    assert remaining == rows[8:]
    assert len({row for batch in rows for row in batch}) == different
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


@pytest.mark.parametrize(("sizes", "max_rows"), [(PARTS, 43), ((43,), None)])
def test_a_run_on_a_stream_in_another_order_is_not_resumed(tmp_path, tokenizer, sizes, max_rows):
    rows = iter([{"text": "good film", "topic": ["News", "Opinion"][row % 2], "score": row % 2} for row in range(43)])
    first = [list(itertools.islice(rows, size)) for size in PARTS]
    trained(tmp_path, prepare(run_settings(tmp_path, first)), tokenizer, max_steps=4)
    rows = itertools.chain(*first)
    same = [list(itertools.islice(rows, size)) for size in sizes]
    other = prepare(run_settings(tmp_path, same, dataset={"max_rows": max_rows}))
    with pytest.raises(ValueError, match="A resumed run must take its rows in the order of its checkpoint, .*'parts'"):
        trained(tmp_path, other, tokenizer, resume=str(tmp_path / "run" / "checkpoint-4"))


def test_columns_that_nobody_asked_for_are_not_read(tmp_path, tokenizer):
    rows = Dataset.from_list([raw(0, row) | {"image": b"no image"} for row in range(12)])
    rows = rows.cast_column("image", Image()).to_iterable_dataset()
    data = prepare(run_settings(tmp_path))
    found = Stream("s", rows, data.streams["s"].settings, data.tasks, skips_invalid=False)
    read = list(found.read(0, np.random.default_rng(0)))
    assert sorted(row.number for row in read) == list(range(12))
    assert {*read[0].cells} == {"text", "topic", "score"}


def test_a_task_whose_targets_come_later_is_learned_and_the_log_tells(tmp_path, tokenizer, caplog):
    rows = [raw(0, row) | ({"topic": None} if row < 6 else {}) for row in range(12)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hf_multitask.data.raw_rows.SAMPLE", 6)
        patch.setattr("hf_multitask.data.preparation.SAMPLE", 6)  # that the log tells
        data = prepare(run_settings(tmp_path, [rows]))
    assert "Task 'topic': the first 6 rows of its stream have no target for it" in caplog.text
    assert data.untrained == []
    with pytest.raises(ValueError, match="Task 'topic', split 'train': there must be labelled rows, found none"):
        prepare(run_settings(tmp_path, [rows], dataset={"max_rows": 5}))
    batches = StreamedBatches(mixture_of(data, tokenizer), list, per_device_batch_size=12)
    targets = [row["targets"]["topic"] for row in next(iter(batches))]
    assert sorted(target for target in targets if target is not None) == [0, 0, 0, 1, 1, 1]


def test_words_that_are_cut_off_are_told_of_once(tmp_path, tokenizer, caplog):
    rows = [{"words": ["good", "film", "song"], "parts": ["a", "b", "a"]} for _ in range(24)]
    labelled = {"text": "words", "targets": {"parts": "parts"}}
    tasks = {"parts": {"problem_type": "token_classification", "labels": ["a", "b"]}}
    data = prepare(run_settings(tmp_path, [rows], dataset=labelled, tasks=tasks))
    mixture = StreamedMixture(data.tokenized(tokenizer, 16)["train"], data.streams, MixingSettings(), tokenizer, 4)
    assert caplog.text.count("labelled words have no token") == 0
    assert len(first_rows(mixture, 24)) == 24, "in three windows"
    assert caplog.text.count("labelled words have no token within max_length=4") == 1


def test_a_stream_cannot_be_sorted(tmp_path, tokenizer):
    data = prepare(run_settings(tmp_path))
    with pytest.raises(ValueError, match="train_sampling_strategy must be 'random' where datasets are streamed"):
        trained(tmp_path, data, tokenizer, train_sampling_strategy="group_by_length")
