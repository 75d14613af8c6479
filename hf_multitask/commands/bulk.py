"""A file of texts to a file with their answers: in parts, on one process or several, as often interrupted as may be."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from tqdm.auto import tqdm

from ..answer_columns import check_no_clash
from ..files.formats import output_format
from ..files.parts import Parts
from ..files.reading import read_chunks
from ..files.survey import Survey, survey
from ..files.text_cells import read_texts
from ..files.writing import join_parts, write_part
from ..modeling.notices import gathered_notices
from ..training.process_group import let_threads_end
from ..training.threads import use_all_cores

PART_BATCHES = 32
"""Batches of a part, among which texts are sorted by length."""

FEWEST_ROWS = 1024
"""Rows of a part at least, so that the parts do not become too many."""

PATIENCE = timedelta(days=7)
"""How long one process waits for the others, which may be slower by some parts."""

Answer: TypeAlias = Callable[[Sequence[tuple[Any, ...]]], Mapping[str, Sequence[Any]]]
"""From texts, or pairs, to the columns of their answers."""


@dataclass(frozen=True)
class Bulk:
    """What is to be done.

    Args:
        source: The file with the texts.
        output: The file to write.
        text_columns: The columns with the texts.
        batch_size: Texts that the model reads at once.
        types: Per column of the answers, its type.
        identity: What else the answers depend on, of JSON's own types.
        open: On a device, what answers.
        with_words: Whether a first text may be a list of words.
    """

    source: Path
    output: Path
    text_columns: Sequence[str]
    batch_size: int
    types: Mapping[str, pa.DataType]
    identity: Mapping[str, Any]
    open: Callable[[Any], Answer]
    with_words: bool = False

    @property
    def part_rows(self) -> int:
        """Rows of a part: which rows are read together, and so every digit of the answers, depends on it."""
        return max(FEWEST_ROWS, PART_BATCHES * self.batch_size)


def answer_file(bulk: Bulk) -> None:
    """Write the file, or what is left of it to do; all input is checked before.

    Under `accelerate launch`, each process answers every n-th part, and the first one joins them.

    Raises:
        ValueError: Something in the input cannot be, or the output is there already.
        OSError: Something cannot be read or written.
    """
    kind = output_format(bulk.output)
    found = survey(bulk.source, bulk.text_columns, with_types=kind == "parquet", with_words=bulk.with_words)
    check_no_clash(found.columns, bulk.types)
    state = _processes()
    use_all_cores(state.device.type)
    parts = Parts(bulk.output)
    identity = _identity(bulk)
    is_done = parts.check(identity)
    state.wait_for_everyone()  # nothing changes before all have looked
    with parts.claimed(identity) if state.is_main_process and not is_done else contextlib.nullcontext():
        state.wait_for_everyone()
        if not is_done:
            _work(bulk, found, parts, state)
        if state.is_main_process:
            _finish(bulk, found, parts, is_done)
    if state.num_processes > 1:
        let_threads_end()
        state.destroy_process_group()


def _processes() -> PartialState:
    """The processes that share the work; with accelerators one for each, else on CPU."""
    wants_cpu = parse_flag_from_env("ACCELERATE_USE_CPU")  # `accelerate launch --cpu`
    return PartialState(cpu=wants_cpu or not torch.accelerator.is_available(), timeout=PATIENCE)


def _work(bulk: Bulk, found: Survey, parts: Parts, state: PartialState) -> None:
    """Answer the parts of this process that are not there yet, and wait for the other processes."""
    count = -(-found.rows // bulk.part_rows)
    mine = range(state.process_index, count, state.num_processes)
    todo = {index for index in mine if not parts.path(index).exists()}
    if todo:
        answer = bulk.open(state.device)
        rows_of = {index: min(bulk.part_rows, found.rows - index * bulk.part_rows) for index in mine}
        bar = tqdm(
            total=sum(rows_of.values()),
            initial=sum(rows for index, rows in rows_of.items() if index not in todo),
            desc=bulk.output.name,
            unit=" rows",
            disable=not state.is_main_process,
        )
        with bar, gathered_notices():
            for index, chunk in enumerate(read_chunks(bulk.source, bulk.part_rows)):
                if index in todo:
                    _answer_part(bulk, found, parts, index, chunk, answer)
                    bar.update(rows_of[index])
    state.wait_for_everyone()


def _answer_part(bulk: Bulk, found: Survey, parts: Parts, index: int, chunk: Any, answer: Answer) -> None:
    answers = answer(read_texts(chunk, bulk.text_columns, bulk.with_words))
    columns, schema = _layout(bulk, found)
    kind = output_format(bulk.output)
    parts.write(parts.path(index), lambda file: write_part(file, kind, chunk, answers, columns, schema))


def _finish(bulk: Bulk, found: Survey, parts: Parts, is_done: bool) -> None:
    """Join the parts, or remove what a command that was killed behind its last step has left; and say so."""
    if is_done:
        parts.clear()
        print(f"{bulk.output} is complete")
        return
    columns, schema = _layout(bulk, found)
    paths = [parts.path(index) for index in range(-(-found.rows // bulk.part_rows))]
    parts.finish(lambda file: join_parts(file, output_format(bulk.output), paths, columns, schema))
    missing = f", of which {found.missing:,} have no text and so no answer" if found.missing else ""
    print(f"{found.rows:,} rows{missing}: {bulk.output}")


def _layout(bulk: Bulk, found: Survey) -> tuple[list[str], pa.Schema | None]:
    """The columns of the output, and their types where they are known."""
    schema = found.schema
    if schema is not None:
        for name, kind in bulk.types.items():
            schema = schema.append(pa.field(name, kind))
    return [*found.columns, *bulk.types], schema


def _identity(bulk: Bulk) -> dict[str, Any]:
    source = bulk.source.stat()
    return {
        **bulk.identity,
        "input": [bulk.source.name, source.st_size, source.st_mtime_ns],
        "columns": list(bulk.text_columns),
        "batch_size": bulk.batch_size,
    }
