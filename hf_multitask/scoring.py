"""A checkpoint as a function from columns to columns, for whatever runs such functions on many machines."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .answer_columns import EMBEDDING, EMBEDDING_TYPE, answer_present, check_no_clash, column_types, flatten
from .modeling.modeling_multitask import MultiTaskModel
from .modeling.performance import check_performance
from .modeling.pipeline_multitask import MultiTaskPipeline
from .modeling.task import Task, choose_tasks
from .modeling.texts import as_text
from .opening import fingerprint, open_pipeline, read_config


class MultiTaskScorer:
    """Adds the answers of every task to batches of rows: `scorer({"text": [...]})` has the same columns and more.

    The columns are those of [`column_types`], such as `topic_label` and `topic_score`. Where a text is missing or
    empty, they hold `None` (NaN in numeric arrays). The model is loaded in the process that first calls the scorer;
    until then, and when it is sent elsewhere, the scorer is a few words.

    With `datasets`:

        dataset.map(MultiTaskScorer("folder"), batched=True, batch_size=1024)

    where `datasets` takes the types of the new columns from the first of them; if these may have no text, pass it
    `features=Features(dataset.features | Features.from_arrow_schema(pa.schema(scorer.column_types())))`.

    With Ray Data, one model in each of `concurrency` actors:

        dataset.map_batches(MultiTaskScorer, fn_constructor_args=("folder",), concurrency=2, batch_size=1024)

    With Spark, `scorer = MultiTaskScorer("folder")` and a schema that has the new columns:

        def answer_pandas(frames):
            for frame in frames:
                yield pd.DataFrame(scorer(frame.to_dict("list")))

        def answer_arrow(batches):
            for batch in batches:
                yield pa.RecordBatch.from_pydict(scorer(batch.to_pydict()), schema=arrow_schema)

        frame.mapInPandas(answer_pandas, "text string, topic_label string, topic_score double")
        frame.mapInArrow(answer_arrow, "text string, topic_label string, topic_score double")

    Args:
        model_name_or_path: A checkpoint, in a folder that each machine sees or on the Hub.
        text: The column with the texts, or for a model that labels words with lists of them (see
            [`MultiTaskPipeline`]).
        text_pair: The column with the second text of each pair.
        tasks: Names of the tasks to answer; by default all that can be asked of these texts, `()` for none.
        top_k: How many labels to tell: 1 tells what was decided, `None` tells all labels.
        batch_size: Texts that the model reads at once.
        embeddings: Whether to add the sentence embeddings of `text`, as `model.encode` gives them, as `embedding`.
        device: Where the model computes; by default on the accelerator where there is one.
        performance: `exact`, `auto` or `off`; see [`MultiTaskPipeline`].
    """

    def __init__(
        self,
        model_name_or_path: str,
        text: str = "text",
        text_pair: str | None = None,
        tasks: Sequence[str] | None = None,
        top_k: int | None = 1,
        batch_size: int = 32,
        embeddings: bool = False,
        device: Any = None,
        performance: str = "exact",
    ) -> None:
        check_performance(performance)
        self.model_name_or_path = str(model_name_or_path)
        self.text = text
        self.text_pair = text_pair
        self.tasks = tasks
        self.top_k = top_k
        self.batch_size = batch_size
        self.embeddings = embeddings
        self.device = device
        self.performance = performance
        self._pipe: MultiTaskPipeline | None = None
        self._checkpoint: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The arguments, and what tells the checkpoint from a later one: `datasets` caches answers by it."""
        checkpoint = self._checkpoint if self._pipe else self._found()
        return self.__dict__ | {"_pipe": None, "_checkpoint": checkpoint}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of `batch`, lists or numpy arrays, and those of the answers, which are of the same kind.

        Raises:
            ValueError: A column is missing, or there already; the columns are those of a single row; a cell is no text;
                there is no such task or checkpoint.
        """
        names = [self.text] if self.text_pair is None else [self.text, self.text_pair]
        missing = [name for name in names if name not in batch]
        if missing:
            raise ValueError(
                f"The columns with texts must exist, found no {missing} in {list(batch)}. Pass text='...', the name of "
                "yours."
            )
        single = [name for name, column in batch.items() if isinstance(column, str) or not hasattr(column, "__len__")]
        if single:
            raise ValueError(
                f"The scorer must be given columns, found one value each in {single}, as of a single row. Pass "
                "batched=True to `map`, or lists of one value."
            )
        answers = self.answer(list(zip(*(batch[name] for name in names), strict=True)))
        check_no_clash(batch, answers)
        if any(isinstance(column, np.ndarray) for column in batch.values()):
            types = self.column_types()
            size = self._config().hidden_size
            return {**batch, **{name: as_array(column, types[name], size) for name, column in answers.items()}}
        return {**batch, **answers}

    def answer(self, texts: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
        """The columns of the answers to texts, or to pairs."""
        if self._pipe is None:
            self._checkpoint = self._found()
            self._pipe = open_pipeline(self.model_name_or_path, self.device, self.performance)
        pipe, model = self._pipe, cast(MultiTaskModel, self._pipe.model)
        tasks = self._answered(model.config.tasks)
        columns: dict[str, list[Any]] = {}
        if tasks:
            pipe.call_count = 0  # to a Pipeline, ten calls are ten single texts
            options = {"tasks": [task.name for task in tasks], "top_k": self.top_k, "batch_size": self.batch_size}
            columns = flatten(tasks, answer_present(texts, lambda present: pipe(present, **options)))
        if self.embeddings:
            first = [text[:1] for text in texts]
            how: Any = {"batch_size": self.batch_size, "performance": self.performance}
            columns[EMBEDDING] = answer_present(
                first, lambda present: model.encode([as_text(text)[0] for text in present], **how)
            )
        return columns

    def column_types(self) -> dict[str, pa.DataType]:
        """Per column that is added, its Arrow type; no weights are loaded for it.

        Raises:
            ValueError: There is no such task, or one needs pairs of texts; or there is no such checkpoint.
        """
        types = column_types(self._answered(self._config().tasks), self.top_k)
        return types | ({EMBEDDING: EMBEDDING_TYPE} if self.embeddings else {})

    def _config(self) -> Any:
        return read_config(self.model_name_or_path) if self._pipe is None else self._pipe.model.config

    def _found(self) -> dict[str, Any] | None:
        """The [`fingerprint`] of the checkpoint; `None` where this machine does not see it."""
        try:
            return fingerprint(self.model_name_or_path, read_config(self.model_name_or_path))
        except (OSError, ValueError):
            return None

    def _answered(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks to answer; raise unless they can be asked of what is there, single texts or pairs."""
        if self.tasks is not None and not list(self.tasks):
            return []
        chosen = list(tasks) if self.tasks is None else choose_tasks(tasks, self.tasks)
        if self.text_pair is None:
            compare = [task.name for task in chosen if not task.has_head]
            if self.tasks is None and len(compare) < len(chosen):
                return [task for task in chosen if task.has_head]
            if compare:
                raise ValueError(
                    f"The tasks {compare} compare two texts, found one column of texts, {self.text!r}. Name the column "
                    "of the second texts too, by text_pair."
                )
        return chosen


def as_array(column: Sequence[Any], kind: pa.DataType, size: int) -> NDArray[Any]:
    """A column of answers as a numpy array: numbers, NaN where there is none, or objects.

    Args:
        column: The answers.
        kind: Their type, of [`column_types`].
        size: Of an embedding, which makes a matrix of them even where no text has one.
    """
    if pa.types.is_floating(kind):
        return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
    if kind == EMBEDDING_TYPE:
        unknown = np.full(size, np.nan, np.float32)
        return np.stack([unknown if value is None else value for value in column])
    array = np.empty(len(column), dtype=object)
    for place, value in enumerate(column):  # lists of one length would become rows of a matrix
        array[place] = value
    return array
