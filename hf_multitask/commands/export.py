"""Export a trained model to a form that other runtimes execute."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..modeling.modeling_multitask import MultiTaskModel
from ..modeling.task import choose_tasks
from ..opening import read_config
from ..tables import format_table
from .parsing import command_parser
from .validation import validation_batches

if TYPE_CHECKING:
    from ..exporting.record import ExportRecord

DESCRIPTION = """\
Writes one ONNX graph of a checkpoint, with an output for the sentence embedding and one for each task's logits, and
beside it all that serves it: `OnnxMultiTask.from_pretrained(OUT)` answers as the pipeline does, without torch.

The graph is run on texts of many shapes, and on the validation rows of --data, and held against the model. Where it
differs by more than rounding, nothing is written. A graph in int8 is a quarter of the size and faster; what it does to
the score of each task is told where --data is given, and is in OUT/onnx_export.json. Flags override the configuration
of --data, as those of train do; those that decided the splits of the run (--seed) must be given again.
"""


def main(words: Sequence[str]) -> None:
    """Do what the words of the command line say.

    Raises:
        ValueError: Something in the input cannot be, OUT holds files, or the graph does not agree with the model.
        OSError: Something cannot be read or written.
        ImportError: A package is missing.
    """
    usage = "%(prog)s DIR OUT [--quantize int8] [--tasks TASK ...] [--data CONFIG [--key value ...]]"
    parser = command_parser("export", DESCRIPTION, usage=usage, allow_abbrev=False)
    parser.add_argument("output", metavar="OUT", help="folder to write; must be empty or absent")
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="what to export to (default: onnx)")
    parser.add_argument("--quantize", choices=["int8"], help="what to make of the weights (default: float32)")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="the tasks to answer (default: all)")
    parser.add_argument("--data", metavar="CONFIG", help="configuration of a run with validation rows")
    told, flags = parser.parse_known_args(words)
    if flags and told.data is None:
        parser.error(f"flags of a configuration need --data, found {' '.join(flags)}")
    try:
        from ..exporting.onnx_export import export_onnx
        from ..exporting.staging import check_free
    except ImportError as error:
        raise ImportError(
            f"An export to ONNX needs the packages of the extra onnx, found that one is missing: {error}. Install "
            'them: pip install "hf_multitask[onnx]".'
        ) from error
    output = Path(told.output)
    check_free(output)
    config = read_config(told.checkpoint)
    if told.tasks is not None:
        choose_tasks(config.tasks, told.tasks)
    model = MultiTaskModel.from_pretrained(told.checkpoint, dtype=torch.float32)
    batches = [] if told.data is None else validation_batches(told.checkpoint, [told.data, *flags], model)
    record = export_onnx(model, output, tasks=told.tasks, quantize=told.quantize, validation=batches)
    print(f"{describe(record)}\n\nThe graph and what serves it are in {output}")


def describe(record: "ExportRecord") -> str:
    """An export as tables: how each output agrees, and the score of each task before and after."""
    graph = record.int8 or record.float32
    compared = graph.validation or graph.random_texts
    shares = {name: deviation.same_decisions for name, deviation in compared.items()}
    rows = [
        (name, f"{deviation.max_difference:.1e}", "" if shares[name] is None else f"{shares[name]:.2%}")
        for name, deviation in compared.items()
    ]
    texts = f"the {record.validation_rows} validation rows" if graph.validation else "random texts"
    parts = [
        f"{'int8' if record.int8 else 'float32'}, {graph.size / 1e6:.1f} MB; against the model on {texts}:",
        format_table(["Output", "Largest difference", "Same decisions"], rows),
    ]
    if record.scores:
        scores = [(name, metric, record.scores[name], graph.scores[name]) for name, metric in record.metrics.items()]
        parts.append(format_table(["Task", "Metric", "Model", "Graph"], scores))
    return "\n\n".join(parts)
