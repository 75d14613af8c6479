"""A similarity is learned from batches of any make-up: with pairs, without, and with pairs alone."""

import pytest
import torch
from conftest import tiny_bert
from datasets import Dataset
from test_trainer import KeepGradients, relative_difference, trainer

from hf_multitask.modeling.pairs import pair_logits

WITHOUT_TOPIC = [
    {"name": "topic", "labels": ["News", "Opinion"], "loss_weight": 0.0},
    {"name": "alike", "problem_type": "similarity"},
]


@pytest.fixture
def rows(tokenizer):
    """Four texts without a second one, and behind them four pairs."""
    made = []
    for row in range(8):
        ids = tokenizer("good film " * (1 + row % 3))["input_ids"]
        second = tokenizer("bad film " * (1 + row % 2))["input_ids"] if row > 3 else None
        targets = {"topic": None if second else row % 2, "alike": [row / 8] if second else None}
        made.append({"input_ids": ids, "pair_input_ids": second, "targets": targets})
    return Dataset.from_list(made)


def gradients(job, rows):
    job.train_dataset = rows
    kept = KeepGradients(job)
    job.train()
    return kept.gradients


def started(tmp_path, tokenizer, weights, **arguments):
    model = tiny_bert(tasks=WITHOUT_TOPIC)
    model.load_state_dict(weights)
    return trainer(tmp_path, tokenizer, model, **arguments)


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return tiny_bert(tasks=WITHOUT_TOPIC).state_dict()


def test_a_micro_batch_without_pairs_adds_nothing_where_a_similarity_alone_is_learned(
    tmp_path, tokenizer, weights, rows
):
    whole = gradients(started(tmp_path, tokenizer, weights, per_device_train_batch_size=8), rows)
    parts = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    assert relative_difference(gradients(started(tmp_path, tokenizer, weights, **parts), rows), whole) < 1e-5


def test_a_batch_of_pairs_alone_changes_nothing_where_the_encoder_is_frozen(tmp_path, tokenizer, weights, rows):
    job = started(tmp_path, tokenizer, weights, per_device_train_batch_size=4, freeze=["backbone"])
    job.train_dataset = rows.select(range(4, 8))
    job.train()
    assert job.state.global_step == 1
    assert all(torch.equal(value, weights[name]) for name, value in job.model.state_dict().items())


def test_the_gradient_of_texts_without_a_partner_is_zero_not_nan():
    embedding = torch.randn(3, 4, requires_grad=True)
    logits = pair_logits(embedding, None, None)
    assert logits.isnan().all()
    logits.masked_fill(logits.isnan(), 0.0).sum().backward()
    assert torch.equal(embedding.grad, torch.zeros(3, 4))


@pytest.mark.parametrize(("counted", "tokens"), [("all", (8 * 8 + 4 * 6) * 2), ("non_padding", None)])
def test_the_tokens_of_both_texts_are_counted(tmp_path, tokenizer, rows, counted, tokens):
    job = trainer(tmp_path, tokenizer, tiny_bert(tasks=WITHOUT_TOPIC), num_train_epochs=2)
    job.args.include_num_input_tokens_seen = counted
    job.train_dataset = rows
    job.train()
    lengths = [len(row["input_ids"]) + len(row["pair_input_ids"] or ()) for row in rows]
    assert job.state.num_input_tokens_seen == (2 * sum(lengths) if tokens is None else tokens)
    assert job.state.total_flos == 6 * 2 * (8 * 8 + 4 * 6) * job.model.num_parameters(exclude_embeddings=True)
