"""How long it takes to import the package, and to the first answer, each in a new process."""

import subprocess
import sys
from functools import partial

from . import ours
from .sampling import measure
from .table import Bar, Table
from .variant import Reading, Skip, Variant
from .workload import Workload

PEER, OURS = "torch and transformers' model classes", "hf_multitask"
OPEN = "from transformers import AutoModel, AutoTokenizer; m = AutoModel.from_pretrained({0!r})"

IMPORTS = {
    "torch and transformers, nothing of it used": "import torch, transformers",
    PEER: "import torch; from transformers import AutoConfig, AutoModel, PreTrainedModel",
    OURS: "import hf_multitask",
    "transformers' Trainer": "from transformers import Trainer",
    "hf_multitask's Trainer": "from hf_multitask import MultiTaskTrainer",
    "sentence_transformers": "import sentence_transformers",
}

OUR_ANSWER, PEER_ANSWER = "first embedding, hf_multitask", "first embedding, sentence-transformers"

FIRST_ANSWERS = {
    "first embedding, transformers": OPEN
    + "; m(**AutoTokenizer.from_pretrained({0!r})('a text', return_tensors='pt'))",
    PEER_ANSWER: "from sentence_transformers import SentenceTransformer; SentenceTransformer({0!r}).encode('a text')",
    OUR_ANSWER: "from hf_multitask import MultiTaskModel; MultiTaskModel.from_pretrained({1!r}).encode('a text')",
}

BARS = [
    Bar("importing", OURS, PEER, 1.1, 1.02, "cost"),
    Bar("the Trainer", "hf_multitask's Trainer", "transformers' Trainer", 1.1, 1.02, "cost"),
    Bar("to the first embedding", OUR_ANSWER, PEER_ANSWER, 1.0, 0.8, "cost"),
]


def startup(workload: Workload) -> Table:
    """The table."""
    folder = str(workload.scratch / "model")
    saved = ours.model(workload, 2)
    saved.save_pretrained(folder)
    codes = IMPORTS | {name: code.format(workload.backbone, folder) for name, code in FIRST_ANSWERS.items()}
    if workload.quick:
        codes = {name: codes[name] for name in (PEER, OURS)}
    variants = [Variant(name, partial(_start, code), ours="hf_multitask" in name) for name, code in codes.items()]
    samples, skipped = measure(variants, workload.method)
    conditions = {"rounds": workload.rounds, "python": sys.version.split()[0]}
    notes = [
        "Each is a whole process, the interpreter's own start included, with files in the system's cache.",
        f"The peer of {OURS} is what any program that opens a model imports: `import transformers` loads nothing yet.",
    ]
    return Table("startup", "Start-up", "s", variants, samples, skipped, BARS, conditions, scale=1, notes=notes)


def _start(code: str, _: None) -> Reading | None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        if "ModuleNotFoundError" in last:
            raise Skip(last)
        raise RuntimeError(last)
    return None
