"""The command line of a training run, without a process of its own: starting one takes longer than a tiny run."""

import contextlib
import io
import traceback
from subprocess import CompletedProcess
from unittest import mock

from hf_multitask.commands.train import train


def in_process(folder, *words, config="config.yaml"):
    """What `accelerate launch run_multitask.py CONFIG WORDS` would print and return, started in `folder`."""
    output, errors = io.StringIO(), io.StringIO()
    cache = mock.patch("datasets.config.HF_DATASETS_CACHE", str(folder / "cache"))
    with contextlib.chdir(folder), cache, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            train([config, *words])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            errors.write(f"{end.code}\n")
        except Exception:
            code = 1
            traceback.print_exc()
    return CompletedProcess(["train", config, *words], code, output.getvalue(), errors.getvalue())
