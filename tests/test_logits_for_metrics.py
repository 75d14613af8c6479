"""What a user makes of the logits for metrics of his own is theirs; all else stays exact."""

import numpy as np
import pytest
import torch
from conftest import tiny_bert
from datasets import Dataset
from test_trainer import rows, trainer
from transformers import set_seed

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize


def answers(logits, labels):
    """The usual way to save memory."""
    return {task: values.argmax(-1) for task, values in logits.items()}


def accuracy(prediction):
    found, labels = prediction.predictions["topic"], prediction.label_ids["topic"]
    return {"acc": float((found == labels)[labels != -100].mean()), "rows": len(found)}


def probabilities(logits, labels):
    return {task: values.softmax(-1) for task, values in logits.items()}


@pytest.fixture
def make(tmp_path, tokenizer):
    data = tokenize(Dataset.from_list(rows()), tokenizer, 32)

    def made(compute_metrics=accuracy, preprocess=answers, **arguments):
        how = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 5, "use_cpu": True, "disable_tqdm": True}
        set_seed(0)  # so that all models are the same
        return MultiTaskTrainer(
            tiny_bert(),
            MultiTaskTrainingArguments(str(tmp_path), **{**how, "eval_strategy": "epoch", **arguments}),
            processing_class=tokenizer,
            train_dataset=data,
            eval_dataset=data,
            compute_metrics=compute_metrics,
            preprocess_logits_for_metrics=preprocess,
        )

    return made


def test_metrics_of_ones_own_get_what_was_made_of_the_logits(make, tmp_path, tokenizer):
    job = make(num_train_epochs=1)
    job.train()
    found, plain = job.evaluate(), trainer(tmp_path, tokenizer, job.model).evaluate()
    assert found["eval_rows"] == 16
    assert found["eval_acc"] == plain["eval_topic_accuracy"]


@pytest.mark.parametrize("preprocess", [answers, probabilities])
def test_no_losses_are_computed_of_what_are_no_logits(make, preprocess):
    job = make(lambda prediction: {}, preprocess)
    found = job.evaluate()
    assert not any(name.endswith(("topic_loss", "sentiment_loss")) for name in found)
    batches = [job.data_collator(job.eval_dataset.select(range(i, min(i + 5, 16))).to_list()) for i in (0, 5, 10, 15)]
    with torch.no_grad():
        losses = [job.model(**batch).loss.item() for batch in batches]
    assert found["eval_loss"] == pytest.approx(np.average(losses, weights=[5, 5, 5, 1]))


@pytest.mark.parametrize("arguments", [{}, {"load_best_model_at_end": True, "save_strategy": "epoch"}])
def test_a_run_can_be_trained_with_it(make, arguments):
    make(num_train_epochs=2, **arguments).train()


def test_the_librarys_own_metrics_refuse_what_are_no_logits(make):
    with pytest.raises(ValueError, match="needs a compute_metrics of your own, found none"):
        make(compute_metrics=None)


def test_calibration_reads_the_logits_themselves(make):
    jobs = make(), make(preprocess=None, compute_metrics=None)
    found, expected = (job.calibrate(job.eval_dataset)["sentiment"] for job in jobs)
    assert found.nll_after == pytest.approx(expected.nll_after)
    assert jobs[0].preprocess_logits_for_metrics is answers


@pytest.mark.parametrize("ignored", [["hidden_states"], ["losses"], []])
def test_keys_that_are_ignored_are_so_besides_those_of_the_configuration(tmp_path, tokenizer, ignored):
    job = trainer(tmp_path, tokenizer, eval_strategy="epoch")
    job.train(ignore_keys_for_eval=ignored)
    assert job.evaluate(ignore_keys=ignored)["eval_loss"] == job.evaluate()["eval_loss"]
    assert set(job.predict(job.eval_dataset, ignore_keys=ignored).predictions) == {"topic", "sentiment"}
