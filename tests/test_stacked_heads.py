"""Heads of one kind are computed together where they are learned, and nothing but rounding tells."""

import pytest
import torch
from conftest import TASKS, tiny_bert
from test_trainer import relative_difference

from hf_multitask import Task
from hf_multitask.modeling.losses import count_items, task_losses
from hf_multitask.modeling.stacked_heads import can_be_stacked, stacked_logits
from hf_multitask.modeling.summed_losses import summed_losses

KINDS = [
    *TASKS,
    {"name": "genre", "labels": ["a", "b", "c"], "class_weights": [1.0, 2.0, 0.5]},
    {"name": "tone", "labels": ["a", "b"], "label_smoothing": 0.1, "loss_weight": 0.3},
    {"name": "deep", "labels": ["a", "b"], "head": {"hidden": [4]}},
    {"name": "grade", "problem_type": "ordinal", "labels": ["low", "mid", "high"]},
    {"name": "places", "problem_type": "token_classification", "labels": ["no", "yes"]},
    {"name": "topics", "problem_type": "multi_label_classification", "labels": ["a", "b"]},
    {"name": "stars", "problem_type": "regression"},
    {"name": "alike", "problem_type": "similarity"},
]
NAN = float("nan")


def batch(rows=6, length=5):
    pairs = {"pair_input_ids": torch.randint(4, 30, (2, 7)), "pair_rows": torch.tensor([0, 2])}
    labels = {
        **{name: torch.randint(3, (rows,)) for name in ("topic", "genre", "grade")},
        **{name: torch.randint(2, (rows,)) for name in ("sentiment", "tone", "deep")},
        "places": torch.randint(2, (rows, length)),
        "topics": torch.tensor([[1.0, 0.0], [NAN, 1.0]] * (rows // 2)),
        "stars": torch.randn(rows, 1),
        "alike": torch.tensor([[0.3], [NAN], [0.9]] + [[NAN]] * (rows - 3)),
    }
    for name in ("topic", "sentiment", "genre"):
        labels[name][torch.randperm(rows)[:2]] = -100
    return {"input_ids": torch.randint(4, 30, (rows, length)), "labels": labels, **pairs}


def counts(model, inputs):
    found = count_items(model.config.tasks, inputs["labels"], {})
    return {task.name: n for task, n in zip(model.config.tasks, found, strict=True) if n}


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_a_model_told_its_targets_has_the_losses_and_gradients_of_each_task_alone():
    model, inputs = tiny_bert(tasks=KINDS), batch()
    apart = model(**inputs)
    apart.loss.backward()
    expected = gradients(model)
    together = model(**inputs, num_items_in_batch=counts(model, inputs))
    together.loss.backward()
    assert list(together.losses) == list(apart.losses) == [task["name"] for task in KINDS]
    torch.testing.assert_close(together.losses, apart.losses, rtol=1e-6, atol=1e-7)
    assert relative_difference(gradients(model), expected) < 1e-6


def test_stacked_logits_are_those_of_each_head():
    heads = {str(size): torch.nn.Linear(16, size) for size in (3, 1, 5)}
    embedding = torch.randn(7, 16)
    found = stacked_logits(heads, embedding)
    assert list(found) == list(heads)
    torch.testing.assert_close(found, {name: head(embedding) for name, head in heads.items()})


def test_the_logits_of_a_model_that_is_told_no_targets_are_bit_equal_to_those_of_its_heads():
    model, inputs = tiny_bert(tasks=KINDS[:4]), batch()
    found = model(**{name: inputs[name] for name in ("input_ids",)}, labels={"topic": inputs["labels"]["topic"]})
    for name, head in model.heads.items():
        assert torch.equal(found.logits[name], head(found.sentence_embedding))


@pytest.mark.parametrize("absent", ["no label", "no target anywhere", "weight zero"])
def test_a_head_that_is_not_in_the_loss_has_no_gradient(absent):
    tasks = [dict(task) for task in KINDS[:4]]
    if absent == "weight zero":
        tasks[1]["loss_weight"] = 0.0
    model, inputs = tiny_bert(tasks=tasks), batch()
    inputs["labels"] = {task["name"]: inputs["labels"][task["name"]] for task in tasks}
    if absent == "no target anywhere":
        inputs["labels"]["sentiment"].fill_(-100)
    items = counts(model, inputs)
    if absent == "no label":  # here, but in another micro-batch
        del inputs["labels"]["sentiment"]
    model(**inputs, num_items_in_batch=items).loss.backward()
    without = {name for name, head in model.heads.items() if head.weight.grad is None}
    assert without == {"sentiment"}


def hooked(head):
    head.register_forward_hook(lambda module, args, output: None)


def watched(head):
    head.register_full_backward_hook(lambda module, grad_input, grad_output: None)


def replaced(head):
    head.forward = lambda x: torch.nn.functional.linear(x, head.weight, head.bias)


def parametrized(head):
    torch.nn.utils.parametrizations.weight_norm(head)


@pytest.mark.parametrize("change", [hooked, watched, replaced, parametrized])
def test_a_head_that_somebody_has_changed_is_left_to_itself(change):
    head = torch.nn.Linear(4, 2)
    assert can_be_stacked(head)
    change(head)
    assert not can_be_stacked(head)


def test_a_hook_of_a_head_runs_in_training():
    model, inputs, seen = tiny_bert(), batch(), []
    inputs["labels"] = {name: inputs["labels"][name] for name in ("topic", "sentiment")}
    model.heads["topic"].register_forward_hook(lambda module, args, output: seen.append(output))
    found = model(**inputs, num_items_in_batch=counts(model, inputs))
    assert seen[0] is found.logits["topic"]


ALIKE = {
    "choice": {"labels": ("a", "b", "c")},
    "weighted choice": {"labels": ("a", "b", "c"), "class_weights": ((1.0, 3.0, 0.5), (2.0, 1.0, 1.0))},
    "smoothed choice": {"labels": ("a", "b", "c"), "label_smoothing": 0.2},
    "numbers": {"problem_type": "regression", "labels": ("x", "y"), "target_std": ((2.0, 1.0), (0.5, 3.0))},
    "scores": {"problem_type": "similarity", "score_range": ((0.0, 5.0), (1.0, 2.0))},
    "any": {
        "problem_type": "multi_label_classification",
        "labels": ("x", "y"),
        "class_weights": ((1.0, 4.0), (2.0, 1.0)),
        "label_smoothing": 0.1,
    },
}


@pytest.mark.parametrize("kind", ALIKE)
def test_losses_of_tasks_of_one_kind_are_those_of_each_alone(kind):
    own = ("class_weights", "target_std", "score_range")
    tasks = [
        Task(name=f"t{n}", **{key: value[n] if key in own else value for key, value in ALIKE[kind].items()})
        for n in range(2)
    ]
    outputs = 1 if kind == "scores" else tasks[0].num_labels
    logits = {task.name: torch.randn(8, outputs, requires_grad=True) for task in tasks}
    if tasks[0].is_choice:
        labels = {task.name: torch.tensor([0, 1, 2, -100, 1, -100, 2, 0]) for task in tasks}
    else:
        labels = {
            task.name: torch.rand(8, outputs).round().masked_fill(torch.rand(8, outputs) < 0.3, NAN) for task in tasks
        }
    found = summed_losses(tasks, logits, labels)
    for task in tasks:
        expected = summed_losses([task], logits, labels)[task.name]
        torch.testing.assert_close(found[task.name], expected)
        both = [
            torch.autograd.grad(loss, logits[task.name], retain_graph=True)[0] for loss in (found[task.name], expected)
        ]
        torch.testing.assert_close(*both)


def test_a_choice_with_weights_and_smoothing_beside_another_is_torchs():
    weights, smoothing = ([1.0, 3.0], [2.0, 0.5]), 0.2
    tasks = [Task(name=f"t{n}", labels=("a", "b"), class_weights=weights[n], label_smoothing=smoothing) for n in (0, 1)]
    logits, labels = {task.name: torch.randn(5, 2) for task in tasks}, torch.tensor([0, 1, -100, 1, 0])
    found = summed_losses(tasks, logits, {task.name: labels for task in tasks})
    for n, task in enumerate(tasks):
        how = {"weight": torch.tensor(weights[n]), "reduction": "sum", "label_smoothing": smoothing}
        expected = torch.nn.functional.cross_entropy(logits[task.name], labels, **how)
        torch.testing.assert_close(found[task.name], expected)


def test_without_counts_the_loss_of_a_task_is_a_tensor_of_its_own():
    model, inputs = tiny_bert(tasks=KINDS[:4]), batch()
    inputs["labels"] = {task["name"]: inputs["labels"][task["name"]] for task in KINDS[:4]}
    losses = model(**inputs).losses
    losses["topic"] *= 2.0
    losses["topic"].backward()
    assert {name for name, head in model.heads.items() if head.weight.grad is not None} == {"topic"}


def test_counts_may_be_plain_numbers():
    model, inputs = tiny_bert(tasks=KINDS[:4]), batch()
    inputs["labels"] = {task["name"]: inputs["labels"][task["name"]] for task in KINDS[:4]}
    items = counts(model, inputs)
    expected = model(**inputs, num_items_in_batch=items).loss
    found = model(**inputs, num_items_in_batch={name: int(count) for name, count in items.items()}).loss
    torch.testing.assert_close(found, expected)


def test_tasks_of_one_kind_whose_logits_have_other_shapes_are_computed_apart():
    tasks = [Task(name=name, problem_type="token_classification", labels=("a", "b")) for name in ("x", "y")]
    logits = {"x": torch.randn(2, 3, 2), "y": torch.randn(4, 3, 2)}
    labels = {"x": torch.randint(2, (2, 3)), "y": torch.randint(2, (4, 3))}
    assert list(task_losses(tasks, logits, labels)) == ["x", "y"]


def operations(tasks):
    """Matrix products and losses of a forward and backward pass."""
    model = tiny_bert(tasks=[{"name": f"t{n}", "labels": ["a", "b"]} for n in range(tasks)]).train()
    labels = {f"t{n}": torch.randint(2, (4,)) for n in range(tasks)}
    inputs = {"input_ids": torch.randint(4, 30, (4, 5)), "labels": labels}
    inputs["num_items_in_batch"] = counts(model, inputs)
    kinds = ("aten::addmm", "aten::mm", "aten::nll_loss_forward", "aten::nll_loss_backward", "aten::_log_softmax")
    with torch.profiler.profile(acc_events=True) as profile:
        model(**inputs).loss.backward()
    return sum(event.count for event in profile.key_averages() if event.key in kinds)


def test_thirty_tasks_take_as_many_products_and_losses_as_two():
    assert operations(30) == operations(2)
