"""Two processes that share the parameters out (FSDP2) learn, save and resume what one process does."""

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_bert
from processes import launch
from safetensors.torch import load_file

from hf_multitask import MultiTaskModel, MultiTaskTrainingArguments


def run(folder, sharding, processes, resume="", **others):
    """The losses, the optimizer's groups and the weights of a run of effective batches of 8 rows."""
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(tiny_bert().state_dict(), folder / "weights.pt")
    launch(processes, "fsdp_job", folder, sharding, 8 // processes, resume, json.dumps(others))
    losses, groups = (json.loads((folder / name).read_text()) for name in ("losses.json", "groups.json"))
    return losses, groups, load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fsdp")


@pytest.fixture(scope="module")
def plain(folder):
    return run(folder / "plain", "plain", 1)


@pytest.fixture(scope="module")
def sharded(folder):
    return run(folder / "sharded", "sharded", 2)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_sharded_training_has_the_losses_of_one_process_also_where_a_task_is_absent(plain, sharded):
    assert ["loss/sentiment" in step for step in plain[0][:-1]] == [True, False, True, False]
    for found, expected in zip(sharded[0], plain[0], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_sharded_training_ends_with_the_weights_of_one_process(plain, sharded):
    assert_equal(sharded[2], plain[2])


@pytest.mark.slow
def test_the_groups_and_their_rates_survive_sharding(plain, sharded):
    assert all(all(group["sharded"]) for group in sharded[1])
    assert not any(any(group["sharded"]) for group in plain[1])
    assert len({group["lr"] for group in plain[1]}) == 4
    for key in ("name", "lr", "weight_decay", "shapes"):
        assert [group[key] for group in sharded[1]] == [group[key] for group in plain[1]]


@pytest.mark.slow
def test_a_model_saved_by_sharded_processes_opens_as_any_other(folder, sharded):
    for saved in (folder / "sharded" / "output", folder / "sharded" / "output" / "checkpoint-4"):
        assert_equal(MultiTaskModel.from_pretrained(saved).state_dict(), sharded[2])


@pytest.mark.slow
def test_a_model_saved_by_sharded_processes_holds_its_own_code(folder, plain, sharded):
    def code(saved):
        return {path.name: path.read_text(encoding="utf-8") for path in Path(saved).glob("*.py")}

    expected = json.loads((folder / "plain" / "output" / "config.json").read_text())["auto_map"]
    assert expected["AutoModel"] == "modeling_multitask.MultiTaskModel"
    for saved in ("output", "output/checkpoint-4"):
        assert json.loads((folder / "sharded" / saved / "config.json").read_text())["auto_map"] == expected
        assert code(folder / "sharded" / saved) == code(folder / "plain" / "output")


@pytest.mark.slow
def test_a_resumed_sharded_run_ends_with_the_weights_of_an_unbroken_one(folder, sharded):
    checkpoint = folder / "sharded" / "output" / "checkpoint-2"
    losses, _, weights = run(folder / "resumed", "sharded", 2, checkpoint)
    assert losses == sharded[0]  # those of the first epoch are read from the checkpoint
    for name, value in sharded[2].items():
        assert torch.equal(weights[name], value), name


@pytest.mark.slow
def test_the_best_heads_of_stopped_tasks_come_back_as_in_one_process(folder):
    stopping = {"task_patience": 1, "eval_strategy": "epoch", "num_train_epochs": 6, "head_learning_rate": 0.05}
    expected = run(folder / "plain stopping", "plain", 1, **stopping)[2]
    assert_equal(run(folder / "sharded stopping", "sharded", 2, **stopping)[2], expected)
    assert_equal(run(folder / "sharded unsaved", "sharded", 2, **stopping, save_strategy="no")[2], expected)
    heads = [
        load_file(path)
        for path in sorted(folder.glob("* stopping/output/checkpoint-*/task_stopping.safetensors"))
        if path.parent.name == "checkpoint-4"
    ]
    assert_equal(*heads)


def test_sharding_on_cpu_which_would_be_dropped_without_a_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fsdp"):
        MultiTaskTrainingArguments(str(tmp_path), fsdp=True, use_cpu=True)
