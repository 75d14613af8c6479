"""What a Trainer cannot be made of is refused with what to do instead."""

import pytest
from conftest import TASKS, tiny_bert
from datasets import Dataset

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments

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
