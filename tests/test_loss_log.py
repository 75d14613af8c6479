"""The losses in the log: of each task, over the steps that had labels for it."""

import pytest
import torch

from hf_multitask.training.loss_log import TaskLossLog


def test_each_task_is_averaged_over_the_steps_that_had_labels_for_it():
    log = TaskLossLog(torch.device("cpu"))
    log.begin_batch(["a", "b"])
    log.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})
    log.add({"a": torch.tensor(2.0)})  # another micro-batch of the same step
    log.begin_batch(["a"])
    log.add({"a": torch.tensor(3.0)})
    assert log.means(lambda values: values) == pytest.approx({"a": 3.0, "b": 4.0})
    assert log.means(lambda values: values) == {}


def test_the_loss_of_a_task_that_no_step_announced_is_left_out():
    log = TaskLossLog(torch.device("cpu"))
    log.begin_batch(["a"])
    log.add({"a": torch.tensor(1.0), "b": torch.tensor(9.0)})
    assert log.means(lambda values: values) == {"a": 1.0}
