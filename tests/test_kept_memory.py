"""Freed memory that a process keeps for what comes next: while it is wanted, and as before afterwards."""

import os
import platform
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from hf_multitask.modeling import kept_memory as module
from hf_multitask.modeling.kept_memory import (
    ADAPTED,
    KEPT,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    MOST,
    give_memory_back,
    kept_memory,
    memory_gain,
)

IN_A_NEW_PROCESS = """
import resource
import torch
from hf_multitask.modeling.kept_memory import kept_memory

def faults_of_blocks():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.zeros(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults_of_blocks()
with kept_memory():
    faults_of_blocks()  # where they lie is not yet settled
    print(without, faults_of_blocks())
"""
"""Prints how many pages the system had to find for blocks that are larger than any that glibc keeps by itself."""


@pytest.fixture
def set_options(monkeypatch):
    """What `mallopt` is called with, in its stead."""
    calls = []
    monkeypatch.setattr(module, "_malloc_option", lambda: lambda option, size: calls.append((option, size)) or 1)
    return calls


def settings(sizes):
    return list(zip((M_MMAP_THRESHOLD, M_TRIM_THRESHOLD), sizes, strict=True))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_a_block_takes_the_memory_of_those_before_it():
    environment = {name: value for name, value in os.environ.items() if name not in module.SETTINGS}
    run = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, check=True, env=environment
    )
    without, kept = map(int, run.stdout.split())
    assert kept < without / 10


def test_it_ends_with_the_last_thread_that_wants_it(set_options):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with kept_memory():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with kept_memory():
        thread.start()
        inside.wait()
    assert set_options == settings(KEPT)
    leave.set()
    thread.join()
    assert set_options == settings(KEPT) + settings(ADAPTED)


def test_an_older_glibc_that_takes_less_is_given_the_most_that_it_takes(monkeypatch):
    calls = []

    def mallopt(option, size):
        calls.append((option, size))
        return int(option == M_TRIM_THRESHOLD or size <= MOST)

    monkeypatch.setattr(module, "_malloc_option", lambda: mallopt)
    with kept_memory():
        assert calls == [(M_MMAP_THRESHOLD, KEPT[0]), (M_MMAP_THRESHOLD, MOST), (M_TRIM_THRESHOLD, KEPT[1])]


def test_an_error_ends_it_too(set_options):
    with pytest.raises(RuntimeError, match="of the step"), kept_memory():
        raise RuntimeError("of the step")
    assert set_options == settings(KEPT) + settings(ADAPTED)


def test_memory_goes_back_when_nobody_is_inside(set_options, monkeypatch):
    trims = []
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=trims.append))
    with kept_memory():
        give_memory_back()
    assert trims == []
    give_memory_back()
    assert trims == [0]


def test_what_is_not_wanted_changes_nothing(set_options):
    with kept_memory(False):
        pass
    assert set_options == []


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_somebody_chose_for_the_process_stays_chosen(name, monkeypatch):
    monkeypatch.setenv(name, "1048576")
    module._malloc_option.cache_clear()
    memory_gain.cache_clear()
    try:
        assert module._malloc_option() is None
        assert memory_gain() == 1
    finally:
        monkeypatch.undo()
        module._malloc_option.cache_clear()
        memory_gain.cache_clear()


def test_a_system_without_glibc_is_left_alone(monkeypatch):
    def without(name):
        raise TypeError("Windows has no library without a name")

    monkeypatch.setattr(module.ctypes, "CDLL", without)
    module._malloc_option.cache_clear()
    try:
        assert module._malloc_option() is None
        with kept_memory():
            pass
    finally:
        monkeypatch.undo()
        module._malloc_option.cache_clear()
