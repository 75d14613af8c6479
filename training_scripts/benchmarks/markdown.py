"""A table in Markdown."""

from typing import Any

from .table import Table


def markdown(table: Table) -> str:
    """The whole of a table: conditions, rows, bars, what was skipped, and what to read with it."""
    parts = [f"## {table.title}", _conditions(table.conditions), _rows(table)]
    if table.bars:
        parts.append(_bars(table))
    parts += ["\n".join(f"- skipped: {name}: {why}" for name, why in table.skipped.items())]
    parts += ["\n".join(f"- {note}" for note in [*table.notes, *_warnings(table)])]
    return "\n\n".join(part for part in parts if part) + "\n"


def number(value: float | None) -> str:
    """A number with as many digits as it deserves."""
    if value is None:
        return ""
    if value and abs(value) < 0.01:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _conditions(conditions: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {number(value) if isinstance(value, float) else value}" for name, value in conditions.items()
    )


def _rows(table: Table) -> str:
    rows = table.rows()
    further = list(dict.fromkeys(name for row in rows for name in row["facts"]))
    lines = [[table.name, table.unit, "min-max", *further, "kept/discarded"]]
    for row in rows:
        spread = f"{number(row['least'])}-{number(row['greatest'])}"
        facts = [_fact(name, row["facts"].get(name)) for name in further]
        counts = f"{row['kept']}/{row['discarded']}" + (" (gave up: all disturbed)" if row["crowded"] else "")
        shown = f"**{row['variant']}**" if row["ours"] else row["variant"]
        lines.append([shown, number(row["median"]), spread, *facts, counts])
    return _grid(lines)


def _fact(name: str, value: float | None) -> str:
    """Cosines in full: their last digits are what is claimed."""
    return f"{value:.6f}" if value is not None and name.startswith("cosine") else number(value)


def _bars(table: Table) -> str:
    lines = [["bar", "of", "against", "measured", "min-max of rounds", "goal", "moonshot", "met"]]
    for bar in table.judged():
        most = ">= " if bar["kind"] == "speed-up" else "<= "
        unit = " ms" if bar["kind"] == "overhead" else "x"
        measured = "" if bar["value"] is None else number(bar["value"]) + unit
        spread = "" if bar["value"] is None else f"{number(bar['least'])}-{number(bar['greatest'])}"
        goals = [f"{most}{number(bar[name])}{unit}" for name in ("at_least", "moonshot")]
        lines.append([bar["bar"], bar["variant"], bar["against"], measured, spread, *goals, bar["met"]])
    return _grid(lines)


def _warnings(table: Table) -> list[str]:
    """What the numbers must not be read without."""
    found = []
    for row in table.rows():
        if row["left_changed"]:
            found.append(f"{row['variant']} left {', '.join(row['left_changed'])} changed; set back before the next.")
        if row["crowded"]:
            found.append(f"{row['variant']}: no sample was undisturbed; its numbers are those of a busy machine.")
    if (spread := table.spread()) > 0.15:
        found.append(
            f"The samples of a row lie {100 * spread:.0f} % apart: take ratios closer to 1 than that for noise."
        )
    return found


def _grid(lines: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(cells) + " |" for cells in lines]
    rule = "|" + "|".join("---" if index == 0 else "---:" for index in range(len(lines[0]))) + "|"
    return "\n".join([head, rule, *body])
