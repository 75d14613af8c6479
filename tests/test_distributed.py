"""Real processes on CPU have the gradients of one and share its rows."""

import json
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from processes import launch
from safetensors.torch import load_file
from test_trainer import relative_difference, trainer

from hf_multitask.training.loading import train_order

pytestmark = pytest.mark.slow


def run(folder, per_device, accumulation, processes, extra="plain"):
    folder.mkdir()
    torch.save(run.weights, folder / "weights.pt")
    launch(processes, "distributed_job", folder, per_device, accumulation, extra)
    return load_file(folder / "gradients.safetensors"), load_file(folder / "numbers.safetensors")


@pytest.fixture(scope="module")
def one_batch(tmp_path_factory, weights):
    run.weights = weights
    return run(tmp_path_factory.mktemp("one") / "run", 16, 1, processes=1)


@pytest.mark.parametrize(("per_device", "accumulation"), [(8, 1), (4, 2)])
def test_two_processes_have_the_gradients_and_the_losses_of_one(tmp_path, one_batch, per_device, accumulation):
    gradients, numbers = run(tmp_path / "run", per_device, accumulation, processes=2)
    assert numbers["world_size"] == 2
    assert relative_difference(gradients, one_batch[0]) < 1e-5
    for key in ("loss", "loss/topic", "loss/sentiment", "eval_loss", "eval_topic_loss", "eval_topic_accuracy"):
        torch.testing.assert_close(numbers[key], one_batch[1][key], rtol=1e-5, atol=0)


def test_the_training_loss_is_that_of_all_processes(tmp_path, one_batch):
    _, numbers = run(tmp_path / "run", 8, 1, processes=2, extra="one_line")
    expected = run(tmp_path / "one", 16, 1, processes=1, extra="one_line")[1]
    torch.testing.assert_close(numbers["train_loss"], expected["train_loss"], rtol=1e-5, atol=0)


def test_answers_of_another_model_are_shared_out_and_learned_from_exactly(tmp_path, one_batch):
    expected = run(tmp_path / "one", 16, 1, processes=1, extra="taught")
    gradients, numbers = run(tmp_path / "two", 4, 2, processes=2, extra="taught")
    assert relative_difference(gradients, expected[0]) < 1e-5
    for key in ("loss", "loss/topic", "loss/sentiment"):
        torch.testing.assert_close(numbers[key], expected[1][key], rtol=1e-5, atol=0)
        assert numbers[key] != one_batch[1][key]


def test_a_task_that_only_one_process_has_labels_for_is_trained_exactly(tmp_path, one_batch):
    expected = run(tmp_path / "one", 8, 2, processes=1, extra="one_rank")
    gradients, numbers = run(tmp_path / "two", 8, 1, processes=2, extra="one_rank")
    assert relative_difference(gradients, expected[0]) < 1e-5
    torch.testing.assert_close(numbers["loss/sentiment"], expected[1]["loss/sentiment"], rtol=1e-5, atol=0)


def test_a_task_absent_everywhere_gets_no_gradient_in_any_process_even_with_activation_checkpointing(
    tmp_path, one_batch
):
    gradients, numbers = run(tmp_path / "run", 8, 1, processes=2, extra="absent")
    assert "heads.topic.weight" in gradients
    assert "heads.sentiment.weight" not in gradients
    assert "loss/sentiment" not in numbers


def test_two_processes_train_with_activation_checkpointing(tmp_path, one_batch):
    gradients, _ = run(tmp_path / "run", 8, 1, processes=2, extra="checkpointing")
    assert relative_difference(gradients, one_batch[0]) < 1e-5


@pytest.mark.parametrize("balancing", ["upgrad", "mgda", "famo"])
def test_two_processes_balance_the_tasks_as_one_does_on_the_whole_batch(tmp_path, one_batch, balancing):
    expected = run(tmp_path / "one", 16, 1, processes=1, extra=f"balancing={balancing}")
    gradients, numbers = run(tmp_path / "two", 8, 1, processes=2, extra=f"balancing={balancing}")
    assert numbers["world_size"] == 2
    assert relative_difference(gradients, expected[0]) < 2e-6
    for task in ("topic", "sentiment"):
        torch.testing.assert_close(
            numbers[f"balance/{task}/last"], expected[1][f"balance/{task}/last"], rtol=1e-5, atol=0
        )
    cosine = "conflict/topic|sentiment/last"
    torch.testing.assert_close(numbers[cosine], expected[1][cosine], rtol=1e-4, atol=1e-5)
    assert abs(numbers["balance/topic/last"] - 1) > 0.01, "there is something to balance"


def rows_of(folder, processes, per_device, accumulation, resume=""):
    """Per optimizer step, the rows that all processes together were trained on."""
    folder.mkdir(exist_ok=True)
    launch(processes, "rows_job", folder, per_device, accumulation, resume)
    ranks = [json.loads((folder / f"rows-{rank}.json").read_text()) for rank in range(processes)]
    assert len({len(batches) for batches in ranks}) == 1, "every process takes equally many steps"
    return [sorted(row for batches in ranks for row in batches[step]) for step in range(len(ranks[0]))]


def by_update(steps, accumulation, per_epoch):
    """The rows of each effective batch, from those of each micro-batch; an epoch ends with a short one."""
    cut = []
    for start in range(0, len(steps), per_epoch):
        epoch = steps[start : start + per_epoch]
        cut += [sorted(chain(*epoch[i : i + accumulation])) for i in range(0, len(epoch), accumulation)]
    return cut


@pytest.mark.parametrize(("processes", "per_device", "accumulation"), [(1, 6, 1), (2, 3, 1), (3, 1, 2)])
def test_every_row_is_taken_once_an_epoch_in_the_same_batches_by_any_number_of_processes(
    tmp_path, processes, per_device, accumulation
):
    expected = rows_of(tmp_path / "one", 1, 6, 1)  # 23 rows: three batches of 6 and one of 5
    assert [len(batch) for batch in expected] == [6, 6, 6, 5] * 2
    for epoch in (expected[:4], expected[4:]):
        assert sorted(map(int, chain(*epoch))) == list(range(23))
    assert expected[:4] != expected[4:]
    steps = rows_of(tmp_path / "many", processes, per_device, accumulation)
    assert by_update(steps, accumulation, per_epoch=4 * accumulation) == expected


def test_a_resumed_run_takes_exactly_the_rows_that_were_left(tmp_path):
    expected = rows_of(tmp_path / "one", 1, 6, 1)
    for checkpoint in (2, 6):
        resume = tmp_path / "one" / "output" / f"checkpoint-{checkpoint}"
        assert rows_of(tmp_path / f"resumed-{checkpoint}", 1, 6, 1, resume=resume) == expected[checkpoint:]


@pytest.mark.parametrize("alike", [8, 4, 2], ids=["steps_of_pairs", "processes_of_pairs", "both_in_each"])
def test_pairs_that_a_frozen_encoder_learns_nothing_from_hold_up_no_process(tmp_path, alike):
    heads = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        launch(processes, "pairs_job", folder, alike)
        heads.append(load_file(folder / "head.safetensors"))
    assert heads[1]["steps"] == 4
    torch.testing.assert_close(heads[1]["weight"], heads[0]["weight"], rtol=1e-5, atol=1e-7)


def test_each_process_drops_units_of_its_own_and_the_same_in_every_run(tmp_path):
    kept = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        launch(2, "dropout_job", folder)
        kept.append([torch.load(folder / f"{rank}.pt", weights_only=True) != 0 for rank in range(2)])
    for first, again in zip(*kept, strict=True):
        assert torch.equal(first, again)
    share = (kept[0][0] == kept[0][1]).float().mean()
    assert 0.3 < share < 0.7, "independent masks of a half agree in a half"


def test_trainers_of_two_processes_that_share_a_model_each_compute_in_their_precision(tmp_path):
    launch(2, "precision_job", tmp_path)
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [
            ["half trains", "torch.bfloat16"],
            ["half evaluates", "torch.bfloat16"],
            ["nobody", "torch.float32"],
            ["whole evaluates", "torch.float32"],
            ["whole trains", "torch.float32"],
            ["half evaluates again", "torch.bfloat16"],
            ["half trains again", "torch.bfloat16"],
        ]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is one for each process to choose")
@pytest.mark.parametrize(("accelerator", "told"), [("", "2"), ("mps", "must be joined, found 2 that")])
def test_processes_without_a_device_of_their_own_are_joined_on_cpus_or_refused(tmp_path, accelerator, told):
    launch(2, "undirected_job", tmp_path, accelerator)
    for rank in ("0", "1"):
        assert told in (tmp_path / rank).read_text()


def test_processes_on_cpus_wait_for_each_other_as_long_as_they_are_told(tmp_path):
    launch(2, "patience_job", tmp_path, 7200)
    assert {(tmp_path / rank).read_text() for rank in ("0", "1")} == {"7200"}


def test_training_rows_that_accelerate_would_read_twice_are_warned_about(caplog):
    args = SimpleNamespace(world_size=2, max_tokens_per_batch=None)
    assert train_order([{"input_ids": [1]}], None, args) is None
    assert "shared out by Accelerate, found a list: some are read twice" in caplog.text
    caplog.clear()
    args.world_size = 1
    assert train_order([{"input_ids": [1]}], None, args) is None
    assert not caplog.records


def test_rows_without_a_number_are_refused_where_processes_share_them(tmp_path, tokenizer, monkeypatch):
    stream = Dataset.from_list([{"input_ids": [1]}]).to_iterable_dataset()
    with pytest.raises(ValueError, match="must have a number or be streamed ones, found a IterableDataset"):
        train_order(stream, None, SimpleNamespace(world_size=2, max_tokens_per_batch=None))
    job = trainer(tmp_path, tokenizer)
    monkeypatch.setattr(type(job.args), "world_size", 2)
    with pytest.raises(ValueError, match="must have a number, so that none counts twice, found a IterableDataset"):
        job.get_eval_dataloader(stream)
