"""The command line of a training run, without a process of its own: starting one takes longer than a tiny run."""

import contextlib
import io
import logging
import os
import traceback
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from hf_multitask.commands.train import train


def in_process(folder, *words, config="config.yaml"):
    """What `python -m hf_multitask train CONFIG WORDS` prints and returns in `folder`, but for the log."""
    output, errors, code = io.StringIO(), io.StringIO(), 0
    cache = mock.patch("datasets.config.HF_DATASETS_CACHE", str(folder / "cache"))
    before, logger = Path.cwd(), logging.getLogger("hf_multitask")
    level = logger.level
    os.chdir(folder)
    try:
        with cache, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            train([config, *words])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        errors.write(f"{end.code}\n")
    except Exception:
        code = 1
        traceback.print_exc(file=errors)
    finally:
        os.chdir(before)
        logger.setLevel(level)
    return CompletedProcess(["train", config, *words], code, output.getvalue(), errors.getvalue())
