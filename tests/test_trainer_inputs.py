"""What a Trainer cannot be made of is refused with what to do instead."""

import pytest
from conftest import tiny_bert

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments


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
