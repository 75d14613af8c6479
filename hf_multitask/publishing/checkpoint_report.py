"""What a checkpoint is, in words and tables, from the small files of its folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from ..modeling.configuration_multitask import MultiTaskConfig
from ..modeling.reading import UNLIMITED
from ..modeling.task import Task
from ..tables import format_table

MOST_LABELS = 12
"""Of so many labels of a task the names are told."""


def describe_encoder(config: MultiTaskConfig, folder: Path) -> str:
    """The encoder, and how its tokens become an embedding; a line each."""
    encoder = config.text_config
    limit = _read(folder, "tokenizer_config.json").get("model_max_length") or UNLIMITED
    base = _card(folder).get("base_model")
    facts = {
        "encoder": encoder.model_type,
        "base model": ", ".join(base) if isinstance(base, list) else base,
        "layers": getattr(encoder, "num_hidden_layers", None),
        "vocabulary": getattr(encoder, "vocab_size", None),
        "embedding size": config.hidden_size,
        "pooling": config.pooling,
        "normalised": "yes" if config.normalize else "no",
        "prompts": ", ".join(f"{name}: {text!r}" for name, text in config.prompts.items()) or "none",
        "default prompt": config.default_prompt_name,
        "read of a text": None if limit >= UNLIMITED else f"{limit} tokens",
    }
    return "\n".join(f"{name + ':':<16}{value}" for name, value in facts.items() if value is not None)


def task_table(tasks: Sequence[Task]) -> str:
    """Each task's kind, labels, weight and calibration."""
    rows = []
    for task in tasks:
        thresholds = _first([f"{threshold:.3g}" for threshold in task.thresholds or ()])
        temperature = f"{task.temperature:.4g}" if task.temperature != 1.0 else "-"
        kind = task.problem_type.replace("_", " ")
        rows.append([task.name, kind, _first(task.labels), f"{task.loss_weight:g}", temperature, thresholds])
    return format_table(["task", "kind", "labels", "loss weight", "temperature", "thresholds"], rows)


def results_of(folder: Path) -> dict[str, dict[str, float]]:
    """Per split that was scored, `test` and `eval`, the results that lie beside a checkpoint."""
    found = {split: _read(folder, f"{split}_results.json") for split in ("test", "eval")}
    return {split: results for split, results in found.items() if results}


def card_scores(folder: Path) -> str:
    """The scores that the card of a checkpoint tells to the Hub; empty where it tells none."""
    rows = [
        [of.task_name or "-", of.dataset_split or "-", of.metric_name or of.metric_type, str(of.metric_value)]
        for of in _card(folder).get("eval_results") or []
    ]
    return format_table(["scores of the card", "split", "metric", "value"], rows) if rows else ""


def describe_training(folder: Path) -> str:
    """How a checkpoint was trained; a line each, and empty where nothing is known of it."""
    state, results = _read(folder, "trainer_state.json"), _read(folder, "train_results.json")
    seconds = results.get("train_runtime")
    facts = {
        "steps": state.get("global_step"),
        "epochs": results.get("epoch", state.get("epoch")),
        "time": None if seconds is None else f"{seconds:,.0f} s",
        "training loss": results.get("train_loss"),
        "best step": state.get("best_global_step"),
        "its score": state.get("best_metric"),
    }
    lines = [f"{name + ':':<16}{_number(value)}" for name, value in facts.items() if value is not None]
    return "\n".join(lines)


def describe_ways(config: MultiTaskConfig, files: Sequence[str], name: str) -> str:
    """In which ways a checkpoint opens.

    Args:
        config: The checkpoint's.
        files: Names of its files.
        name: Its folder or id.
    """
    has_code = "modeling_multitask.py" in files and bool(getattr(config, "auto_map", None))
    has_tokenizer = "tokenizer_config.json" in files
    reads = has_code and has_tokenizer
    graphs = [file for file in files if file.endswith(".onnx")]
    ways = {
        f"MultiTaskModel.from_pretrained({name!r})": True,
        f"AutoModel.from_pretrained({name!r}, trust_remote_code=True)": has_code,
        f"pipeline(model={name!r}, trust_remote_code=True)": reads and "pipeline_multitask.py" in files,
        f"SentenceTransformer({name!r}, trust_remote_code=True)": reads and "modules.json" in files,
        f"ONNX Runtime ({', '.join(graphs) or 'no graph'})": bool(graphs),
    }
    return "\n".join(f"{'yes' if opens else 'no':<5}{way}" for way, opens in ways.items())


def _first(names: Sequence[str]) -> str:
    more = f" ({len(names)} in all)" if len(names) > MOST_LABELS else ""
    return (", ".join(names[:MOST_LABELS]) or "-") + more


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values if isinstance(values, dict) else {}


def _card(folder: Path) -> dict[str, Any]:
    """What the header of a checkpoint's card says, without what is no metadata of the Hub's."""
    path = folder / "README.md"
    if not path.is_file():
        return {}
    card = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    return vars(card.data)
