"""What keeps the host from waiting for a GPU, as far as a CPU can show it; the rest is in test_cuda.py."""

import numpy as np
import pytest
import torch
from architectures import tiny_model, token_ids
from test_trainer import rows, trainer

from hf_multitask import Task
from hf_multitask.modeling import packing
from hf_multitask.modeling.packing import PACKED_ATTENTION
from hf_multitask.training import finite
from hf_multitask.training.computing import known_lengths
from hf_multitask.training.finite import FiniteLosses

GPU = torch.device("cuda")
TOPIC = Task(name="topic", labels=("a", "b"))


@pytest.fixture
def packed():
    model = tiny_model("bert")
    model.set_attn_implementation(PACKED_ATTENTION)
    return model


def with_pairs():
    second = token_ids(5, 14)
    return token_ids(7, 3, 12) | {f"pair_{name}": tensor for name, tensor in second.items()}


def test_lengths_of_first_and_second_texts_are_read_while_they_are_on_the_host(packed):
    assert known_lengths(packed.config, with_pairs(), GPU)["text_lengths"].tolist() == [7, 3, 12, 5, 14]


def test_with_them_a_batch_is_computed_as_without(packed):
    batch = with_pairs() | {"pair_rows": torch.tensor([0, 2])}
    lengths = known_lengths(packed.config, batch, GPU)
    assert torch.equal(packed(**batch, **lengths).sentence_embedding, packed(**batch).sentence_embedding)


def test_lengths_that_cannot_be_those_of_the_batch_are_refused(packed):
    for lengths in ([7, 3], [7, 3, 13]):
        with pytest.raises(ValueError, match=r"those of 3 texts of at most 12 tokens, found \[7, 3"):
            packed(**token_ids(7, 3, 12), text_lengths=np.array(lengths))


def test_lengths_are_not_told_of_a_batch_without_all_its_masks(packed):
    batch = with_pairs()
    assert known_lengths(packed.config, {k: v for k, v in batch.items() if k != "pair_attention_mask"}, GPU) == {}
    assert known_lengths(packed.config, batch | {"attention_mask": None}, GPU) == {}


def test_with_them_the_mask_is_not_asked_for_lengths(packed, monkeypatch):
    batch = token_ids(7, 3, 12)
    lengths = known_lengths(packed.config, batch, GPU)
    monkeypatch.setattr(packing, "lengths_of", lambda mask: pytest.fail("the mask was read"))
    packed(**batch, **lengths)


@pytest.mark.parametrize("device", [torch.device("cpu"), GPU])
def test_lengths_are_not_told_where_nothing_needs_them_or_padding_is_on_the_left(packed, device):
    batch = token_ids(7, 3, 12)
    if device == GPU:
        batch = {name: tensor.flip(1) for name, tensor in batch.items()}
    assert known_lengths(packed.config, batch, device) == {}
    assert known_lengths(packed.config, {"sentence_embedding": torch.zeros(2, 16)}, GPU) == {}
    assert known_lengths(tiny_model("bert").config, token_ids(7, 3, 12), GPU) == {}


@pytest.fixture
def late(monkeypatch):
    """Losses as on a GPU: what they are is known one micro-batch later."""

    class Answer(finite._Answer):
        is_late = True

    monkeypatch.setattr(finite, "_Answer", Answer)


def add(losses, loss, rows, step):
    logits, labels = {"topic": torch.full((2, 2), loss)}, {"topic": torch.tensor([0, 1])}
    losses.add({"topic": torch.tensor(loss)}, logits, labels, rows, step)


def test_a_loss_that_comes_late_names_its_own_rows_and_step(late):
    losses = FiniteLosses([TOPIC])
    add(losses, float("nan"), ["a/1", "a/2"], 3)
    with pytest.raises(FloatingPointError, match="Step 3: .* in the rows a/1, a/2"):
        add(losses, 0.0, ["a/3", "a/4"], 4)


def test_what_comes_late_is_waited_for_when_asked(late):
    losses = FiniteLosses([TOPIC])
    add(losses, float("nan"), ["a/1", "a/2"], 3)
    with pytest.raises(FloatingPointError, match="Step 3: .* in the rows a/1, a/2"):
        losses.check()
    losses.check()


@pytest.mark.parametrize("arguments", [{"logging_steps": 4}, {"save_strategy": "steps", "save_steps": 4}, {}])
def test_nothing_is_logged_saved_or_ended_after_a_last_loss_that_is_no_number(tmp_path, tokenizer, late, arguments):
    made = trainer(
        tmp_path,
        tokenizer,
        data=rows(32),
        per_device_train_batch_size=8,
        **{"logging_steps": 100} | arguments,
    )
    forward, calls = made.model.heads["topic"].forward, []

    def spoilt(embedding):
        calls.append(embedding)
        return forward(embedding) * (float("nan") if len(calls) == 4 else 1.0)

    made.model.heads["topic"].forward = spoilt
    with pytest.raises(FloatingPointError, match=r"Step 3: .* those in memory are spoiled\."):
        made.train()
    assert not list(tmp_path.glob("checkpoint-*"))
    assert not any("loss" in name for line in made.state.log_history for name in line)


def test_the_floating_point_operations_told_are_those_of_transformers(tmp_path, tokenizer):
    made = trainer(tmp_path, tokenizer)
    batch = next(iter(made.get_train_dataloader()))
    expected = 6 * batch["input_ids"].numel() * made.model.num_parameters(exclude_embeddings=True)
    assert made.floating_point_ops(batch) == expected
    assert made.floating_point_ops({"sentence_embedding": torch.zeros(2, 8)}) == 0
