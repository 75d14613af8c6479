"""How a model was trained, a line each."""

from .run_record import RunRecord


def describe_setup(record: RunRecord) -> list[str]:
    """The training arguments, the hardware, the time and the versions, as far as the record tells."""
    lines = [f"`{name}`: {value}" for name, value in record.arguments.items()]
    if record.max_length:
        lines.append(f"`max_length`: {record.max_length} tokens")
    if record.chosen_by:
        lines.append(f"The best checkpoint by the validation metric `{record.chosen_by}`")
    if machine := record.machine:
        processes = "1 process" if machine.processes == 1 else f"{machine.processes} processes"
        lines.append(f"Hardware: {processes} on {machine.device}, {machine.precision}")
    if end := next((line for line in reversed(record.log_history) if "train_runtime" in line), None):
        lines.append(f"Ended at step {end['step']:,}, epoch {end['epoch']:.4g}")
    if "train_runtime" in record.results.get("train", {}):
        lines.append(f"Time: {_time(record)}")
    lines.append("Energy and emissions were not measured, and are not estimated here")
    lines.append(", ".join(f"{name} {version}" for name, version in record.versions.items()))
    return lines


def _time(record: RunRecord) -> str:
    """How long training took, and how fast it was."""
    measured = record.results["train"]
    parts = [duration(measured["train_runtime"])]
    if record.resumed:
        parts.append("since it was resumed")
    parts.append("evaluations and checkpoints included")
    if "train_samples_per_second" in measured:
        parts.append(f"{measured['train_samples_per_second']:,.1f} training rows per second")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds, in the unit that reads best."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
