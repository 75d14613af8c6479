"""Two real processes, started by `accelerate launch` on CPU, have the gradients of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_trainer import relative_difference, weights  # noqa: F401 - a fixture

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


def run(folder, per_device, accumulation, processes, extra="plain"):
    folder.mkdir()
    torch.save(run.weights, folder / "weights.pt")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines=1", "--mixed_precision=no"]
    launcher += ["--dynamo_backend=no", f"--num_processes={processes}"]
    if processes > 1:  # `--cpu` would start one process; the job itself asks for the CPU
        launcher += ["--multi_gpu", f"--main_process_port={29500 + os.getpid() % 1000}"]
    job = [str(HERE / "distributed_job.py"), str(folder), str(per_device), str(accumulation), extra]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *job], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "gradients.safetensors"), load_file(folder / "numbers.safetensors")


@pytest.fixture(scope="module")
def one_batch(tmp_path_factory, weights):  # noqa: F811
    run.weights = weights
    return run(tmp_path_factory.mktemp("one") / "run", 16, 1, processes=1)


@pytest.mark.parametrize(("per_device", "accumulation"), [(8, 1), (4, 2)])
def test_two_processes_have_the_gradients_and_the_losses_of_one(tmp_path, one_batch, per_device, accumulation):
    gradients, numbers = run(tmp_path / "run", per_device, accumulation, processes=2)
    assert numbers["world_size"] == 2
    assert relative_difference(gradients, one_batch[0]) < 1e-5
    for key in ("loss", "loss/topic", "loss/sentiment", "eval_loss", "eval_topic_loss", "eval_topic_accuracy"):
        torch.testing.assert_close(numbers[key], one_batch[1][key], rtol=1e-5, atol=0)


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
