"""Train one model on several tasks, from a configuration file to a checkpoint with its card.

    accelerate launch training_scripts/run_multitask.py [CONFIG.yaml] [--key value ...]

Without a file it runs training_scripts/configs/sample.yaml. A flag overrides the file: `--backbone`, `--pooling` and
the other keys of its top level, any training argument (`--learning_rate 5e-5`), or a dotted path
(`--tasks.topic.loss_weight 2`).
`--resume_from_checkpoint` continues from the last complete checkpoint, `--resume_from_checkpoint auto` too, or begins
where there is none; `--overwrite_output_dir` moves an earlier run aside. Ctrl-C saves a checkpoint and ends.
`--from_checkpoint FOLDER`, in place of a backbone, adds the configuration's tasks to a trained model and keeps those of
its own (`--retain replay`, `distill` or `none`).

`python -m hf_multitask train CONFIG.yaml` is the same, wherever the package is installed.
"""

import sys
from pathlib import Path

from hf_multitask.commands.train import train

DEFAULT_CONFIG = Path(__file__).resolve().parent / "configs" / "sample.yaml"

if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(__doc__)
    else:
        train(sys.argv[1:], DEFAULT_CONFIG)
