"""Started by test_command_predict.py: the command, killed at its N-th change of the disk for each N, and started again.

Prints, as JSON, how often it was killed, and for which N the file in the end was another than that of a run that was
left alone, or something else was left.
"""

import io
import json
import os
import pathlib
import signal
import sys

from hf_multitask.__main__ import main
from hf_multitask.commands import bulk, predict  # noqa: F401 - imported once, and not after each fork

bulk.FEWEST_ROWS, bulk.PART_BATCHES = 1, 8
bulk.use_all_cores = lambda process: None  # two threads may have other last digits than one


def run(words, kill_at=0):
    """Whether the command came to its end; in a process of its own."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        _kill_at(kill_at)
        main(words)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the command failed at {kill_at}: {status}"
    return status == 0


def _kill_at(number):
    """Kill this process before the `number`-th change of a file's state."""
    left = [number]

    def counted(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    def in_halves(function):
        def call(file, *args):
            whole = io.BytesIO()
            function(whole, *args)
            half = len(whole.getvalue()) // 2
            file.write(whole.getvalue()[:half])
            file.flush()
            counted(file.write)(whole.getvalue()[half:])

        return call

    os.fsync = counted(os.fsync)
    bulk.write_part, bulk.join_parts = in_halves(bulk.write_part), in_halves(bulk.join_parts)
    for name in ("replace", "unlink", "touch", "rmdir", "mkdir"):
        setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))


def sweep(model, source, suffix, first, stride):
    """Every place where the command can be killed, or every `stride`-th, from the `first` on."""
    folder = pathlib.Path(source).parent
    whole, output = folder / f"whole.{suffix}", folder / f"output.{suffix}"
    assert run(["predict", model, source, str(whole), "--batch_size", "2"])
    number, killed, wrong = int(first), 0, []
    while True:
        words = ["predict", model, source, str(output), "--batch_size", "2"]
        if run(words, kill_at=number):
            break
        if not output.exists() or output.with_name(f"{output.name}.parts").exists():
            run(words)
        if output.read_bytes() != whole.read_bytes() or output.with_name(f"{output.name}.parts").exists():
            wrong.append(number)
        output.unlink()
        number, killed = number + int(stride), killed + 1
    sys.stdout.write(json.dumps({"killed": killed, "wrong": wrong}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sweep(*sys.argv[1:])
