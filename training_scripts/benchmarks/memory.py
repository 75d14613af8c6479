"""Peak memory, each variant in a process of its own."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from . import inference, training
from .sampling import measure
from .table import Bar, Table
from .variant import Reading, Skip, Variant
from .workload import Workload

NOTHING = "nothing but the imports"

BARS = [
    Bar("2 tasks in one model against two stock models", training.EXACT, training.TWO_STOCK, 1.0, 0.8, "cost"),
    Bar("reading texts against sentence-transformers", inference.EXACT, inference.PEER, 1.0, 0.9, "cost"),
]

SOURCES: dict[str, Callable[[Workload], list[Variant]]] = {
    "training": training.variants,
    "inference": inference.variants,
}


def memory(workload: Workload) -> Table:
    """The table."""
    names = [("", NOTHING)]
    for source, make in SOURCES.items():
        of_source = [variant.name for variant in make(workload)]
        names += [(source, name) for name in (of_source[:1] if workload.quick else of_source)]
    variants = [
        Variant(name, lambda _, place=(source, name): _alone(workload, *place), ours=name.startswith("ours"))
        for source, name in names
    ]
    samples, skipped = measure(variants, workload.method)
    return Table(
        "memory",
        "Peak memory",
        "MiB",
        variants,
        samples,
        skipped,
        BARS,
        workload.conditions(training.texts_of(workload), training=True),
        scale=1,
        notes=["The resident memory of a process that does this once, imports and data included."],
    )


def alone(workload: Workload, place: str) -> None:
    """What the process started by [`memory`] does: run one variant once, and print the peak in MiB."""
    source, _, name = place.partition(":")
    if source:
        variant = next(variant for variant in SOURCES[source](workload) if variant.name == name)
        try:
            variant.run(variant.prepare())
        except Skip as reason:
            print(json.dumps({"skip": str(reason)}))
            return
    on_device = torch.cuda.max_memory_allocated() / 2**20 if workload.device == "cuda" else 0.0
    print(json.dumps({"cost": peak(), "on the device, MiB": on_device}))


def peak() -> float:
    """The most resident memory of this process so far, in MiB."""
    try:  # ru_maxrss of a new process is at least the memory of the one that started it
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def _alone(workload: Workload, source: str, name: str) -> Reading:
    command = [sys.executable, str(Path(__file__).with_name("run.py")), *workload.arguments]
    done = subprocess.run([*command, "--alone", f"{source}:{name}"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: Reading = json.loads(done.stdout.splitlines()[-1])
    if "skip" in found:
        raise Skip(str(found["skip"]))
    return found
