"""Threads: a single CPU process uses all cores, several share them."""

import os

import pytest
import torch

from hf_multitask import MultiTaskTrainingArguments
from hf_multitask.training.threads import LAUNCHED


@pytest.mark.parametrize(
    ("cores", "processes", "is_launched", "before", "after"),
    [(4, 1, True, 1, 4), (4, 2, True, 1, 2), (4, 8, True, 1, 1), (4, 1, True, 3, 3), (4, 1, False, 1, 1)],
)
def test_a_launched_process_gets_its_share_of_the_cores_unless_it_has_more_than_one(
    tmp_path, monkeypatch, cores, processes, is_launched, before, after
):
    threads = [before]
    if is_launched:
        monkeypatch.setenv(LAUNCHED, "no")
    else:
        monkeypatch.delenv(LAUNCHED, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, performance="off")
    assert threads[-1] == after
