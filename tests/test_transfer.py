"""A comparison with single-task models: the same start, arguments and examples for all, and nothing trained twice."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import TASKS, WORDS, tiny_bert
from datasets import Dataset
from test_bootstrap import KINDS, example
from transformers import EarlyStoppingCallback

from hf_multitask import GradualUnfreezing, MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_multitask.data.collation import MultiTaskCollator
from hf_multitask.data.mapping import has_target
from hf_multitask.data.mixing import Mixture
from hf_multitask.data.tokenization import tokenize
from hf_multitask.evaluation.answers import read_answers
from hf_multitask.publishing.transfer_record import OPEN
from hf_multitask.publishing.transfer_tables import describe_transfer
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.transfer import TrainingClock, compare_single_task, workbench
from hf_multitask.transfer.budget import Budget, rows_seen
from hf_multitask.transfer.checks import check_models
from hf_multitask.transfer.comparison import compare_task
from hf_multitask.transfer.experiment import Experiment, experiments
from hf_multitask.transfer.outcome import Numbers, Outcome, Store, answers_to
from hf_multitask.transfer.run_arguments import run_arguments
from hf_multitask.transfer.workbench import Workbench

NAMES = ("topic", "sentiment")
BATCH = 4


def texts(count, shift=0):
    return [
        " ".join(WORDS[(index * 5 + word + shift) % len(WORDS)] for word in range(2 + index % 5))
        for index in range(count)
    ]


def make_rows(tokenizer, count=18, shift=0, topic=lambda index: index % 3 > 0, sentiment=lambda index: index > 4):
    """Rows of which some have a topic, some a sentiment, and some both."""
    rows = [
        {
            "text": text,
            "targets": {
                "topic": index % 3 if topic(index) else None,
                "sentiment": index % 2 if sentiment(index) else None,
            },
            "row": f"r{shift}/{index}",
        }
        for index, text in enumerate(texts(count, shift))
    ]
    return tokenize(Dataset.from_list(rows), tokenizer, 32)


def new_model(tasks):
    """A fresh model: the encoder and the heads of all tasks, of which some are taken away."""
    model = tiny_bert()
    for task in TASKS:
        if task["name"] not in [task.name for task in tasks]:
            model.remove_task(task["name"])
    model.config.tasks = list(tasks)
    return model


def arguments(folder, **overrides):
    values = {
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "logging_strategy": "no",
    }
    return MultiTaskTrainingArguments(**values | overrides)


@pytest.fixture
def untrained(tmp_path, tokenizer):
    """A function that makes the Trainer of the shared model."""

    def make(tasks=TASKS, rows=None, evaluated=None, **overrides):
        args = arguments(tmp_path, **overrides)
        torch.manual_seed(args.seed)
        trainer = MultiTaskTrainer(
            new_model([Task.parse(task) for task in tasks]),
            args,
            processing_class=tokenizer,
            train_dataset=rows or {"all": make_rows(tokenizer)},
            eval_dataset=evaluated,
        )
        trainer.add_callback(TrainingClock())
        return trainer

    return make


@pytest.fixture
def shared(untrained):
    """A function that trains the shared model."""

    def train(*args, **kwargs):
        trainer = untrained(*args, **kwargs)
        trainer.train()
        return trainer

    return train


@pytest.fixture
def scored(tokenizer):
    return make_rows(tokenizer, 12, shift=3)


def without_times(record):
    """What a comparison found, without how long it took."""
    costs = {
        name: dataclasses.replace(getattr(record, name), training=0.0, answering=0.0) for name in ("shared", "single")
    }
    return dataclasses.replace(record, **costs)


@pytest.fixture
def no_training(monkeypatch):
    """From then on no model can be trained."""

    def forbid():
        def refuse(*args, **kwargs):
            raise AssertionError("a model was trained")

        monkeypatch.setattr(workbench, "MultiTaskTrainer", refuse)

    return forbid


@pytest.mark.parametrize("tasks", [TASKS[:1], TASKS], ids=["one task", "both tasks"])
def test_a_model_of_the_shared_models_tasks_is_the_shared_model(shared, scored, tmp_path, tasks):
    bench = Workbench(shared(tasks), new_model, scored, tmp_path / "transfer")
    names = tuple(task["name"] for task in tasks)
    again, outcome = bench.outcome(Experiment(names, 0)), bench.shared()
    for name in names:
        for found, expected in zip(again.answered[name], outcome.answered[name], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert again.numbers.steps == outcome.numbers.steps
    assert again.numbers.parameters == outcome.numbers.parameters


def test_another_seed_gives_another_model(shared, scored, tmp_path):
    bench = Workbench(shared(), new_model, scored, tmp_path / "transfer")
    first, second = (bench.outcome(Experiment(("topic",), seed)).answered["topic"][0] for seed in (0, 1))
    assert not np.allclose(first, second)


def test_a_single_task_run_sees_the_rows_with_targets_of_its_task_and_no_other_targets(untrained):
    trainer = untrained()
    budget = Budget(trainer.train_dataset, trainer.args)
    (rows,) = budget.rows(["topic"]).datasets.values()
    assert rows["row"][:] == [f"r0/{index}" for index in range(18) if index % 3 > 0]
    assert all(targets["topic"] is not None and targets["sentiment"] is None for targets in rows["targets"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_task_sees_each_example_as_often_alone_as_in_the_shared_run(untrained, accumulation):
    trainer = untrained(gradient_accumulation_steps=accumulation)
    budget = Budget(trainer.train_dataset, trainer.args)
    for name, count in (("topic", 12), ("sentiment", 13)):
        assert budget.examples([name]) == {"all": 2 * count}
        rows = budget.rows([name])
        steps = budget.steps_for(rows, 2 * count)
        assert steps == 2 * -(-count // (BATCH * accumulation))
        assert rows_seen(rows, trainer.args, steps) == 2 * count


@pytest.mark.parametrize(
    "how", [{"gradient_accumulation_steps": 2}, {"max_tokens_per_batch": 20}], ids=["accumulated", "by tokens"]
)
def test_the_steps_of_the_shared_run_are_those_that_it_makes(shared, how):
    trainer = shared(**how)
    assert Budget(trainer.train_dataset, trainer.args).steps == trainer.state.global_step


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_where_batches_are_cut_by_tokens_a_task_sees_as_many_examples_alone_too(untrained, tmp_path, strategy):
    trainer = untrained(max_tokens_per_batch=20, num_train_epochs=3, train_sampling_strategy=strategy)
    budget = Budget(trainer.train_dataset, trainer.args)
    rows = budget.rows(["topic"])
    steps = budget.steps_for(rows, 36)
    own = run_arguments(trainer.args, ["topic"], 0, steps, budget.steps, tmp_path)
    assert rows_seen(rows, own, steps) == 36
    assert steps > 36 / BATCH, "as many as batches of so many rows would be"


@pytest.mark.parametrize(
    "mixing",
    [
        {"strategy": "uniform"},
        {"strategy": "weights", "weights": {"few": 3, "many": 1}},
        {"strategy": "annealed", "temperature": [1, 5]},
        {"strategy": "proportional"},
    ],
    ids=lambda mixing: mixing["strategy"],
)
def test_datasets_that_are_mixed_unequally_give_a_task_as_many_examples_of_each(tokenizer, tmp_path, mixing):
    datasets = {"few": make_rows(tokenizer, 12), "many": make_rows(tokenizer, 40, shift=1)}
    mixture = Mixture(datasets, MixingSettings(**mixing))
    args = arguments(tmp_path, num_train_epochs=3)
    budget = Budget(mixture, args)
    drawn = np.concatenate([mixture.order(args.seed, epoch, 3) for epoch in range(3)])
    known = np.concatenate([has_target(rows, ["topic"]) for rows in datasets.values()])
    expected = {"few": int(known[drawn[drawn < 12]].sum()), "many": int(known[drawn[drawn >= 12]].sum())}
    assert budget.examples(["topic"]) == expected
    rows = budget.rows(["topic"])
    total = sum(expected.values())
    steps = budget.steps_for(rows, total)
    own = run_arguments(args, ["topic"], 0, steps, budget.steps, tmp_path)
    assert abs(rows_seen(rows, own, steps) - total) <= BATCH / 2
    for name, share in rows.shares().items():
        assert share / len(rows) == pytest.approx(expected[name] / total, abs=1 / len(rows))


def test_a_run_of_some_steps_is_counted_to_its_last_step(tokenizer, tmp_path):
    rows = make_rows(tokenizer, topic=lambda index: True)
    budget = Budget(Mixture({"all": rows}, MixingSettings()), arguments(tmp_path, max_steps=3))
    assert budget.examples(["topic"]) == {"all": 3 * BATCH}
    assert budget.steps_for(budget.rows(["topic"]), 3 * BATCH) == 3
    assert budget.examples(["topic"], steps=2) == {"all": 2 * BATCH}


def test_a_task_with_too_few_rows_for_a_batch_alone_is_refused(tokenizer, tmp_path):
    mixture = Mixture({"all": make_rows(tokenizer, topic=lambda index: index < 3)}, MixingSettings())
    budget = Budget(mixture, arguments(tmp_path, dataloader_drop_last=True, num_train_epochs=5))
    budget.check("sentiment")
    with pytest.raises(
        ValueError, match="full batch of 4 rows of every task .* found 3 rows with a target for 'topic'"
    ):
        budget.check("topic")


def test_a_task_that_the_shared_run_never_sees_is_refused(tokenizer, tmp_path):
    rows = {"a": make_rows(tokenizer), "b": make_rows(tokenizer, sentiment=lambda index: False)}
    mixture = Mixture(rows, MixingSettings(strategy="weights", weights={"a": 0, "b": 1}))
    budget = Budget(mixture, arguments(tmp_path))
    with pytest.raises(ValueError, match=r"found no examples of 'sentiment' in the shared run. Train"):
        budget.check("sentiment")


def test_the_shared_model_of_the_first_seed_is_not_trained_again():
    found = experiments(("a", "b", "c"), ("a", "b"), seeds=2, pairs=True)
    first = [Experiment(names, 0) for names in (("a",), ("b",), ("a", "b"))]
    second = [Experiment(names, 1) for names in (("a",), ("b",), ("a", "b"), ("a", "b", "c"))]
    assert found == first + second
    assert experiments(("a", "b"), ("a", "b"), seeds=1, pairs=True) == [Experiment(("a",), 0), Experiment(("b",), 0)]


def test_a_comparison_tells_scores_differences_and_costs(shared, scored, tmp_path):
    trainer = shared()
    record = compare_single_task(trainer, new_model, scored, seeds=2)
    assert [task.task for task in record.tasks] == list(NAMES)
    assert record.seeds == [42, 43]
    for task in record.tasks:
        differences = np.subtract(task.shared, task.single)
        np.testing.assert_allclose(task.difference.by_seed, differences, rtol=0, atol=1e-15)
        assert task.difference.mean == pytest.approx(differences.mean(), abs=1e-15)
        assert task.examples == task.examples_single
    assert record.tasks[0].rows == 8
    prediction = trainer.predict(scored).metrics
    assert record.tasks[0].shared[0] == pytest.approx(prediction["test_topic_f1_macro"], abs=1e-12)
    alone = {
        name: sum(p.numel() for p in new_model([Task.parse(t)]).parameters())
        for name, t in zip(NAMES, TASKS, strict=True)
    }
    assert record.single.parameters == sum(alone.values())
    assert record.shared.parameters == sum(p.numel() for p in trainer.model.parameters())
    assert (record.shared.models, record.single.models) == (1, 2)
    assert min(record.shared.training, record.single.training, record.shared.answering, record.single.answering) > 0


def test_a_comparison_that_was_stopped_goes_on_without_training_again(shared, scored, tmp_path, no_training):
    trainer = shared()
    first = compare_single_task(trainer, new_model, scored, seeds=2, pairs=True)
    no_training()
    assert without_times(compare_single_task(trainer, new_model, scored, seeds=2, pairs=True)) == without_times(first)


def test_what_belongs_to_another_configuration_is_not_taken(shared, scored, tmp_path, no_training):
    trainer = shared()
    Workbench(trainer, new_model, scored, tmp_path / "transfer").outcome(Experiment(("topic",), 0))
    no_training()
    Workbench(trainer, new_model, scored, tmp_path / "transfer").outcome(Experiment(("topic",), 0))
    trainer.args.learning_rate = 2e-3
    with pytest.raises(AssertionError, match="a model was trained"):
        Workbench(trainer, new_model, scored, tmp_path / "transfer").outcome(Experiment(("topic",), 0))
    trainer.args.learning_rate = 1e-3
    with pytest.raises(AssertionError, match="a model was trained"):
        Workbench(trainer, new_model, scored.select(range(8)), tmp_path / "transfer").outcome(Experiment(("topic",), 0))


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_an_outcome_that_was_cut_off_is_made_again(shared, scored, tmp_path, ending):
    bench = Workbench(shared(), new_model, scored, tmp_path / "transfer")
    first = bench.outcome(Experiment(("topic",), 0))
    (path,) = (tmp_path / "transfer").glob(f"*{ending}")
    path.write_bytes(path.read_bytes()[:20])
    again = bench.outcome(Experiment(("topic",), 0))
    np.testing.assert_array_equal(again.answered["topic"][0], first.answered["topic"][0])


def test_no_checkpoint_of_a_compared_model_is_kept(shared, scored, tmp_path, tokenizer):
    best = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    trainer = shared(evaluated=make_rows(tokenizer, 12, shift=7), **best)
    record = compare_single_task(trainer, new_model, scored, seeds=1)
    assert record.stopped_early
    assert {path.suffix for path in (tmp_path / "transfer").rglob("*")} == {".json", ".npz"}


def test_the_order_in_which_rows_are_answered_is_the_same_for_all_models(shared, scored, tmp_path):
    columns = [name for name in scored.column_names if name != "row"]
    rows = scored.with_format(None, columns=columns)  # so that batches are made row by row
    bench = Workbench(shared(train_sampling_strategy="group_by_length"), new_model, rows, tmp_path / "transfer")
    longest_first = sorted(scored, key=lambda row: -row["length"])
    topics = [row["targets"]["topic"] for row in longest_first if row["targets"]["topic"] is not None]
    for outcome in (bench.shared(), bench.outcome(Experiment(("topic",), 0))):
        assert outcome.answered["topic"][1].tolist() == topics


def test_a_run_that_ends_early_is_charged_the_steps_that_it_made(shared, scored, tokenizer, tmp_path):
    rules = {"early_stopping_patience": 1, "eval_strategy": "epoch", "save_strategy": "epoch"}
    still = {"learning_rate": 0.0, "head_learning_rate": 0.0, "num_train_epochs": 9}
    trainer = shared(evaluated=make_rows(tokenizer, 12, shift=7), **rules, **still)
    record = compare_single_task(trainer, new_model, scored, seeds=1)
    assert [(task.examples, task.examples_single) for task in record.tasks] == [(2 * 12, 2 * 12), (2 * 13, 2 * 13)]
    told = [json.loads(path.read_text()) for path in (tmp_path / "transfer").glob("*.json")]
    steps = {tuple(found["tasks"]): found["numbers"]["steps"] for found in told}
    assert steps == {NAMES: trainer.state.global_step, ("topic",): 2 * 3, ("sentiment",): 2 * 4}


@pytest.mark.parametrize("split", ["scored", "evaluated"])
def test_a_task_without_a_target_where_it_needs_one_is_refused_before_training(untrained, scored, tokenizer, split):
    best = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    rows = {name: make_rows(tokenizer, 12) for name in ("scored", "evaluated")}
    check_models(untrained(evaluated=rows["evaluated"], **best), rows["scored"], "test")
    rows[split] = make_rows(tokenizer, 12, sentiment=lambda index: False)
    with pytest.raises(ValueError, match=r"needs targets of every task .* found none of \['sentiment'\]. Add"):
        check_models(untrained(evaluated=rows["evaluated"], **best), rows["scored"], "test")


def test_a_model_that_was_not_trained_is_refused(untrained, scored):
    with pytest.raises(ValueError, match="needs a trained model, found one of no steps"):
        compare_single_task(untrained(), new_model, scored)


def test_a_task_that_the_shared_model_does_not_train_is_left_out(shared, scored):
    record = compare_single_task(shared([TASKS[0], TASKS[1] | {"loss_weight": 0.0}]), new_model, scored, seeds=1)
    assert [task.task for task in record.tasks] == ["topic"]


def test_calibration_changes_nothing_of_a_comparison(shared, scored, no_training):
    trainer = shared()
    first = compare_single_task(trainer, new_model, scored, seeds=1)
    trainer.model.config.tasks = [dataclasses.replace(task, temperature=3.0) for task in trainer.model.config.tasks]
    no_training()
    assert without_times(compare_single_task(trainer, new_model, scored, seeds=1)) == without_times(first)


def test_the_shared_model_against_itself_is_not_told_apart(shared, scored, tmp_path):
    bench = Workbench(shared(), new_model, scored, tmp_path / "transfer")
    outcomes = {Experiment(names, 0): bench.shared() for names in (NAMES, NAMES[:1])}
    found = compare_task(bench.tasks[0], NAMES, (), 1, outcomes, bench.budget)
    assert (found.difference.interval, found.difference.verdict) == ((0.0, 0.0), OPEN)


def test_a_model_of_one_task_is_not_compared_with_itself(untrained, scored):
    with pytest.raises(ValueError, match="needs a model of several tasks, found one of 'topic' alone"):
        check_models(untrained(TASKS[:1]), scored, "test")


@pytest.mark.parametrize("own", ["collator", "early stopping", "unfreezing", "optimizer", "optimizers"])
def test_what_the_shared_run_was_given_and_no_other_would_have_is_refused(untrained, scored, tokenizer, own):
    class OwnCollator(MultiTaskCollator):
        pass

    trainer = untrained()
    match own:
        case "collator":
            trainer.data_collator = OwnCollator(tokenizer, trainer.model.config.tasks)
            name = "OwnCollator"
        case "early stopping":
            trainer.add_callback(EarlyStoppingCallback(1))
            name = "EarlyStoppingCallback"
        case "unfreezing":
            trainer.add_callback(GradualUnfreezing(2))
            name = "GradualUnfreezing"
        case "optimizer":
            trainer.optimizer_cls_and_kwargs = (torch.optim.SGD, {"lr": 0.1})
            name = "optimizer_cls_and_kwargs"
        case "optimizers":
            trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), 0.1)
            name = "optimizers"
    with pytest.raises(ValueError, match=f"trained by these alone, found {name} of your own"):
        check_models(trainer, scored, "test")


@pytest.mark.parametrize("rule", [{"early_stopping_patience": 1}, {"gradual_unfreezing_steps": 2}])
def test_what_ends_a_run_or_unfreezes_it_by_an_argument_is_compared(untrained, scored, tokenizer, rule):
    rules = {"eval_strategy": "epoch", "save_strategy": "epoch", **rule}
    check_models(untrained(evaluated=make_rows(tokenizer, 12, shift=7), **rules), scored, "test")


def test_pairs_are_compared_and_grouped(shared, scored):
    record = compare_single_task(shared(), new_model, scored, seeds=1, pairs=True)
    topic, sentiment = record.tasks
    assert list(topic.beside) == ["sentiment"]
    assert topic.beside["sentiment"] == topic.difference  # of two tasks, the pair is the shared model
    together = topic.difference.gain + sentiment.difference.gain > 0
    assert record.groups == ((NAMES,) if together or record.groups_gain == 0 else (NAMES[:1], NAMES[1:]))


def test_pairs_with_a_model_that_diverged_are_compared_and_not_grouped(shared, scored, monkeypatch):
    answer = workbench.answers_to

    def diverged(task, logits, labels):
        outputs, *others = answer(task, logits, labels)
        return outputs * np.nan, *others

    trainer = shared()
    record = compare_single_task(trainer, new_model, scored, seeds=1, pairs=True)
    assert "No groups" not in describe_transfer(record)
    monkeypatch.setattr(workbench, "answers_to", diverged)  # of the shared model, which is also the pair
    record = compare_single_task(trainer, new_model, scored, seeds=1, pairs=True)
    assert record.groups == ()
    assert {task.difference.verdict for task in record.tasks} == {OPEN}
    assert "No groups are proposed, because the outputs of a model are no numbers." in describe_transfer(record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load_best_model_at_end": True, "eval_strategy": "steps"}, "needs eval_strategy: epoch .* found 'steps'"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch", "metric_for_best_model": "eval_topic_accuracy"},
            "metric_for_best_model that every run has, .* found 'topic_accuracy'",
        ),
        (
            {"lr_scheduler_type": "greedy", "eval_strategy": "epoch", "metric_for_best_model": "eval_topic_accuracy"},
            "metric_for_best_model that every run has, .* found 'topic_accuracy'",
        ),
        ({"lr_scheduler_type": "greedy", "eval_strategy": "steps"}, "needs eval_strategy: epoch .* found 'steps'"),
    ],
    ids=["steps", "one task's metric", "a rate by one task's metric", "a rate by steps"],
)
def test_runs_that_cannot_follow_the_same_rule_are_refused(untrained, scored, change, message):
    trainer = untrained()
    for name, value in change.items():
        setattr(trainer.args, name, value)
    with pytest.raises(ValueError, match=message):
        compare_single_task(trainer, new_model, scored)


def test_no_seed_and_rows_with_answers_of_another_model_are_refused(untrained, scored):
    trainer = untrained()
    with pytest.raises(ValueError, match="at least one seed, found 0"):
        compare_single_task(trainer, new_model, scored, seeds=0)
    rows = trainer.train_dataset.datasets["all"]
    taught = rows.add_column("teacher_logits", [None] * len(rows))
    trainer.train_dataset = Mixture({"all": taught}, MixingSettings())
    with pytest.raises(ValueError, match="found answers of another model. Train on"):
        compare_single_task(trainer, new_model, scored)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_every_kind_are_kept_as_they_were(tmp_path, kind):
    task, logits, labels = example(kind)
    numbers = Numbers(steps=1, examples=2, training=None, answering=0.5, parameters=3, size=4)
    outcome = Outcome(numbers, {"t": answers_to(task, logits, labels)})
    store, experiment = Store(tmp_path), Experiment(("t",), 0)
    store.save(experiment, "abc", outcome)
    found, expected = store.load(experiment, "abc").answers(task), read_answers(task, logits, labels)
    for name in ("decided", "targets", "rows", "probabilities"):
        if getattr(expected, name) is not None:
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert store.load(experiment, "abc").numbers == numbers
    assert store.load(experiment, "abd") is None


def test_what_is_told_in_steps_takes_the_same_share_of_every_run(tmp_path):
    args = arguments(tmp_path, warmup_steps=30, gradual_unfreezing_steps=50, freeze=["embeddings", "heads.mood"])
    own = run_arguments(args, ["topic"], 1, 60, 300, tmp_path / "own")
    assert (own.warmup_steps, own.gradual_unfreezing_steps, own.max_steps, own.seed) == (6, 10, 60, args.seed + 1)
    assert own.freeze == ["embeddings"]
    assert run_arguments(arguments(tmp_path, warmup_steps=0.1), ["topic"], 0, 60, 300, tmp_path).warmup_steps == 0.1
    assert (args.warmup_steps, args.seed, args.output_dir) == (30, 42, str(tmp_path))


def test_what_a_learning_rate_does_in_steps_takes_the_same_share_of_every_run(tmp_path):
    given = {"num_decay_steps": 100, "num_stable_steps": 2, "min_lr_ratio": 0.1}
    args = arguments(tmp_path, lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=given)
    own = run_arguments(args, ["topic"], 0, 60, 300, tmp_path / "own")
    assert own.lr_scheduler_kwargs == {"num_decay_steps": 20, "num_stable_steps": 1, "min_lr_ratio": 0.1}
    assert args.lr_scheduler_kwargs == given
    args = arguments(tmp_path, lr_scheduler_type="inverse_sqrt", lr_scheduler_kwargs={"timescale": 50})
    assert run_arguments(args, ["topic"], 0, 60, 300, tmp_path / "own").lr_scheduler_kwargs == {"timescale": 10}


@pytest.mark.parametrize("scheduler", ["greedy", "reduce_lr_on_plateau"])
def test_a_rate_that_follows_the_evaluations_does_so_in_every_run(shared, scored, tokenizer, scheduler):
    how = {"lr_scheduler_type": scheduler, "eval_strategy": "epoch"}
    trainer = shared(evaluated=make_rows(tokenizer, 12, shift=7), **how)
    assert len(compare_single_task(trainer, new_model, scored, seeds=1).tasks) == 2


def test_evaluations_that_decide_nothing_are_left_out_of_a_comparison(shared, scored, tokenizer):
    how = {"eval_on_start": True, "eval_strategy": "epoch", "metric_for_best_model": "topic_f1_macro"}
    trainer = shared(evaluated=make_rows(tokenizer, 12, shift=7), **how)
    assert len(compare_single_task(trainer, new_model, scored, seeds=1).tasks) == 2


def test_the_checkpoints_of_a_comparison_are_chosen_as_the_shared_one(shared, scored, tokenizer, monkeypatch):
    best = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    trainer = shared(evaluated=make_rows(tokenizer, 12, shift=7), **best)
    trainer.args.metric_for_best_model, trainer.args.greater_is_better = "loss", False  # as of metrics of one's own
    seen, train = [], MultiTaskTrainer.train
    monkeypatch.setattr(
        MultiTaskTrainer, "train", lambda self: seen.append(self.args.metric_for_best_model) or train(self)
    )
    compare_single_task(trainer, new_model, scored, seeds=1)
    assert seen == ["loss", "loss"]
