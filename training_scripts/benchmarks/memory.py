"""Peak memory, each variant in a process of its own.

A process lasts some ten seconds and its peak hardly varies: some of the rows of `training` and `inference` are
measured, on a few steps, and without a run to warm up. So five rounds take some ten minutes on two cores.
"""

import dataclasses
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from . import encoders, graphs, inference, training
from .sampling import measure
from .table import Bar, Table
from .variant import Reading, Skip, Variant
from .workload import Workload

NOTHING = "nothing but the imports"

BARS = [
    Bar("2 tasks in one model against two stock models", training.EXACT, training.TWO_STOCK, 1.0, 0.8, "cost"),
    Bar("reading texts against sentence-transformers", inference.EXACT, inference.PEER, 1.0, 0.9, "cost"),
]

STEPS = 3
"""Of training: its peak comes with the first."""

SOURCES: dict[str, Callable[[Workload], list[Variant]]] = {
    "training": training.variants,
    "inference": inference.variants,
}

MEASURED = {
    "training": (training.PLAIN, training.EXACT, training.TWO_STOCK, training.GROUPED),
    "inference": (inference.EXACT, inference.PEER, *encoders.FROM_GRAPH),
}


def memory(workload: Workload) -> Table:
    """The table."""
    names = [("", NOTHING)]
    for source, of_source in MEASURED.items():
        names += [(source, name) for name in (of_source[-1:] if workload.quick else of_source)]

    def variant(source: str, name: str) -> Variant:
        # Here and not in the process that is measured: exporting has a peak of its own, far above that of running.
        prepare = (lambda: graphs.graph(workload)) if name in encoders.FROM_GRAPH else (lambda: None)
        return Variant(name, lambda graph: _alone(workload, source, name, graph), prepare, ours=name.startswith("ours"))

    variants = [variant(*place) for place in names]
    samples, skipped = measure(variants, dataclasses.replace(workload.method, is_warm=False))
    return Table(
        "memory",
        "Peak memory",
        "MiB",
        variants,
        samples,
        skipped,
        BARS,
        workload.conditions(_few(workload).texts, training=True),
        scale=1,
        notes=[
            "The resident memory of a process that does this once, imports and data included. The exported graph was "
            "made before, in another process.",
            "The two stock models, which are trained one after the other, are both in memory from the first to the "
            "last, and so are their optimizers' states: a process that drops the first, or one for each, needs less.",
        ],
    )


def alone(workload: Workload, place: str) -> None:
    """What the process started by [`memory`] does: run one variant once, and print the peak in MiB."""
    source, _, name = place.partition(":")
    if source:
        variant = next(variant for variant in SOURCES[source](_few(workload)) if variant.name == name)
        try:
            variant.run(variant.prepare())
        except Skip as reason:
            print(json.dumps({"skip": str(reason)}))
            return
    on_device = torch.cuda.max_memory_allocated() / 2**20 if workload.device == "cuda" else 0.0
    print(json.dumps({"cost": peak(), "on the device, MiB": on_device}))


def _few(workload: Workload) -> Workload:
    """The same workload on the texts of a few steps."""
    return dataclasses.replace(workload, texts=workload.texts[: workload.batch_size * STEPS])


def peak() -> float:
    """The most resident memory of this process so far, in MiB."""
    try:  # ru_maxrss of a new process is at least the memory of the one that started it
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def _alone(workload: Workload, source: str, name: str, graph: Path | None) -> Reading:
    command = [sys.executable, str(Path(__file__).with_name("run.py")), *workload.arguments]
    command += [*(["--exported", str(graph)] if graph else []), "--alone", f"{source}:{name}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: Reading = json.loads(done.stdout.splitlines()[-1])
    if "skip" in found:
        raise Skip(str(found["skip"]))
    return found
