"""What a Trainer cannot be made of is refused with what to do instead."""

import pytest
import torch
from conftest import TASKS, tiny_bert
from datasets import Dataset, DatasetDict

from hf_multitask import MultiTaskCollator, MultiTaskTrainer, MultiTaskTrainingArguments, Task

TASK_NAMES = ("extra", *(task["name"] for task in TASKS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model_init": tiny_bert}, "found model_init, which is not supported. Pass model=.* for each trial yourself"),
        ({}, "needs a model .* found model=None"),
        ({"model": "model", "compute_loss_func": len}, "computes its losses itself, found .* compute_loss_func"),
        ({"model": "model", "args": None}, "args must be MultiTaskTrainingArguments, found NoneType"),
    ],
)
def test_a_trainer_is_refused(tmp_path, tokenizer, given, message):
    given = {"args": MultiTaskTrainingArguments(str(tmp_path), use_cpu=True), "processing_class": tokenizer} | given
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainer(**given | ({"model": tiny_bert()} if "model" in given else {}))


@pytest.mark.parametrize(("names", "told"), [(("topic", "sentimnt"), True), (("topic",), False), (TASK_NAMES, False)])
def test_a_name_of_no_task_is_told_where_a_task_has_no_targets(tmp_path, tokenizer, caplog, names, told):
    data = Dataset.from_list([{"input_ids": [2, 5, 3], "targets": dict.fromkeys(names, 0)}])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    MultiTaskTrainer(tiny_bert(), args, processing_class=tokenizer, train_dataset=data)
    assert ("targets for ['sentimnt'], which are no tasks of the model, and none for its tasks" in caplog.text) is told


ROW = {"input_ids": [2, 5, 3], "targets": {"topic": 0, "sentiment": 1}}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            DatasetDict(train=Dataset.from_list([ROW]), test=Dataset.from_list([ROW])),
            "one split.*found .'train', 'test'",
        ),
        ({"train": Dataset.from_list([ROW]), "dev": Dataset.from_list([ROW])}, "one split.*found .'train', 'dev'"),
        (Dataset.from_list([{"text": "good film", "targets": ROW["targets"]}]), "must have input_ids, found .*'text'"),
        (Dataset.from_list([{"input_ids": [2, 5, 3], "topic": 0}]), "must have targets, found the columns .*'topic'"),
        ({"a": Dataset.from_list([ROW]), "b": Dataset.from_list([{"input_ids": [2]}])}, "must have targets, found"),
    ],
)
def test_rows_that_cannot_be_meant_are_refused(tmp_path, tokenizer, rows, message):
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainer(tiny_bert(), args, processing_class=tokenizer, train_dataset=rows)


def test_rows_for_a_collator_of_ones_own_may_have_any_columns(tmp_path):
    rows = Dataset.from_list([{"text": "good film", "topic": 0}])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    MultiTaskTrainer(tiny_bert(), args, data_collator=lambda rows: {}, train_dataset=rows)


def test_rows_for_a_collator_that_tokenises_need_no_tokens(tmp_path, tokenizer):
    class Tokenises(MultiTaskCollator):
        def __call__(self, rows):
            return super().__call__([row | self.tokenizer(row["text"]) for row in rows])

    rows = Dataset.from_list([{"text": "good film", "targets": {"topic": 0}}])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, num_train_epochs=1)
    collator = Tokenises(tokenizer, [Task.parse(task) for task in TASKS])
    job = MultiTaskTrainer(tiny_bert(), args, data_collator=collator, train_dataset=rows)
    assert job.train().training_loss > 0


@pytest.mark.parametrize(
    ("values", "given", "told"),
    [
        ([60.0, 80.0, None], {}, True),
        ([[60.0], [80.0], None], {}, True),
        ([0.001, 0.002, None], {}, True),
        ([-1.0, 1.5, None], {}, False),
        ([60.0, 80.0, None], {"target_mean": [70.0], "target_std": [10.0]}, False),
        ([60.0, 80.0, None], {"loss_weight": 0.0}, False),
    ],
)
def test_numbers_far_from_standardised_ones_are_told_of(tmp_path, tokenizer, caplog, values, given, told):
    tasks = [*TASKS, {"name": "stars", "problem_type": "regression", **given}]
    rows = Dataset.from_list([{"input_ids": [2, 5, 3], "targets": {"topic": 0, "stars": value}} for value in values])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    MultiTaskTrainer(tiny_bert(tasks=tasks), args, processing_class=tokenizer, train_dataset=rows)
    assert ("Task 'stars': the squares of its training targets are" in caplog.text) is told


def test_labels_of_a_collator_that_are_not_by_task_are_refused(tmp_path):
    rows = Dataset.from_list([{"input_ids": [2, 5, 3]}])
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True)
    batch = {"input_ids": torch.tensor([[2, 5, 3]]), "labels": torch.tensor([0])}
    job = MultiTaskTrainer(tiny_bert(), args, data_collator=lambda rows: dict(batch), train_dataset=rows)
    with pytest.raises(ValueError, match="labels must be a mapping from task to tensor, found Tensor. Pass labels="):
        job.train()
