"""Threads: a single CPU process uses all cores, several share them."""

import os

import pytest
import torch

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.training.threads import use_all_cores


@pytest.mark.parametrize(
    ("cores", "processes", "before", "after"), [(4, 1, 1, 4), (4, 2, 1, 2), (4, 8, 1, 1), (4, 1, 3, 3)]
)
def test_a_process_gets_its_share_of_the_cores_unless_it_has_more_than_one(
    tmp_path, monkeypatch, cores, processes, before, after
):
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    threads = [before]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    use_all_cores(args)
    assert threads[-1] == after
