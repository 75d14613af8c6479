"""A task is held to another model's answers: the same loss and gradient however rows are cut into batches."""

import math

import pytest
import torch
from conftest import tiny_bert
from datasets import Dataset, Features, Value
from records import TASKS
from test_trainer import first_gradients, relative_difference, rows, trainer
from torch.nn import functional as F

from hf_multitask import MultiTaskCollator
from hf_multitask.data.mixing import Mixture
from hf_multitask.data.targets import target_feature
from hf_multitask.data.tokenization import tokenize
from hf_multitask.modeling.distillation import TEMPERATURE, count_taught, summed_distillation
from hf_multitask.modeling.losses import task_losses
from hf_multitask.modeling.task import Task
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.training.distillation import teach

KINDS = {task.problem_type: task for task in TASKS}
SHAPES = {"token_classification": (4, 5)}


def logits_of(task, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*SHAPES.get(task.problem_type, (4,)), task.num_labels, generator=generator) * 2


def kullback_leibler(p, q):
    return (p * (p / q).log()).sum()


@pytest.mark.parametrize("kind", ["single_label_classification", "ordinal", "token_classification"])
def test_choices_are_held_by_the_divergence_of_softened_probabilities(kind):
    task = KINDS[kind]
    z, t = logits_of(task, 0), logits_of(task, 1)
    expected = 4 * kullback_leibler((t.double() / 2).softmax(-1), (z.double() / 2).softmax(-1))
    assert TEMPERATURE == 2
    assert summed_distillation(task, z, t).item() == pytest.approx(expected.item(), rel=1e-5)
    assert count_taught(task, t).item() == t[..., 0].numel()


def test_several_labels_are_held_by_the_divergence_of_each():
    task = KINDS["multi_label_classification"]
    z, t = logits_of(task, 0), logits_of(task, 1)
    p, q = (torch.stack([(x.double() / 2).sigmoid(), (-x.double() / 2).sigmoid()]) for x in (t, z))
    assert summed_distillation(task, z, t).item() == pytest.approx(4 * kullback_leibler(p, q).item(), rel=1e-5)
    assert count_taught(task, t).item() == 8


def test_numbers_are_held_by_squared_errors_in_standard_deviations_and_cosines_as_they_are():
    task = KINDS["regression"]
    z, t = logits_of(task, 0), logits_of(task, 1)
    expected = ((z - t) / task.target_std[0]).square().sum()
    torch.testing.assert_close(summed_distillation(task, z, t), expected)
    torch.testing.assert_close(summed_distillation(KINDS["similarity"], z, t), (z - t).square().sum())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_answers_that_agree_cost_nothing_and_pull_nowhere(task):
    t = logits_of(task, 0)
    z = t.clone().requires_grad_()
    loss = summed_distillation(task, z, t)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert z.grad.abs().max().item() < 1e-6


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_what_has_no_answer_of_the_teacher_has_no_gradient_even_where_its_own_is_no_number(task):
    t = logits_of(task, 0)
    t[1] = math.nan
    z = logits_of(task, 1)
    z[1] = math.nan
    z.requires_grad_()
    summed_distillation(task, z, t).backward()
    assert torch.equal(z.grad[1], torch.zeros_like(z.grad[1]))
    assert z.grad[0].abs().sum() > 0


def test_labels_and_answers_share_one_mean():
    task = Task(name="topic", labels=("a", "b"))
    z, t = torch.randn(3, 2), torch.randn(3, 2)
    t[0] = math.nan
    labels = torch.tensor([1, -100, -100])
    loss = task_losses([task], {"topic": z}, {"topic": labels}, None, {"topic": t})["topic"]
    expected = (F.cross_entropy(z[:1], labels[:1]) + summed_distillation(task, z, t)) / 3
    torch.testing.assert_close(loss, expected)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(1)
    return tiny_bert(initializer_range=0.3).state_dict()


def learner(weights, seed=2):
    """A model whose answers are no longer those of the one with the `weights`."""
    model = tiny_bert()
    generator = torch.Generator().manual_seed(seed)
    changed = {name: p + 0.1 * torch.randn(p.shape, generator=generator) for name, p in weights.items()}
    model.load_state_dict(changed)
    return model


def job(tmp_path, tokenizer, weights, **arguments):
    """A Trainer whose rows have the answers of the model with the `weights` where they have no label."""
    found = trainer(tmp_path, tokenizer, learner(weights), **arguments)
    teacher = tiny_bert()
    teacher.load_state_dict(weights)
    collate = MultiTaskCollator(tokenizer, teacher.config.tasks)
    plain = found.train_dataset.datasets["train"]
    found.train_dataset = Mixture({"train": teach(teacher, plain, teacher.config.tasks, collate, 3)}, MixingSettings())
    return found


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 4), (1, 16), (5, 4)])
def test_accumulated_gradients_of_distillation_equal_those_of_one_batch(
    tmp_path, tokenizer, weights, batch_size, accumulation
):
    whole = first_gradients(job(tmp_path, tokenizer, weights))
    sizes = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": accumulation}
    cut = first_gradients(job(tmp_path, tokenizer, weights, **sizes))
    assert relative_difference(cut, whole) < 1e-6


def test_the_gradients_of_distillation_are_those_of_a_plain_loop(tmp_path, tokenizer, weights):
    found = first_gradients(job(tmp_path, tokenizer, weights))
    teacher, model = tiny_bert(), learner(weights)
    teacher.load_state_dict(weights)
    batch = job(tmp_path, tokenizer, weights).train_dataset
    batch = MultiTaskCollator(tokenizer, model.config.tasks)([batch[index] for index in range(16)])
    labels, _ = batch.pop("labels"), batch.pop("teacher_logits")
    with torch.no_grad():
        expected = teacher(**batch).logits
    loss = 0
    for name, z in model(**batch).logits.items():
        known = labels[name] != -100
        assert 0 < known.sum() < 16
        p, q = ((x[~known] / 2).softmax(-1) for x in (expected[name], z))
        loss = (
            loss + (F.cross_entropy(z[known], labels[name][known], reduction="sum") + 4 * kullback_leibler(p, q)) / 16
        )
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert relative_difference(found, gradients) < 1e-5


def test_every_kind_of_task_is_taught_the_very_answers_of_the_model(tokenizer):
    model = tiny_bert(tasks=TASKS)
    features = Features({"text": Value("string"), "targets": {task.name: target_feature(task) for task in TASKS}})
    features["second_text"] = Value("string")
    empty = dict.fromkeys(task.name for task in TASKS)
    data = [{"text": row["text"], "second_text": "good film", "targets": empty} for row in rows(9)]
    data[4]["targets"] = empty | {"topic": 1, "length": [2.0]}
    tokenized = tokenize(Dataset.from_list(data, features=features), tokenizer, 32)
    collate = MultiTaskCollator(tokenizer, TASKS)
    batch = collate(list(teach(model, tokenized, TASKS, collate, 2)))
    taught = batch.pop("teacher_logits")
    with torch.no_grad():
        logits = model(**batch).logits
    for task in TASKS:
        known = ~taught[task.name].isnan()
        expected = torch.ones_like(known)
        if task.reads_tokens:
            expected = batch["attention_mask"].bool()[..., None].expand_as(known).clone()
        if task.name in ("topic", "length"):
            expected[4] = False
        assert torch.equal(known, expected)
        torch.testing.assert_close(taught[task.name][known], logits[task.name][known], rtol=1e-5, atol=1e-6)


def test_the_filler_row_of_a_mixture_teaches_nothing(tmp_path, tokenizer, weights):
    mixture = job(tmp_path, tokenizer, weights).train_dataset
    assert set(mixture[16]["teacher_logits"].values()) == {None}
    assert mixture[1]["teacher_logits"]["topic"] is not None


@pytest.mark.parametrize("method", ["famo", "gradnorm"])
def test_balancing_survives_divergences_that_rounding_makes_negative(tmp_path, tokenizer, monkeypatch, method):
    def below_zero(task, logits, teacher_logits):
        return summed_distillation(task, logits, teacher_logits) * 0 - 1e-6

    monkeypatch.setattr("hf_multitask.modeling.losses.summed_distillation", below_zero)
    model = tiny_bert(initializer_range=0.3)
    found = job(tmp_path, tokenizer, model.state_dict(), balancing=method, per_device_train_batch_size=4)
    found.train()
    assert found.state.global_step == 4
