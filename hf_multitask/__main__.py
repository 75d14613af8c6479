"""The command line: `python -m hf_multitask COMMAND ...`."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

USAGE = """\
usage: python -m hf_multitask COMMAND ...

commands:
  train CONFIG.yaml [--key value ...]   train on several tasks, from a configuration to a checkpoint with its card
  evaluate DIR CONFIG.yaml              score a checkpoint on the data of a configuration
  predict DIR INPUT OUTPUT              answer every task for the texts of a file
  embed DIR INPUT OUTPUT                embed the texts of a file
  export DIR OUT                        write a checkpoint for other runtimes
  info DIR                              explain a checkpoint

`python -m hf_multitask COMMAND --help` tells more of one."""

TRAIN_USAGE = """\
usage: python -m hf_multitask train CONFIG.yaml [--key value ...]

A flag overrides the file: --backbone, --pooling and the other keys of its top level, any training argument
(--learning_rate 5e-5), or a dotted path (--tasks.topic.loss_weight 2). --resume_from_checkpoint goes on from the last
complete checkpoint; --overwrite_output_dir moves an earlier run aside."""

COMMANDS = {"train": "train", "evaluate": "main", "predict": "main", "embed": "main", "export": "main", "info": "main"}
"""Command, and module of `commands` -> its function, which is imported when it is used: each needs other packages."""

OF_ONE_PROCESS = ("export", "info")
"""Commands that are not shared: of several processes that were started together, the first one does all."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(words: Sequence[str] | None = None) -> None:
    """Do what a command line says, by default this process's; a wrong one ends it with code 2, a failure with 1."""
    words = sys.argv[1:] if words is None else words
    command = words[0] if words else ""
    if command in ("-h", "--help"):
        print(USAGE)
    elif command not in COMMANDS:
        print(USAGE, file=sys.stderr)
        print(f"error: the command must be one of {', '.join(COMMANDS)}, found {command or 'none'}", file=sys.stderr)
        sys.exit(2)
    elif command == "train" and {"-h", "--help"} & set(words):
        print(TRAIN_USAGE)
    elif command not in OF_ONE_PROCESS or os.environ.get("RANK", "0") == "0":
        _run(command, words[1:])


def _run(command: str, words: Sequence[str]) -> None:
    try:
        module = import_module(f".commands.{command}", __package__)
        getattr(module, COMMANDS[command])(words)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        goes_on = " The same command goes on from there." if command in ("predict", "embed") else ""
        print(f"\nStopped.{goes_on}", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
