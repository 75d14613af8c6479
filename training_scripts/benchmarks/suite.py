"""The command line, and what is written."""

import argparse
import datetime
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import torch
import transformers

from hf_multitask.backbones import published_name, resolve_backbone

from .balancing import balancing
from .chart import draw
from .corpus import sentences
from .data import data
from .environment import environment
from .floor import floor
from .gpu import gpu
from .inference import inference
from .latency import latency
from .markdown import markdown
from .memory import alone, memory
from .overhead import overhead
from .passes import passes
from .profile_step import profile_step
from .sampling import Method
from .startup import startup
from .table import Table
from .tasks import tasks
from .training import training
from .workload import Workload

BENCHMARKS: dict[str, Callable[[Workload], Table]] = {
    made.__name__: made
    for made in (floor, training, gpu, inference, latency, memory, startup, tasks, data, balancing, passes, overhead)
}

SENTENCES = 8192


def main(words: Sequence[str]) -> None:
    """Measure what the command line names, and write it."""
    asked = parser().parse_args(words)
    if not (asked.alone or asked.profile):
        check_output(asked.output)
    with TemporaryDirectory(prefix="benchmarks-") as scratch:
        workload = workload_of(asked, Path(scratch))
        if asked.alone:
            alone(workload, asked.alone)
        elif asked.profile:
            print(profile_step(workload))
        else:
            measure_all(workload, asked)


def quiet() -> None:
    """The whole process without progress bars and warnings, which would take time while others are measured."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("hf_multitask", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def measure_all(workload: Workload, asked: argparse.Namespace) -> None:
    """Every benchmark asked for, written as soon as it is there: one that breaks later takes nothing with it."""
    output: Path = asked.output
    output.mkdir(parents=True, exist_ok=True)
    possible = [name for name in BENCHMARKS if name != gpu.__name__ or asked.device == "cuda"]
    names = list(dict.fromkeys(["floor", *(asked.benchmarks or possible)]))
    record: dict[str, Any] = {"started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    record |= {"command": list(sys.argv[1:]), "backbone": published_name(asked.backbone)}
    record |= {"environment": environment(workload.device), "benchmarks": {}}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        start = time.perf_counter()
        table = BENCHMARKS[name](workload)
        (output / f"{name}.md").write_text(markdown(table), encoding="utf-8")
        draw(table, output / f"{name}.png")
        record["benchmarks"][name] = described(table) | {"took_s": time.perf_counter() - start}
        staged = output / "results.json.part"
        staged.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        staged.replace(output / "results.json")
        print(markdown(table), flush=True)
    print(f"Results are in {output}", file=sys.stderr)


def check_output(output: Path) -> None:
    """Raise unless results can be written there."""
    found = "results.json in" if (output / "results.json").exists() else ""
    if any(place.exists() and not place.is_dir() for place in (output, *output.parents)):
        found = "a file on the way to"
    if found:
        raise SystemExit(f"--output must be a folder without results, found {found} {output}. Name another.")


def described(table: Table) -> dict[str, Any]:
    """All of a table, for the JSON."""
    return {"title": table.title, "unit": table.unit, "conditions": table.conditions} | {
        "rows": table.rows(),
        "bars": table.judged(),
        "skipped": table.skipped,
        "notes": list(table.notes),
    }


def workload_of(asked: argparse.Namespace, scratch: Path) -> Workload:
    """What the command line says to measure with."""
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda must have a GPU, found none. Leave it out for the CPU.")
    if asked.device != "cuda" and gpu.__name__ in asked.benchmarks:
        raise SystemExit(f"The benchmark gpu must have --device cuda, found {asked.device}. Leave it out.")
    method = Method(asked.rounds, asked.retries, is_trial=asked.quick, clock=clock_of(asked.device))
    again = ["--backbone", asked.backbone, "--device", asked.device, "--batch_size", str(asked.batch_size)]
    again += [*(["--data", str(asked.data)] if asked.data else []), *(["--quick"] if asked.quick else [])]
    try:
        texts, backbone = sentences(asked.data, SENTENCES), resolve_backbone(asked.backbone)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(str(error)) from error
    return Workload(
        texts=texts,
        backbone=backbone,
        scratch=scratch,
        device=asked.device,
        batch_size=asked.batch_size,
        quick=asked.quick,
        method=method,
        arguments=again,
        exported=asked.exported,
    )


def clock_of(device: str) -> Callable[[], float]:
    """Reads the time when all work given to the device is done."""

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def number_from(least: int) -> Callable[[str], int]:
    """Reads a whole number of at least so much from a word of the command line."""

    def read(word: str) -> int:
        if not word.isdecimal() or int(word) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, found {word!r}")
        return int(word)

    return read


def benchmark(word: str) -> str:
    """The name of a benchmark."""
    if word not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"must be some of {', '.join(BENCHMARKS)}, found {word!r}")
    return word


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="run.py", description="Measure hf_multitask side by side with its peers.")
    of = f"some of {', '.join(BENCHMARKS)}; all by default"
    made.add_argument("benchmarks", nargs="*", type=benchmark, metavar="BENCHMARK", help=of)
    made.add_argument("--rounds", type=number_from(1), default=5, help="samples to keep of every variant")
    tries = "further tries for a sample that others disturbed"
    made.add_argument("--retries", type=number_from(0), default=3, help=tries)
    made.add_argument("--quick", action="store_true", help="one small cold sample each: whether it works, not how fast")
    made.add_argument("--output", type=Path, default=Path("output/benchmarks"), help="a folder without results")
    made.add_argument("--data", type=Path, help="a folder of folders with train.csv; the sample corpus by default")
    made.add_argument("--backbone", default="packaged:all-MiniLM-L6-v2", help="the encoder")
    made.add_argument("--batch_size", type=number_from(1), default=32, help="sentences of a batch")
    made.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    made.add_argument("--profile", action="store_true", help="print the operators of a training step, and end")
    made.add_argument("--alone", help=argparse.SUPPRESS)  # how `memory` starts the processes that it measures
    made.add_argument("--exported", type=Path, help=argparse.SUPPRESS)  # and what it gives them
    return made
