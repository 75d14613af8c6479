"""What a Trainer does with batches by tokens, and the batches of its evaluation."""

from itertools import chain

import numpy as np
import pytest
import torch
from test_trainer import KeepGradients, fresh, relative_difference, rows, trainer

from hf_multitask import MultiTaskCollator
from hf_multitask.data.flat_rows import FlatRows
from hf_multitask.data.longest_first import LongestFirst
from hf_multitask.training.description import told_arguments


@pytest.mark.parametrize(("budget", "accumulation"), [(30, 5), (24, 6)])
def test_gradients_of_micro_batches_by_tokens_equal_those_of_one_batch(
    tmp_path, tokenizer, weights, budget, accumulation
):
    gradients, sizes = [], []
    for values in ({}, {"max_tokens_per_batch": budget, "gradient_accumulation_steps": accumulation}):
        job = trainer(tmp_path, tokenizer, fresh(weights), **values)
        sizes.append([len(batch["input_ids"]) for batch in job.get_train_dataloader()])
        kept = KeepGradients(job)
        job.train()
        assert job.state.global_step == 1
        gradients.append(kept.gradients)
    assert sizes[0] == [16]
    assert len(sizes[1]) == accumulation
    assert len(set(sizes[1])) > 1
    assert relative_difference(gradients[1], gradients[0]) < 1e-5


def test_a_run_by_tokens_resumes_as_if_it_had_not_stopped_and_with_no_other_batches(tmp_path, tokenizer, weights):
    settings = {"max_tokens_per_batch": 20, "gradient_accumulation_steps": 2, "num_train_epochs": 2}
    settings |= {"train_sampling_strategy": "random", "save_strategy": "steps", "save_steps": 3}
    job = trainer(tmp_path, tokenizer, fresh(weights), **settings)
    job.train()
    resumed = trainer(tmp_path, tokenizer, fresh(weights), **settings)
    checkpoint = str(tmp_path / "checkpoint-3")
    resumed.train(resume_from_checkpoint=checkpoint)
    assert resumed.state.global_step == job.state.global_step > 4
    for found, expected in zip(resumed.model.parameters(), job.model.parameters(), strict=True):
        assert torch.equal(found, expected)
    other = trainer(tmp_path, tokenizer, fresh(weights), **settings | {"max_tokens_per_batch": 40})
    with pytest.raises(ValueError, match="must take its rows in the order of its checkpoint"):
        other.train(resume_from_checkpoint=checkpoint)


def test_what_is_told_of_a_run_by_tokens_is_its_budget_and_the_rows_that_it_took(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, fresh(weights), max_tokens_per_batch=20, max_steps=3)
    told = told_arguments(job)
    assert told["max_tokens_per_batch"] == 20
    assert "per_device_train_batch_size" not in told
    metrics = job.train().metrics
    rows_of_step = metrics["train_samples_per_second"] / metrics["train_steps_per_second"]
    assert rows_of_step == pytest.approx(16 / len(job.get_train_dataloader()), abs=0.5)
    assert "max_tokens_per_batch" not in told_arguments(trainer(tmp_path, tokenizer, fresh(weights)))


class Rows(MultiTaskCollator):
    """A collator of the user's own, which gets rows one by one."""


def test_training_and_evaluation_are_the_same_with_rows_one_by_one(tmp_path, tokenizer, weights):
    losses, predictions = [], []
    for collate in (MultiTaskCollator, Rows):
        job = trainer(tmp_path, tokenizer, fresh(weights), per_device_train_batch_size=5)
        job.data_collator = collate(tokenizer, job.model.config.tasks)
        assert isinstance(job.get_train_dataloader().dataset, FlatRows) == (collate is MultiTaskCollator)
        job.train()
        losses.append([line["loss"] for line in job.state.log_history if "loss" in line])
        predictions.append(job.predict(job.eval_dataset))
    assert losses[0] == losses[1]
    for name in ("topic", "sentiment"):
        np.testing.assert_allclose(*(found.predictions[name] for found in predictions), atol=1e-6)
        np.testing.assert_array_equal(*(found.label_ids[name] for found in predictions))


@pytest.mark.parametrize("strategy", ["sequential", "group_by_length"])
@pytest.mark.parametrize("own_metrics", [False, True])
def test_evaluation_answers_in_the_order_of_the_rows(tmp_path, tokenizer, weights, strategy, own_metrics):
    data, seen = rows(23, topic_every=1), []
    settings = {"train_sampling_strategy": strategy, "per_device_eval_batch_size": 4}
    job = trainer(tmp_path, tokenizer, fresh(weights), data, **settings)
    if own_metrics:
        job.compute_metrics = lambda found: seen.append(found) or {}
    assert isinstance(job.get_test_dataloader(job.eval_dataset).dataset, FlatRows if own_metrics else LongestFirst)
    output = job.predict(job.eval_dataset)
    with torch.no_grad():
        expected = job.model(**job.data_collator(job.eval_dataset.to_list()))
    for found in (output, *seen):
        assert found.label_ids["topic"].tolist() == [row["targets"]["topic"] for row in data]
        np.testing.assert_allclose(found.predictions["topic"], expected.logits["topic"].numpy(), atol=1e-5)
    assert len(seen) == own_metrics


def test_evaluation_pads_little(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, fresh(weights), rows(40), per_device_eval_batch_size=8)
    masks = [batch["attention_mask"] for batch in job.get_eval_dataloader()]
    lengths = [mask.sum(1).tolist() for mask in masks]
    assert list(chain(*lengths)) == sorted(job.eval_dataset["length"], reverse=True)
    assert [mask.shape[1] for mask in masks] == [max(batch) for batch in lengths]


@pytest.mark.parametrize("own_metrics", [False, True])
def test_evaluation_reads_every_row_where_training_drops_the_last_ones(tmp_path, tokenizer, own_metrics):
    sizes = {"per_device_train_batch_size": 5, "per_device_eval_batch_size": 5}
    job = trainer(tmp_path, tokenizer, dataloader_drop_last=True, eval_strategy="epoch", **sizes)
    counted = []
    if own_metrics:
        job.compute_metrics = lambda prediction: counted.append(len(prediction.label_ids["topic"])) or {}
    job.train()
    assert job.state.global_step == 3  # of 16 rows
    assert len(job.predict(job.eval_dataset).predictions["topic"]) == 16
    assert counted == ([16, 16] if own_metrics else [])
