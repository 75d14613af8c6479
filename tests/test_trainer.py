"""The Trainer: one effective batch has one gradient, however it is cut up."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import TASKS, WORDS, tiny_bert
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback

from hf_multitask import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_multitask.data.tokenization import tokenize


def rows(count=16, topic_every=3):
    """Texts of uneven length with unevenly missing targets."""
    return [
        {
            "text": " ".join(WORDS[(index * 5 + word) % len(WORDS)] for word in range(2 + index % 5)),
            "targets": {
                "topic": None if index % topic_every else index % 3,
                "sentiment": None if index < 5 else index % 2,
            },
        }
        for index in range(count)
    ]


def trainer(tmp_path, tokenizer, model=None, data=None, **arguments):
    dataset = tokenize(Dataset.from_list(data or rows()), tokenizer, 32)
    values = {
        "output_dir": str(tmp_path),
        "per_device_train_batch_size": 16,
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
        "train_sampling_strategy": "sequential",
        "max_grad_norm": 0.0,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_steps": 1,
    }
    return MultiTaskTrainer(
        model or tiny_bert(),
        MultiTaskTrainingArguments(**{**values, **arguments}),
        processing_class=tokenizer,
        train_dataset=dataset,
        eval_dataset=dataset,
    )


class InterruptsAfter(TrainerCallback):
    """Ends a run as Ctrl-C does, after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


class KeepGradients:
    """Remembers the gradients of the first optimizer step."""

    def __init__(self, trainer):
        self.gradients = {}
        model, optimizer = trainer.model, trainer.create_optimizer()
        optimizer.register_step_pre_hook(lambda *_: self._keep(model))

    def _keep(self, model):
        if not self.gradients:
            self.gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def first_gradients(trainer):
    kept = KeepGradients(trainer)
    trainer.train()
    return kept.gradients


def relative_difference(found, expected):
    assert found.keys() == expected.keys()
    flat = [torch.cat([values[name].flatten() for name in expected]) for values in (found, expected)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


def fresh(weights, **overrides):
    model = tiny_bert(**overrides)
    model.load_state_dict(weights)
    return model


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 4), (2, 8), (1, 16), (5, 4)])
def test_accumulated_gradients_equal_those_of_one_batch(tmp_path, tokenizer, weights, batch_size, accumulation):
    whole = first_gradients(trainer(tmp_path, tokenizer, fresh(weights)))
    sizes = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": accumulation}
    cut = first_gradients(trainer(tmp_path, tokenizer, fresh(weights), **sizes))
    assert relative_difference(cut, whole) < 1e-5


def test_the_gradients_are_those_of_a_plain_loop(tmp_path, tokenizer, weights):
    found = first_gradients(trainer(tmp_path, tokenizer, fresh(weights)))
    model = fresh(weights)
    job = trainer(tmp_path, tokenizer, model)
    batch = job.data_collator([job.train_dataset[index] for index in range(16)])
    output = model(**batch)
    expected = sum(
        torch.nn.functional.cross_entropy(output.logits[name], batch["labels"][name], ignore_index=-100)
        for name in ("topic", "sentiment")
    )
    expected.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert relative_difference(found, gradients) < 1e-5


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_logged_losses_are_those_of_the_whole_batch(tmp_path, tokenizer, weights, accumulation):
    sizes = {"per_device_train_batch_size": 16 // accumulation, "gradient_accumulation_steps": accumulation}
    job = trainer(tmp_path, tokenizer, fresh(weights), **sizes)
    with torch.no_grad():
        expected = fresh(weights)(**job.data_collator([job.train_dataset[index] for index in range(16)]))
    job.train()
    logs = job.state.log_history[0]
    assert logs["loss"] == pytest.approx(expected.loss.item(), rel=1e-5)
    assert logs["loss/topic"] == pytest.approx(expected.losses["topic"].item(), rel=1e-5)
    assert logs["loss/sentiment"] == pytest.approx(expected.losses["sentiment"].item(), rel=1e-5)


def test_the_logged_loss_of_a_task_is_a_mean_over_the_batches_that_have_it(tmp_path, tokenizer, weights):
    data = rows(16)
    for row in data[:8]:
        row["targets"]["sentiment"] = None
    job = trainer(
        tmp_path,
        tokenizer,
        fresh(weights),
        data,
        per_device_train_batch_size=8,
        logging_steps=2,
        learning_rate=0.0,
        head_learning_rate=0.0,
    )
    with torch.no_grad():
        second = fresh(weights)(**job.data_collator([job.train_dataset[index] for index in range(8, 16)]))
    job.train()
    assert job.state.log_history[0]["loss/sentiment"] == pytest.approx(second.losses["sentiment"].item(), rel=1e-5)


def test_every_trainable_parameter_moves(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, fresh(weights))
    job.train()
    still = [
        name
        for name, parameter in job.model.named_parameters()
        if parameter.requires_grad and torch.equal(parameter, weights[name])
    ]
    # A token or position that no text has gets no gradient, but its table moves.
    assert still == []


def test_a_task_absent_from_an_effective_batch_is_left_alone_by_momentum_and_decay(tmp_path, tokenizer, weights):
    data = rows(24, topic_every=1)
    for row in data[8:]:
        row["targets"]["sentiment"] = None  # labelled in the first effective batch only
    for row in data[:8]:
        row["targets"]["sentiment"] = 1
    job = trainer(
        tmp_path,
        tokenizer,
        fresh(weights),
        data,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        weight_decay=0.1,
    )
    snapshots = []
    job.create_optimizer().register_step_post_hook(
        lambda *_: snapshots.append({n: p.detach().clone() for n, p in job.model.heads.named_parameters()})
    )
    job.train()
    assert len(snapshots) == 3
    assert not torch.equal(snapshots[0]["sentiment.weight"], weights["heads.sentiment.weight"])
    for later in snapshots[1:]:
        assert torch.equal(later["sentiment.weight"], snapshots[0]["sentiment.weight"])
        assert torch.equal(later["sentiment.bias"], snapshots[0]["sentiment.bias"])
    assert not torch.equal(snapshots[1]["topic.weight"], snapshots[0]["topic.weight"])


def test_an_effective_batch_without_any_label_changes_nothing_and_says_so(tmp_path, tokenizer, weights, caplog):
    data = rows(16, topic_every=1)
    for row in data[:8]:
        row["targets"] = {"topic": None, "sentiment": None}
    job = trainer(tmp_path, tokenizer, fresh(weights), data, per_device_train_batch_size=8, weight_decay=0.1)
    snapshots = []
    job.create_optimizer().register_step_post_hook(
        lambda *_: snapshots.append({n: p.detach().clone() for n, p in job.model.named_parameters()})
    )
    job.train()
    assert all(torch.equal(value, weights[name]) for name, value in snapshots[0].items())
    assert not torch.equal(snapshots[1]["heads.topic.weight"], weights["heads.topic.weight"])
    assert "nothing is learned" in caplog.text


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize("first", [0, 8])
def test_a_scaler_of_losses_is_not_asked_where_there_is_no_label(
    tmp_path, tokenizer, weights, monkeypatch, first, max_grad_norm
):
    # accelerate has float16 on GPUs alone; torch's scaler and its assertions are on a CPU too
    data = rows(24, topic_every=1)
    for row in data[first : first + 8]:
        row["targets"] = {"topic": None, "sentiment": None}
    job = trainer(tmp_path, tokenizer, fresh(weights), data, per_device_train_batch_size=8, max_grad_norm=max_grad_norm)
    accelerator = job.accelerator
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    monkeypatch.setattr(accelerator, "unscale_gradients", lambda: accelerator.scaler.unscale_(job.optimizer.optimizer))
    rates = []
    job.create_optimizer().register_step_post_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    job.train()
    assert job.state.global_step == 3
    whole = [step["lr/heads"] for step in job.state.log_history if "lr/heads" in step]
    assert len(rates) == 2
    assert len(set(whole)) == 3  # the rates go on
    assert not torch.equal(job.model.heads["topic"].weight, weights["heads.topic.weight"])


def test_a_task_of_weight_zero_is_scored_and_its_head_left_alone(tmp_path, tokenizer, weights):
    tasks = [TASKS[0], {**TASKS[1], "loss_weight": 0.0}]
    data = rows(16, topic_every=1)
    for row in data[:8]:
        row["targets"]["topic"] = None  # a batch of weight 0 alone
    job = trainer(
        tmp_path, tokenizer, fresh(weights, tasks=tasks), data, per_device_train_batch_size=8, weight_decay=0.1
    )
    job.train()
    assert torch.equal(job.model.heads["sentiment"].weight, weights["heads.sentiment.weight"])
    assert not torch.equal(job.model.heads["topic"].weight, weights["heads.topic.weight"])
    assert 0 <= job.evaluate()["eval_sentiment_accuracy"] <= 1


@pytest.mark.parametrize(
    "tasks",
    [
        [{**TASKS[0], "labels": TASKS[0]["labels"][::-1]}, TASKS[1]],
        [{**TASKS[0], "name": "subject"}, TASKS[1]],
    ],
)
def test_a_run_cannot_be_resumed_with_other_tasks_or_labels(tmp_path, tokenizer, tasks):
    trainer(tmp_path, tokenizer, save_strategy="epoch").train()
    other = trainer(tmp_path, tokenizer, tiny_bert(tasks=tasks))
    with pytest.raises(ValueError, match="must have the pooling, tasks and labels of its checkpoint"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_task_added_after_the_trainer_was_made_is_refused(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer)
    job.model.add_task({"name": "urgent", "labels": ["no", "yes"]})
    with pytest.raises(ValueError, match="Make a new MultiTaskTrainer after add_task"):
        job.train()


def test_pickled_arguments_hold_no_token(tmp_path):
    args = MultiTaskTrainingArguments(str(tmp_path), hub_token="hf_secret", use_cpu=True)
    torch.save(args, tmp_path / "arguments.bin")
    assert b"hf_secret" not in (tmp_path / "arguments.bin").read_bytes()
    assert args.hub_token == "hf_secret"


def test_a_card_that_exists_is_kept(tmp_path, tokenizer):
    (tmp_path / "README.md").write_text("mine")
    trainer(tmp_path, tokenizer).create_model_card()
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_lora_that_freezes_the_heads_is_warned_about(tmp_path, tokenizer, caplog):
    trainer(tmp_path, tokenizer, get_peft_model(tiny_bert(), LoraConfig(r=2, target_modules=["query"])))
    assert "No task head is trainable" in caplog.text


def test_evaluation_losses_do_not_depend_on_the_batch_size(tmp_path, tokenizer, weights):
    losses = [
        trainer(tmp_path, tokenizer, fresh(weights), per_device_eval_batch_size=size).evaluate() for size in (16, 5, 3)
    ]
    for other in losses[1:]:
        for key in ("eval_loss", "eval_topic_loss", "eval_sentiment_loss"):
            assert other[key] == pytest.approx(losses[0][key], rel=1e-5)
    assert losses[0]["eval_loss"] == pytest.approx(losses[0]["eval_topic_loss"] + losses[0]["eval_sentiment_loss"])


def test_evaluation_computes_no_loss_that_nobody_reads(tmp_path, tokenizer, monkeypatch):
    job = trainer(tmp_path, tokenizer, per_device_eval_batch_size=5)
    seen = []
    job.model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(sorted(kwargs)), with_kwargs=True)
    assert job.evaluate()["eval_loss"] > 0
    assert len(seen) == 4
    assert not any("labels" in names for names in seen)


def test_the_losses_of_batches_are_there_for_metrics_that_ask_for_them(tmp_path, tokenizer):
    found = []
    job = trainer(tmp_path, tokenizer, per_device_eval_batch_size=4, include_for_metrics=["loss"])
    job.compute_metrics = lambda prediction: found.append(prediction.losses) or {}
    job.evaluate()
    assert len(found[0]) == 16
    assert all(found[0] > 0)


@pytest.mark.parametrize("unknown", ["mood", None])
def test_labels_of_another_task_are_refused_by_evaluation(tmp_path, tokenizer, unknown):
    job = trainer(tmp_path, tokenizer)
    inputs = job.data_collator([job.eval_dataset[0]])
    inputs["labels"] = {unknown: torch.zeros(1, dtype=torch.int64)} if unknown else torch.zeros(1)
    with pytest.raises(ValueError, match="labels must"):
        job.prediction_step(job.model, inputs, False)


def test_evaluation_reports_each_task(tmp_path, tokenizer):
    metrics = trainer(tmp_path, tokenizer).evaluate(metric_key_prefix="test")
    for task in ("topic", "sentiment"):
        for metric in ("accuracy", "f1_macro", "matthews_correlation", "loss"):
            assert f"test_{task}_{metric}" in metrics


def test_the_logs_hold_every_groups_learning_rate(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, learning_rate=1e-5, lr_scheduler_type="constant")
    job.train()
    logs = job.state.log_history[0]
    found = {key: value for key, value in logs.items() if key.startswith("lr/")}
    expected = {"lr/layers.1": 1e-5, "lr/layers.0": 0.95e-5, "lr/embeddings": 1e-6, "lr/heads": 1e-4}
    assert found == pytest.approx(expected, rel=1e-12)
    assert logs["learning_rate"] == pytest.approx(1e-5)


def test_the_schedule_scales_all_groups_alike(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, per_device_train_batch_size=4, learning_rate=1e-5)
    job.train()
    for logs in job.state.log_history[:4]:
        assert logs["lr/layers.1"] == pytest.approx(logs["learning_rate"])
        assert logs["lr/embeddings"] == pytest.approx(0.1 * logs["learning_rate"])
        assert logs["lr/heads"] == pytest.approx(10 * logs["learning_rate"])


def test_the_table_of_groups_is_logged_once(tmp_path, tokenizer, caplog):
    with caplog.at_level(logging.INFO, logger="hf_multitask"):
        trainer(tmp_path, tokenizer).train()
    tables = [record.message for record in caplog.records if "Layer-wise learning rates" in record.message]
    assert len(tables) == 1
    assert "| embeddings |" in tables[0]


@pytest.mark.parametrize("optim", ["adamw_torch", "sgd", "adafactor", "rmsprop", "adagrad"])
def test_other_optimizers_get_the_same_groups(tmp_path, tokenizer, optim):
    job = trainer(tmp_path, tokenizer, optim=optim, learning_rate=1e-5)
    rates = {group["name"]: group["lr"] for group in job.create_optimizer().param_groups}
    assert rates == pytest.approx({"layers.1": 1e-5, "layers.0": 0.95e-5, "embeddings": 1e-6, "heads": 1e-4})


def test_embeddings_keep_precise_states_beside_eight_bits_as_transformers_has_it(tmp_path, tokenizer, monkeypatch):
    kept = []
    manager = SimpleNamespace(register_module_override=lambda module, *how: kept.append((module, *how)))
    optim = SimpleNamespace(GlobalOptimManager=SimpleNamespace(get_instance=lambda: manager))
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=optim))

    class Adam8bit(torch.optim.SGD):
        __module__ = "bitsandbytes.optim"

        def __init__(self, params, lr, optim_bits):
            assert optim_bits == 8
            super().__init__(params, lr)

    job = trainer(tmp_path, tokenizer)
    job.optimizer_cls_and_kwargs = (Adam8bit, {"lr": 1.0, "optim_bits": 8})
    assert [group["name"] for group in job.create_optimizer().param_groups][-1] == "heads"
    words = job.model.get_input_embeddings()
    assert [how for module, *how in kept if module is words] == [["weight", {"optim_bits": 32}]]
    assert job.optimizer_cls_and_kwargs == (Adam8bit, {"lr": 1.0, "optim_bits": 8})


def test_an_optimizer_that_brings_its_own_groups_is_refused_by_name(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer)
    job.optimizer_cls_and_kwargs = (torch.optim.SGD, {"params": [], "lr": 1.0})
    with pytest.raises(ValueError, match="must take parameter groups, found .*adamw"):
        job.create_optimizer()


def test_a_given_optimizer_is_kept(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer)
    job.optimizer = given = torch.optim.SGD(job.model.parameters(), lr=1.0)
    assert job.create_optimizer() is given


def test_plain_training_arguments_are_refused(tokenizer):
    with pytest.raises(ValueError, match="must be MultiTaskTrainingArguments, found NoneType"):
        MultiTaskTrainer(tiny_bert(), None, processing_class=tokenizer)


def test_checkpoints_hold_no_pickled_arguments(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, save_strategy="epoch", hub_token="hf_secret")
    job.train()
    job.save_model()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "checkpoint-1" / "model.safetensors") in files
    assert not [path for path in files if path.name == "training_args.bin"]
    assert not [path for path in files if b"hf_secret" in path.read_bytes()]


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, tokenizer, weights):
    settings = {"per_device_train_batch_size": 4, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 3}
    settings["train_sampling_strategy"] = "random"
    unbroken = trainer(tmp_path / "a", tokenizer, fresh(weights), **settings)
    unbroken.train()
    resumed = trainer(tmp_path / "b", tokenizer, tiny_bert(), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_the_best_checkpoint_can_be_loaded_at_the_end(tmp_path, tokenizer):
    job = trainer(
        tmp_path,
        tokenizer,
        eval_strategy="epoch",
        save_strategy="epoch",
        num_train_epochs=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_topic_accuracy",
    )
    job.train()
    assert job.state.best_model_checkpoint


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_lora_trains_adapters_and_heads_with_the_exact_loss(tmp_path, tokenizer, weights):
    def adapted():
        torch.manual_seed(1)
        heads = ["heads.topic", "heads.sentiment"]
        return get_peft_model(fresh(weights), LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=heads))

    whole = first_gradients(trainer(tmp_path, tokenizer, adapted()))
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    found = first_gradients(trainer(tmp_path, tokenizer, adapted(), **cut))
    assert all("lora_" in name or "modules_to_save" in name for name in whole)
    assert relative_difference(found, whole) < 1e-5


@pytest.mark.parametrize("precision", [{"bf16": True}, {"activation_checkpointing": True}, {"torch_compile": True}])
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_training_works_in_bfloat16_with_checkpointing_and_compiled(tmp_path, tokenizer, weights, precision):
    whole = first_gradients(trainer(tmp_path, tokenizer, fresh(weights)))
    found = first_gradients(trainer(tmp_path, tokenizer, fresh(weights), **precision))
    assert relative_difference(found, whole) < (2e-2 if "bf16" in precision else 1e-5)


def test_a_run_cannot_be_resumed_with_another_effective_batch(tmp_path, tokenizer):
    trainer(tmp_path, tokenizer, per_device_train_batch_size=4, save_strategy="steps", save_steps=1).train()
    other = trainer(tmp_path, tokenizer, per_device_train_batch_size=8)
    with pytest.raises(ValueError, match=r"in the order of its checkpoint, \{'batch': 4\}, found \{'batch': 8\}"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_run_can_be_resumed_with_the_same_batch_split_otherwise(tmp_path, tokenizer, weights):
    settings = {"save_strategy": "steps", "save_steps": 1, "train_sampling_strategy": "random"}
    whole = trainer(tmp_path, tokenizer, fresh(weights), per_device_train_batch_size=4, **settings)
    whole.train()
    split = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    resumed = trainer(tmp_path, tokenizer, tiny_bert(), **split, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_no_number_ends_training_with_the_row_named(tmp_path, tokenizer, weights):
    model = fresh(weights)
    data = [row | {"row": f"news/train/{index + 1}"} for index, row in enumerate(rows(16, topic_every=1))]
    data[6]["text"] = "dull dull"
    job = trainer(tmp_path, tokenizer, model, data)
    with torch.no_grad():  # of the word of one row alone
        model.backbone.embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids("dull")] = float("nan")
    named = [row["row"] for row in data if "dull" in row["text"]]
    with pytest.raises(FloatingPointError, match=rf"Step 0: .* task 'topic' in the rows {', '.join(named)}[;.]"):
        job.train()


def test_the_direction_of_the_metric_to_choose_by_is_known(tmp_path, tokenizer):
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    for metric, higher in (("average", True), ("worst", True), ("eval_topic_loss", False), ("topic_f1:News", True)):
        tasks = [{**TASKS[0], "primary_metric": "f1:News"}, TASKS[1]]
        model = tiny_bert(tasks=tasks)
        job = trainer(tmp_path, tokenizer, model, metric_for_best_model=metric, **settings)
        assert job.args.greater_is_better is higher
    with pytest.raises(ValueError, match="must be one of .*, found 'topic_f2'"):
        trainer(tmp_path, tokenizer, metric_for_best_model="topic_f2", **settings)


class StopsSentiment(TrainerCallback):
    def __init__(self, job):
        self.job = job

    def on_train_begin(self, args, state, control, **kwargs):
        self.job._stopping.stopped.add("sentiment")


def test_a_stopped_task_leaves_the_loss_and_keeps_its_head(tmp_path, tokenizer, weights):
    settings = {"task_patience": 1, "eval_strategy": "epoch", "weight_decay": 0.1}
    job = trainer(tmp_path, tokenizer, fresh(weights), rows(16, topic_every=1), **settings)
    job.add_callback(StopsSentiment(job))
    job.train()
    assert torch.equal(job.model.heads["sentiment"].weight, weights["heads.sentiment.weight"])
    assert not torch.equal(job.model.heads["topic"].weight, weights["heads.topic.weight"])
    assert "loss/sentiment" not in job.state.log_history[0]


def test_calibration_is_stored_in_the_configuration_and_used_by_the_metrics(tmp_path, tokenizer, weights):
    tasks = [{**task, "metrics": ["accuracy", "ece"]} for task in TASKS]
    job = trainer(tmp_path, tokenizer, fresh(weights, tasks=tasks), rows(16, topic_every=1))
    before = job.evaluate()
    records = job.calibrate(job.eval_dataset)
    after = job.evaluate()
    assert any(task.temperature != 1 for task in job.model.config.tasks)
    for task in job.model.config.tasks:
        assert task.temperature == pytest.approx(records[task.name].temperature or 1.0)
        assert before[f"eval_{task.name}_ece"] == pytest.approx(records[task.name].ece_before)
        assert after[f"eval_{task.name}_ece"] == pytest.approx(records[task.name].ece_after)
        assert records[task.name].nll_after <= records[task.name].nll_before


def test_a_second_run_after_one_that_stopped_early_begins_anew(tmp_path, tokenizer):
    still = {"learning_rate": 0.0, "head_learning_rate": 0.0, "per_device_train_batch_size": 4, "num_train_epochs": 3}
    stops = {"early_stopping_patience": 1, "metric_for_best_model": "loss"}
    job = trainer(tmp_path, tokenizer, **still, **stops, eval_strategy="epoch", save_strategy="epoch")
    for _ in range(2):
        job.train()
        assert job.state.global_step == 8
        job.evaluate()


def test_a_sampling_strategy_that_is_not_there_is_refused_before_training(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="train_sampling_strategy must be one of"):
        trainer(tmp_path, tokenizer, train_sampling_strategy="batch_rebalance")


def test_workers_that_persist_give_the_rows_that_are_asked_for(tmp_path, tokenizer):
    data = rows(16)
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    job = trainer(tmp_path, tokenizer, tiny_bert(), data, **workers)
    plain = trainer(tmp_path, tokenizer, job.model, data)
    other = job.eval_dataset.select(range(3))
    assert job.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    assert job.evaluate(other)["eval_loss"] == plain.evaluate(other)["eval_loss"]
    assert job.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    job.evaluate()
    assert len(job.accelerator._dataloaders) == 1  # so do workers: the others have ended
    job.train()  # which forgets all loaders
    assert job.evaluate(other)["eval_loss"] == plain.evaluate(other)["eval_loss"]
