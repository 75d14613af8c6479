"""The Trainer with balanced tasks: the same learning however a batch is cut up, and whenever a run is interrupted."""

from functools import partial

import pytest
import torch
from conftest import TASKS, tiny_bert
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from test_trainer import first_gradients, fresh, relative_difference, rows, trainer
from transformers import TrainerCallback, set_seed

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.balancing import methods
from hf_multitask.balancing.methods import GRADIENT_METHODS, KEEP_SHARES, LOSS_METHODS
from hf_multitask.training.distillation import teach


def balanced(tmp_path, tokenizer, balancing, weights, **arguments):
    values = {"per_device_train_batch_size": 4, "num_train_epochs": 4, "head_learning_rate": 0.01}
    return trainer(tmp_path, tokenizer, fresh(weights), balancing=balancing, **{**values, **arguments})


def logged(job, word):
    return [{k: v for k, v in line.items() if k.startswith(f"{word}/")} for line in job.state.log_history]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tokenizer, weights):
    """The gradients of the plain sum."""
    return first_gradients(trainer(tmp_path_factory.mktemp("plain"), tokenizer, fresh(weights)))


@pytest.mark.parametrize("balancing", [*LOSS_METHODS, "gradnorm", "upgrad"])
def test_a_method_trains_and_logs_its_factors(tmp_path, tokenizer, weights, balancing):
    job = balanced(tmp_path, tokenizer, balancing, weights)
    job.train()
    found = [line for line in logged(job, "balance") if line]
    assert {key for line in found for key in line} == {"balance/topic", "balance/sentiment"}
    assert len({line["balance/topic"] for line in found}) > 1
    assert job.model.fan_out is None


def test_the_plain_sum_is_the_default_and_leaves_no_trace(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, fresh(weights), save_strategy="epoch")
    assert job.args.balancing == "sum"
    job.train()
    assert not any(logged(job, "balance"))
    assert not list(tmp_path.rglob("balancing.safetensors"))


@pytest.mark.parametrize("balancing", LOSS_METHODS)
def test_losses_are_weighed_alike_however_a_batch_is_cut_up(tmp_path, tokenizer, weights, balancing):
    found = []
    for accumulation in (1, 4):
        sizes = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
        job = balanced(tmp_path, tokenizer, balancing, weights, optim="sgd", **sizes)
        job.train()
        found.append((logged(job, "balance"), job.model.state_dict()))
    for one, cut in zip(found[0][0], found[1][0], strict=True):
        assert cut == pytest.approx(one, rel=1e-4)
    assert relative_difference(found[1][1], found[0][1]) < 1e-6


def task_gradients(model, batch):
    """Of each task's loss alone, all gradients of the encoder."""
    found = {}
    for name, loss in model(**batch).losses.items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        found[name] = {n: p.grad.clone() for n, p in model.backbone.named_parameters() if p.grad is not None}
    return found


@pytest.mark.parametrize("balancing", GRADIENT_METHODS)
def test_the_encoder_learns_from_the_factors_that_are_logged_and_the_heads_from_the_sum(
    tmp_path,
    tokenizer,
    weights,
    plain,
    balancing,
):
    job = balanced(
        tmp_path, tokenizer, balancing, weights, per_device_train_batch_size=16, num_train_epochs=1, report_to="none"
    )
    model = fresh(weights)
    each = task_gradients(model, job.data_collator([job.train_dataset[index] for index in range(16)]))
    gradients = first_gradients(job)
    factors = logged(job, "balance")[0]
    expected = {}
    for task, found in each.items():
        for name, gradient in found.items():
            part = factors[f"balance/{task}"] * gradient
            expected[f"backbone.{name}"] = expected.get(f"backbone.{name}", 0) + part
    encoder = {name: value for name, value in gradients.items() if name.startswith("backbone")}
    assert relative_difference(encoder, expected) < 1e-5
    for name in gradients.keys() - encoder.keys():
        torch.testing.assert_close(gradients[name], plain[name])


@pytest.mark.parametrize("balancing", GRADIENT_METHODS)
def test_no_method_undoes_the_weight_of_a_task(tmp_path, tokenizer, weights, balancing):
    factors = []
    for weight in (1.0, 4.0):
        model = fresh(weights, tasks=[TASKS[0], {**TASKS[1], "loss_weight": weight}])
        job = trainer(tmp_path, tokenizer, model, balancing=balancing, max_steps=1, logging_steps=1)
        job.train()
        factors.append(logged(job, "balance")[0])
    # What hurts others is taken from a gradient by their lengths, so that these two hold it to some degree.
    assert factors[1] == pytest.approx(factors[0], rel=0.7 if balancing in KEEP_SHARES else 1e-3)


@pytest.mark.parametrize("balancing", LOSS_METHODS)
def test_what_weighs_losses_is_told_them_without_their_weights(tmp_path, tokenizer, weights, balancing, monkeypatch):
    told = []
    kind = type(methods.loss_method(balancing, ["a"], 0.1))
    monkeypatch.setattr(kind, "update", lambda self, losses, after: told.append((losses, after)))
    for weight in (1.0, 4.0):
        model = fresh(weights, tasks=[TASKS[0], {**TASKS[1], "loss_weight": weight}])
        trainer(tmp_path, tokenizer, model, balancing=balancing, max_steps=1).train()
    assert told[1][0] == pytest.approx(told[0][0], rel=1e-6)


def test_a_factor_that_nothing_was_multiplied_by_is_not_in_the_mean(tmp_path, tokenizer, weights):
    data = rows(16, topic_every=1)
    for row in data[:8]:
        row["targets"]["sentiment"] = None
    apart = {"per_device_train_batch_size": 8, "balancing": "mgda", "logging_steps": 1, "num_train_epochs": 1}
    order = {"train_sampling_strategy": "sequential"}
    job = trainer(tmp_path, tokenizer, fresh(weights), data, gradient_accumulation_steps=2, **apart, **order)
    seen = []
    combine = job._gradients._gradients.factors
    job._gradients._start = lambda: None
    job._gradients._gradients.factors = lambda names, virtual: seen.append(combine(names, virtual)) or seen[-1]
    job.train()
    both = seen[1]
    assert logged(job, "balance")[0]["balance/sentiment"] == pytest.approx(both[1])
    assert logged(job, "balance")[0]["balance/topic"] == pytest.approx((seen[0][0] + both[0]) / 2)


@pytest.mark.parametrize("balancing", ["famo", "gradnorm", "mgda"])
def test_answers_of_another_model_cannot_be_balanced_by_progress(tmp_path, tokenizer, weights, balancing):
    model = fresh(weights)
    job = trainer(tmp_path, tokenizer, model)
    plain = job.train_dataset.datasets["train"]
    taught = teach(tiny_bert(initializer_range=0.5), plain, model.config.tasks, job.data_collator, 3)
    arguments = partial(MultiTaskTrainingArguments, str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match=f"balancing='{balancing}' needs losses that say how much is left to learn"):
        MultiTaskTrainer(model, arguments(balancing=balancing), processing_class=tokenizer, train_dataset=taught)
    MultiTaskTrainer(model, arguments(balancing="upgrad"), processing_class=tokenizer, train_dataset=taught)


def test_balancing_by_micro_batches_is_warned_about(tmp_path, tokenizer, weights, caplog):
    trainer(tmp_path, tokenizer, fresh(weights), balancing="upgrad")
    assert not caplog.records
    trainer(tmp_path, tokenizer, fresh(weights), balancing="upgrad", gradient_accumulation_steps=2)
    assert "balancing='upgrad' weighs the tasks of each micro-batch by themselves, 2 in an effective" in caplog.text


def test_uncertainties_that_cannot_move_are_warned_about(tmp_path, tokenizer, weights, caplog):
    trainer(tmp_path, tokenizer, fresh(weights), balancing="uncertainty", head_learning_rate=1.0)
    assert not caplog.records
    trainer(tmp_path, tokenizer, fresh(weights), balancing="uncertainty", head_learning_rate=1e-4)
    assert "balancing='uncertainty' moves a factor by no more than 1 times" in caplog.text


@pytest.mark.parametrize("balancing", ["upgrad", "uncertainty", "famo"])
def test_a_task_absent_from_a_batch_takes_no_part(tmp_path, tokenizer, weights, balancing):
    data = rows(16, topic_every=1)
    for row in data[:8]:
        row["targets"]["sentiment"] = None
    job = trainer(
        tmp_path, tokenizer, fresh(weights), data, per_device_train_batch_size=8, balancing=balancing, logging_steps=1
    )
    job.train()
    first, second = logged(job, "balance")[:2]
    assert first == {"balance/topic": 1.0}
    assert set(second) == {"balance/topic", "balance/sentiment"}


class Break(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        raise RuntimeError("broken")


def test_a_run_that_fails_leaves_nothing_in_the_model(tmp_path, tokenizer, weights):
    job = balanced(tmp_path, tokenizer, "upgrad", weights)
    job.add_callback(Break())
    with pytest.raises(RuntimeError, match="broken"):
        job.train()
    assert job.model.fan_out is None


def resumable(tmp_path, tokenizer, balancing):
    set_seed(0)
    model = tiny_bert(hidden_dropout_prob=0.1)
    values = {"save_strategy": "steps", "save_steps": 5, "train_sampling_strategy": "random", "num_train_epochs": 4}
    sizes = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}  # three steps an epoch
    return trainer(tmp_path, tokenizer, model, balancing=balancing, head_learning_rate=0.01, **values, **sizes)


@pytest.mark.parametrize("balancing", ["uncertainty", "dwa", "famo", "gradnorm", "pcgrad"])
def test_a_resumed_run_goes_on_with_what_balancing_knew(tmp_path, tokenizer, balancing):
    whole = resumable(tmp_path / "a", tokenizer, balancing)
    whole.train()
    resumed = resumable(tmp_path / "b", tokenizer, balancing)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))
    assert logged(resumed, "balance") == logged(whole, "balance")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(("before", "after"), [("uncertainty", "gradnorm"), ("sum", "upgrad")])
def test_a_run_cannot_be_resumed_with_another_balancing(tmp_path, tokenizer, weights, before, after):
    balanced(tmp_path, tokenizer, before, weights, save_strategy="epoch", num_train_epochs=1).train()
    job = balanced(tmp_path, tokenizer, after, weights)
    with pytest.raises(ValueError, match=f"must balance as its checkpoint, method '{before}', found '{after}'"):
        job.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_a_second_run_of_a_trainer_starts_anew(tmp_path, tokenizer, weights):
    job = balanced(tmp_path, tokenizer, "uncertainty", weights)
    job.train()
    job.train()
    assert logged(job, "balance")[0] == {"balance/topic": 1.0}  # all that the first batch has labels for


def test_an_unknown_balancing_is_refused(tmp_path, tokenizer, weights):
    with pytest.raises(ValueError, match="balancing must be one of .*'sum', 'uncertainty'.*, found 'best'"):
        balanced(tmp_path, tokenizer, "best", weights)


@pytest.mark.parametrize("arguments", [{"balancing": "dwa"}, {"balancing": "upgrad"}, {"conflict_steps": 2}])
def test_one_task_alone_cannot_be_balanced(tmp_path, tokenizer, arguments):
    tasks = [TASKS[0], {**TASKS[1], "loss_weight": 0.0}]
    with pytest.raises(ValueError, match=r"needs two tasks with a loss_weight, found \['topic'\]"):
        trainer(tmp_path, tokenizer, tiny_bert(tasks=tasks), **arguments)


@pytest.mark.parametrize("arguments", [{"balancing": "mgda"}, {"balancing": "gradnorm"}, {"conflict_steps": 2}])
def test_gradients_of_a_frozen_encoder_cannot_be_balanced_or_compared(tmp_path, tokenizer, arguments):
    with pytest.raises(ValueError, match="needs an encoder that learns, found all of it frozen"):
        trainer(tmp_path, tokenizer, freeze=["backbone"], **arguments)


def test_gradients_of_embeddings_that_are_given_cannot_be_balanced(tmp_path, tokenizer):
    data = Dataset.from_list([{"sentence_embedding": [0.5] * 16, "targets": {"topic": 0, "sentiment": 1}}] * 4)
    args = MultiTaskTrainingArguments(str(tmp_path), balancing="mgda", use_cpu=True)
    with pytest.raises(ValueError, match="balancing='mgda' needs texts, found rows with a sentence_embedding"):
        MultiTaskTrainer(tiny_bert(), args, train_dataset=data, processing_class=tokenizer)


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ({"torch_compile": True}, "torch_compile"),
        ({"fp16": True}, "fp16"),
        (
            {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}},
            "activation_checkpointing with use_reentrant",
        ),
    ],
)
def test_conflicts_by_depth_are_refused_where_they_cannot_be_measured(tmp_path, tokenizer, argument, named):
    with pytest.raises(ValueError, match=f"conflict_by_depth needs .*found {named}"):
        trainer(tmp_path, tokenizer, conflict_steps=1, conflict_by_depth=True, **argument)


def test_conflicts_by_depth_need_steps_to_be_measured_at(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="conflict_by_depth needs conflict_steps"):
        trainer(tmp_path, tokenizer, conflict_by_depth=True)


def test_losses_on_a_frozen_encoder_can_be_balanced(tmp_path, tokenizer, weights):
    job = balanced(tmp_path, tokenizer, "famo", weights, freeze=["backbone"])
    job.train()
    assert any(logged(job, "balance"))


def test_a_missing_package_is_named_before_training(tmp_path, tokenizer, weights, monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"found no torchjd.*pip install 'hf_multitask\[balancing\]'"):
        balanced(tmp_path, tokenizer, "pcgrad", weights)
    balanced(tmp_path, tokenizer, "nashmtl", weights)


def test_two_epochs_of_dynamic_averages_are_warned_about(tmp_path, tokenizer, weights, caplog):
    balanced(tmp_path, tokenizer, "dwa", weights, num_train_epochs=2)
    assert "does nothing in the first two epochs" in caplog.text


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_adapters_are_trained_on_balanced_gradients(tmp_path, tokenizer):
    model = get_peft_model(
        tiny_bert(), LoraConfig(r=2, target_modules=["query"], modules_to_save=["topic", "sentiment"])
    )
    job = trainer(tmp_path, tokenizer, model, balancing="upgrad", num_train_epochs=2)
    job.train()
    assert any(logged(job, "balance"))
    assert job._plain_model().fan_out is None


@pytest.mark.parametrize("balancing", ["sum", "uncertainty", "upgrad"])
def test_conflicts_are_logged_at_their_steps_and_change_nothing(tmp_path, tokenizer, weights, balancing):
    plain = balanced(tmp_path, tokenizer, balancing, weights)
    plain.train()
    job = balanced(tmp_path, tokenizer, balancing, weights, conflict_steps=3, conflict_by_depth=True)
    job.train()
    steps = [line["step"] for line, found in zip(job.state.log_history, logged(job, "conflict"), strict=True) if found]
    assert steps == [3, 6, 12, 15], "the ninth has labels for one task alone"
    assert [line["step"] for line in job.state.log_history if "loss" in line] == list(range(1, 17))
    found = next(line for line in logged(job, "conflict") if line)
    groups = ("", "/layers.1", "/layers.0", "/embeddings")
    assert set(found) == {f"conflict/topic|sentiment{group}" for group in groups}
    assert all(-1 <= value <= 1 for value in found.values())
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(value, job.model.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_conflicts_are_those_of_the_whole_effective_batch(tmp_path, tokenizer, weights):
    found = []
    for accumulation in (1, 4):
        sizes = {"per_device_train_batch_size": 16 // accumulation, "gradient_accumulation_steps": accumulation}
        job = trainer(tmp_path, tokenizer, fresh(weights), conflict_steps=1, **sizes)
        job.train()
        found.append(logged(job, "conflict")[0])
    assert found[1] == pytest.approx(found[0], abs=1e-4)
