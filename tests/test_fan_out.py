"""The fan-out: one place where the tasks' gradients are seen and combined, and nothing else is changed."""

import pytest
import torch
from conftest import TASKS, tiny_bert
from test_trainer import relative_difference

from hf_multitask.balancing.fan_out import FanOut, gramian

KINDS = [
    *TASKS,
    {"name": "places", "problem_type": "token_classification", "labels": ["no", "yes"]},
    {"name": "alike", "problem_type": "similarity", "loss_weight": 0.5},
    {"name": "grade", "problem_type": "regression"},
]


def batch(rows=6, length=5):
    labels = {
        "topic": torch.tensor([0, 1, -100, 2, -100, 0]),
        "sentiment": torch.tensor([-100, -100, 1, 0, -100, 1]),
        "places": torch.randint(2, (rows, length)),
        "alike": torch.tensor([[0.2], [float("nan")], [0.9], [float("nan")], [float("nan")], [float("nan")]]),
        "grade": torch.full((rows, 1), float("nan")),
    }
    labels["places"][2:4] = -100
    pairs = {"pair_input_ids": torch.randint(4, 30, (2, 7)), "pair_rows": torch.tensor([0, 2])}
    return {"input_ids": torch.randint(4, 30, (rows, length)), "labels": labels, **pairs}


def gradients(model, inputs, fan_out=None):
    model.zero_grad()
    model.fan_out = fan_out
    model(**inputs).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def by_part(found):
    encoder = {name: value for name, value in found.items() if name.startswith("backbone")}
    return encoder, {name: value for name, value in found.items() if name not in encoder}


COMBINES = {"none": lambda names, virtual: None, "ones": lambda names, virtual: torch.ones(len(names))}


@pytest.mark.parametrize("combine", COMBINES.values(), ids=COMBINES)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_left_as_they_are_the_gradients_of_all_kinds_are_those_of_the_plain_sum(combine, checkpointing):
    model = tiny_bert(tasks=KINDS).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    inputs = batch()
    expected = gradients(model, inputs)
    found = gradients(model, inputs, FanOut(model.config.tasks, combine))
    assert relative_difference(found, expected) < 1e-6
    for name in by_part(expected)[1]:
        assert torch.equal(found[name], expected[name]), "a head's gradient is not touched"


@pytest.mark.parametrize("factors", [[2.0, 0.5, 0.0, -1.0], [0.1, 0.2, 0.3, 0.4]])
def test_the_encoder_learns_from_the_weighted_gradients_and_the_heads_from_the_plain_ones(factors):
    model = tiny_bert(tasks=KINDS)
    inputs = batch()
    _, plain_heads = by_part(gradients(model, inputs))
    losses = model(**inputs).losses
    names = ["topic", "sentiment", "places", "alike"]
    weighted = [f * losses[name] * model.config.task(name).loss_weight for f, name in zip(factors, names, strict=True)]
    model.zero_grad()
    torch.stack(weighted).sum().backward()
    expected = {name: p.grad for name, p in model.backbone.named_parameters(prefix="backbone") if p.grad is not None}
    seen = []

    def combine(found, virtual_TDD):
        seen.append(list(found))
        return torch.tensor(factors)

    encoder, heads = by_part(gradients(model, inputs, FanOut(model.config.tasks, combine)))
    assert seen == [names], "in the model's order, without the task that has no label"
    assert relative_difference(encoder, expected) < 1e-5
    assert relative_difference(heads, plain_heads) == 0


def test_what_is_seen_of_each_task_is_the_gradient_of_a_layer_that_all_texts_and_tokens_pass():
    model = tiny_bert(tasks=KINDS)
    inputs = batch()
    seen = {}

    def combine(names, virtual_TDD):
        seen.update(zip(names, virtual_TDD, strict=True))

    gradients(model, inputs, FanOut(model.config.tasks, combine))
    layer = torch.nn.Linear(16, 16, bias=False)
    torch.nn.init.eye_(layer.weight)
    handle = model.backbone.register_forward_hook(
        lambda module, args, output: type(output)(last_hidden_state=layer(output.last_hidden_state))
    )
    losses = model.eval()(**inputs).losses
    handle.remove()
    for name, found in seen.items():
        loss = losses[name] * model.config.task(name).loss_weight
        (expected,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_tasks_with_labels_on_different_rows_are_comparable():
    tasks = [TASKS[1], {**TASKS[1], "name": "again"}]
    model = tiny_bert(tasks=tasks)
    model.heads["again"].load_state_dict(model.heads["sentiment"].state_dict())
    ids = torch.randint(4, 30, (1, 5)).repeat(2, 1)  # the same text twice, labelled for either task
    labels = {"sentiment": torch.tensor([1, -100]), "again": torch.tensor([-100, 1])}
    products = []
    fan_out = FanOut(model.config.tasks, lambda names, virtual: products.append(gramian(virtual)))
    gradients(model, {"input_ids": ids, "labels": labels}, fan_out)
    cosine = products[0][0, 1] / products[0].diagonal().prod().sqrt()
    assert cosine.item() == pytest.approx(1.0, abs=1e-5)


def test_the_virtual_gradients_add_up_over_micro_batches():
    model = tiny_bert()
    inputs = batch()
    inputs = {"input_ids": inputs["input_ids"], "labels": {name: inputs["labels"][name] for name in model.heads}}
    counts = {name: labels.ne(-100).sum() for name, labels in inputs["labels"].items()}
    seen = []
    fan_out = FanOut(model.config.tasks, lambda names, virtual: seen.append(virtual))
    gradients(model, {**inputs, "num_items_in_batch": counts}, fan_out)
    for rows in (slice(0, 2), slice(2, 6)):
        part = {"input_ids": inputs["input_ids"][rows], "labels": {n: v[rows] for n, v in inputs["labels"].items()}}
        gradients(model, {**part, "num_items_in_batch": counts}, fan_out)
    torch.testing.assert_close(seen[1] + seen[2], seen[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_seen_in_mixed_precision_is_multiplied_in_float32(inside):
    model = tiny_bert()
    inputs = batch()
    inputs = {"input_ids": inputs["input_ids"], "labels": {name: inputs["labels"][name] for name in model.heads}}
    seen = []
    model.fan_out = FanOut(model.config.tasks, lambda names, virtual: seen.append(virtual))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**inputs).loss
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    assert seen[0].dtype == torch.float32
    model.fan_out = None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**inputs)
    output.sentence_embedding.retain_grad()
    assert not torch.equal(seen[0], seen[0].bfloat16().float()), "not rounded"


def test_an_evaluation_and_a_model_without_labels_are_not_fanned_out():
    model = tiny_bert()
    model.fan_out = FanOut(model.config.tasks, lambda names, virtual: pytest.fail("no gradient is computed"))
    inputs = batch()
    with torch.no_grad():
        model(input_ids=inputs["input_ids"], labels={"topic": inputs["labels"]["topic"]})
        model(input_ids=inputs["input_ids"])


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # dynamo asks, at a graph break
def test_a_compiled_model_has_the_same_gradients():
    model = tiny_bert()
    inputs = batch()
    inputs = {"input_ids": inputs["input_ids"], "labels": {name: inputs["labels"][name] for name in model.heads}}
    expected = gradients(model, inputs)
    model.zero_grad()
    seen = []

    def combine(names, virtual):
        seen.extend(names)
        return torch.ones(len(names))

    model.fan_out = FanOut(model.config.tasks, combine)
    torch.compile(model, backend="aot_eager")(**inputs).loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert seen == ["topic", "sentiment"]
    assert relative_difference(found, expected) < 1e-5
