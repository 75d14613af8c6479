"""Started by test_interruption.py: one run after another of a small training, each ended in its own way.

    survival_job.py FOLDER PROCESSES RUN ...

The first run is undisturbed, in FOLDER/undisturbed. Every RUN then restarts the same training with
`--resume_from_checkpoint auto` in FOLDER/disturbed: `whole` (to the end), `kill=0.4` (SIGKILL when so much of the
undisturbed run's time has passed in training), `kill_writing` (SIGKILL while a checkpoint is written) or
`interrupt=0.4` (SIGINT, sent to the last process only). The runs are forked, so that torch is imported only once.
Prints how each run's processes ended, its seconds of training and the checkpoints it left, as a line of JSON.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import torch
from conftest import make_tokenizer, tiny_bert
from safetensors.torch import save_file
from test_trainer import rows, trainer
from transformers import TrainerCallback, set_seed

from hf_multitask.training.checkpoints import checkpoints_in, what_is_missing
from hf_multitask.training.interruption import StopOnSignal
from hf_multitask.training.output_folder import claim_output_folder


class Tell(TrainerCallback):
    """Says through a pipe that training begins."""

    def __init__(self, pipe):
        self.pipe = pipe

    def on_train_begin(self, args, state, control, **kwargs):
        os.write(self.pipe, b"b")


def train(folder: Path, pipe: int, slow: bool) -> int:
    """The training, in a process of its own."""
    set_seed(0)
    job = trainer(
        folder,
        make_tokenizer(),
        tiny_bert(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1),
        rows(44),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        num_train_epochs=5,
        train_sampling_strategy="random",
        max_grad_norm=1.0,
        save_strategy="steps",
        save_steps=4,
        save_total_limit=2,
        eval_strategy="epoch",
        resume_from_checkpoint="auto",
        gradual_unfreezing_steps=6,
    )
    with job.args.main_process_first(local=False):
        checkpoint = claim_output_folder(job.args, overwrite=False)
    if slow:  # a moment in which there are weights, but no optimizer yet
        save = job._save_optimizer_and_scheduler
        job._save_optimizer_and_scheduler = lambda *args: (time.sleep(0.3), save(*args))
    job.add_callback(Tell(pipe))
    with StopOnSignal() as stop:
        job.add_callback(stop)
        job.train(resume_from_checkpoint=checkpoint)
    if not stop.interrupted and job.is_world_process_zero():
        save_file(job.model.state_dict(), folder / "final.safetensors")
    job.end()
    return 128 + stop.interrupted if stop.interrupted else 0


def start(folder: Path, rank: int, processes: int, port: int, pipe: int, slow: bool) -> int:
    """The id of a new process that trains."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
        if processes > 1:
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": processes, "RANK": rank}
            os.environ.update({key: str(value) for key, value in {**where, "LOCAL_RANK": rank}.items()})
        code = train(folder, pipe, slow)
    finally:
        sys.stderr.flush()
        os._exit(code)


def live(folder: Path, processes: int, run: str, whole: float = 0.0) -> dict:
    """One run, from its start to its end. `whole` is the time an undisturbed one takes."""
    kind, _, part = run.partition("=")
    reader, writer = os.pipe()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ids = [start(folder, rank, processes, port, writer, kind == "kill_writing") for rank in range(processes)]
    os.close(writer)
    for _ in range(processes):
        os.read(reader, 1)
    began = time.monotonic()
    if kind == "kill_writing":
        while not any(
            (path / "model.safetensors").exists() and what_is_missing(path) for path in checkpoints_in(folder)
        ):
            time.sleep(0.005)
    elif part:
        time.sleep(float(part) * whole)
    if kind.startswith("kill"):
        for process in ids:
            os.kill(process, signal.SIGKILL)
    elif kind == "interrupt":
        os.kill(ids[-1], signal.SIGINT)
    ends = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in ids]
    os.close(reader)
    left = {path.name: what_is_missing(path) for path in checkpoints_in(folder)}
    return {"run": run, "ends": ends, "seconds": time.monotonic() - began, "left": left}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, count = Path(sys.argv[1]), int(sys.argv[2])
    records = [live(place / "undisturbed", count, "whole")]
    records += [live(place / "disturbed", count, word, records[0]["seconds"]) for word in sys.argv[3:]]
    sys.stdout.write("\n".join(["", *map(json.dumps, records), ""]))
