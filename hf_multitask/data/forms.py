"""How targets are written, which tells the kind of their task: as names, numbers or lists."""

import re
from typing import Any

from .cells import FRACTION, WHOLE, is_list
from .targets import Source

COMMA = re.compile(r"[-+]?(\d+,\d+|\d{1,3}(,\d{3})+(\.\d+)?|\d{1,3}(\.\d{3})+,\d+)")
"""A number with a comma before its fraction, as in 3,5 and 1.000,5, or between thousands, as in 1,000.5.

3,5 could also be two numbers.
"""

PYTHON_LIST = re.compile(r"""\[\s*(['"].*['"]|[-+.]?\d[-+.\deE]*(\s+[-+.]?\d[-+.\deE]*)+)\s*\]""", re.DOTALL)
"""A list as Python or numpy show it, and pandas writes it to csv: ['a', 'b'], ['a' 'b'] or [0.5 1.]."""

GIVE_KIND = "Give the task's problem_type under tasks, or correct the rows."


def is_shown_list(value: Any) -> bool:
    """Whether a cell holds a list as Python shows it, which is no JSON."""
    return isinstance(value, str) and PYTHON_LIST.fullmatch(value.strip()) is not None and not is_list(value)


def form_of(value: Any, source: Source) -> str:
    """How a cell, which is not empty, is written."""
    if is_list(value):
        return "list"
    if source.names is not None or isinstance(value, bool):
        return "name"
    if isinstance(value, str):
        text = value.strip()
        if WHOLE.fullmatch(text):
            return "whole number"
        if not FRACTION.fullmatch(text):
            if is_shown_list(text):
                return "shown list"
            return "number with a comma" if COMMA.fullmatch(text) else "name"
        value = float(text)
    if isinstance(value, float):
        return "float" if value.is_integer() else "fraction"
    return "whole number" if isinstance(value, int) else type(value).__name__


def check_written(task: str, forms: dict[str, str]) -> None:
    """Raise where cells hold what is mostly a list or a number, and would be read as a name.

    Numbers with a comma beside names are names too: they leave the `forms`.

    Args:
        task: Its name.
        forms: By form, where it is first found, and the cell.
    """
    if "shown list" in forms:
        raise ValueError(
            f'Task {task!r}: lists must be written as JSON, such as ["a", "b"], found one as Python shows it in '
            f"{forms['shown list']}. Write them with json.dumps, or save the rows as jsonl or parquet; if they are "
            "names, give the task's problem_type under tasks."
        )
    comma = forms.pop("number with a comma", None)
    if comma is not None and "name" not in forms:
        raise ValueError(
            f"Task {task!r}: numbers must be written with a point, such as 3.5, found a comma in {comma}. Correct the "
            "rows; if they are names, give the task's problem_type under tasks."
        )


def check_one_form(task: str, forms: dict[str, str], allowed: set[str]) -> None:
    """Raise where cells have a form that is not `allowed`.

    Args:
        task: Its name.
        forms: By form, where it is first found, and the cell.
        allowed: The forms that go together.
    """
    other = next((form for form in forms if form not in allowed), None)
    if other is not None:
        first = next((example for form, example in forms.items() if form in allowed), "nothing else")
        raise ValueError(
            f"Task {task!r}: all targets must be of one kind, found {first}, and a {other} in {forms[other]}. "
            f"{GIVE_KIND}"
        )
