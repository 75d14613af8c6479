"""What needs evaluations is refused without them, before training."""

import pytest
from conftest import tiny_bert
from datasets import Dataset
from test_trainer import rows, trainer
from transformers.trainer_utils import IntervalStrategy

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize

NEEDS = [
    {"task_patience": 2},
    {"early_stopping_patience": 2},
    {"load_best_model_at_end": True},
    {"save_strategy": "best", "metric_for_best_model": "average"},
    {"lr_scheduler_type": "reduce_lr_on_plateau"},
    {"lr_scheduler_type": "greedy"},
]


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a run that is evaluated and, in addition, these."""

    def given(**values):
        how = {"use_cpu": True, "eval_strategy": "epoch", "save_strategy": "epoch", **values}
        return MultiTaskTrainingArguments(str(tmp_path), **how)

    return given


@pytest.fixture
def data(tokenizer):
    return tokenize(Dataset.from_list(rows()), tokenizer, 32)


@pytest.mark.parametrize("setting", NEEDS, ids=str)
def test_without_validation_rows_it_is_refused(arguments, data, tokenizer, setting):
    args = arguments(**setting)
    args.eval_strategy = IntervalStrategy.NO  # as the script has it where there is no validation split
    with pytest.raises(ValueError, match=f"^{next(iter(setting))}.* needs evaluations, found no validation rows"):
        MultiTaskTrainer(tiny_bert(), args, processing_class=tokenizer, train_dataset=data)


@pytest.mark.parametrize("setting", NEEDS, ids=str)
def test_without_an_evaluation_of_the_rows_it_is_refused(arguments, data, tokenizer, setting):
    args = arguments(**setting)
    args.eval_strategy = IntervalStrategy.NO
    with pytest.raises(ValueError, match=f"^{next(iter(setting))}.* needs evaluations, found eval_strategy=no"):
        MultiTaskTrainer(tiny_bert(), args, processing_class=tokenizer, train_dataset=data, eval_dataset=data)


def test_a_start_without_rows_to_evaluate_is_refused(arguments, data, tokenizer):
    args = arguments(eval_strategy="no", eval_on_start=True)
    with pytest.raises(ValueError, match="^eval_on_start needs rows to evaluate, found no validation rows"):
        MultiTaskTrainer(tiny_bert(), args, processing_class=tokenizer, train_dataset=data)


def test_a_start_alone_may_be_evaluated(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, eval_on_start=True)
    job.train()
    assert [line["step"] for line in job.state.log_history if "eval_loss" in line] == [0]
