"""The pipeline: texts in, the answers of every task out."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from transformers import Pipeline

from .answers import answer_texts, check_top_k
from .backbone import limit_to_positions
from .batching import characters, in_batches, in_windows
from .inference import serving
from .notices import Notices
from .performance import check_performance
from .reading import Reading, read
from .task import Task, choose_tasks
from .texts import Text, as_text, check_no_table, streamed


class MultiTaskPipeline(Pipeline):
    """Answers every task of a [`MultiTaskModel`] for texts and pairs of texts.

    `pipeline(model=folder_or_id, trust_remote_code=True)` makes one, so does
    `MultiTaskPipeline(model)`. Called with a text it returns a mapping from tasks to answers
    (see [`answer_texts`]), with a list of texts a list of these. Anything else that can be iterated over, such as a
    generator or a column of a data set, is answered as a stream, in its order, while it is read: one batch at first,
    then two, four and so on up to 64 at a time, which are sorted by length. With `batch_size=1` each text is answered
    before the next is read, at some cost: with `performance="auto"` weights are cast for each.

    A similarity reads the two texts of a pair apart, all other tasks read them jointly; for a single text it has no
    answer. Of each text, `tokenizer.model_max_length` tokens are read; a warning tells how many texts are longer, or
    empty.

    Labels of words are those of the first text of a pair. Its words are those that [`find_words`] finds; or they are
    given, as a list in a mapping, `{"text": ["A", "word"]}`, or in a tuple, `(["A", "word"],)`, to a model that has
    such a task. All tasks then read them joined by one space each, and `start` and `end` count in that.

    Args:
        model: The model.
        tokenizer: Its tokenizer; by default the one that the model knows.
        tasks: Names of the tasks to answer, here or in a call; all by default.
        top_k: How many labels to tell, here or in a call: 1 tells what was decided, `None` tells all labels.
        batch_size: Texts of a batch, here or in a call. Texts of similar length are read together.
        performance: `exact` computes as fast as float32 allows, `auto` in bfloat16 where the processor has it, `off`
            as torch does by default.
        **kwargs: Passed to [`Pipeline`].
    """

    _load_tokenizer: Any = True
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = False
    tokenizer: Any

    def __init__(
        self, model: Any, tokenizer: Any = None, batch_size: int = 32, performance: str = "exact", **kwargs: Any
    ) -> None:
        check_performance(performance)
        self.performance = performance
        tokenizer = model.tokenizer if tokenizer is None else tokenizer
        limit_to_positions(tokenizer, model.backbone)
        super().__init__(model=model, tokenizer=tokenizer, batch_size=batch_size, **kwargs)

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """The answers to a text, to each of a list of texts, or to a stream of texts as a stream.

        Raises:
            ValueError: An input is neither a text nor a pair; a task is unknown, or needs pairs and got single texts.
        """
        if isinstance(inputs, list) and not inputs:
            return []
        if isinstance(inputs, tuple) and not inputs:
            raise ValueError("A text must be a string, found (). Write 'A text.' or ('A text.', 'Another.').")
        check_no_table(inputs)
        stream = streamed(inputs)
        if stream is not None:
            inputs = (text for text in stream)  # Pipeline streams generators, and would take a column for one input
        return super().__call__(inputs, **kwargs)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        unknown = sorted(set(kwargs) - {"tasks", "top_k"})
        if unknown:
            raise ValueError(f"The pipeline's options are tasks, top_k and batch_size, found {unknown}. Remove them.")
        check_top_k(kwargs.get("top_k"))
        tasks = {}
        if kwargs.get("tasks") is not None:
            tasks = {"tasks": choose_tasks(self.model.config.tasks, kwargs["tasks"])}
        return tasks, tasks, tasks | {key: kwargs[key] for key in ("top_k",) if key in kwargs}

    def preprocess(self, texts: Sequence[Text], tasks: Sequence[Task] | None = None) -> dict[str, Any]:  # type: ignore[override]
        """What the model reads of a batch."""
        return {"reading": read(self.tokenizer, texts, tasks or self.model.config.tasks, "pt")}

    def _forward(self, inputs: dict[str, Any], tasks: Sequence[Task] | None = None) -> dict[str, Any]:  # type: ignore[override]
        """The logits of each task, (B, C) or (B, L, C)."""
        reading: Reading = inputs["reading"]
        tasks = tasks or self.model.config.tasks
        logits: dict[str, Tensor] = {}
        if reading.joint is not None:
            found = self.model(**self.ensure_tensor_on_device(**reading.joint)).logits
            logits = {task.name: found[task.name] for task in tasks if task.has_head}
        if reading.apart:
            first, second = (self.ensure_tensor_on_device(**tensors) for tensors in reading.apart)
            pairs = {f"pair_{name}": second[name] for name in ("input_ids", "attention_mask")}
            found = self.model(**first, **pairs).logits
            logits |= {task.name: found[task.name] for task in tasks if not task.has_head}
        return {"logits": logits, "reading": reading}

    def postprocess(  # type: ignore[override]
        self, outputs: dict[str, Any], tasks: Sequence[Task] | None = None, top_k: int | None = 1
    ) -> list[dict[str, Any]]:
        """The answers to the batch."""
        reading: Reading = outputs["reading"]
        logits = {name: tensor.float().numpy() for name, tensor in outputs["logits"].items()}
        return answer_texts(tasks or self.model.config.tasks, logits, reading.texts, reading.words, top_k)

    def run_single(self, inputs: Any, *params: Any) -> Any:
        """The answer to one text."""
        [answer] = self.get_iterator([inputs], 0, 1, *params)
        return answer

    def get_iterator(
        self, inputs: Any, num_workers: int, batch_size: int, preprocess_params: Any, forward_params: Any, params: Any
    ) -> Iterator[dict[str, Any]]:
        """The answers in the order of the texts, while they are read, a window at a time; see [`in_windows`]."""
        notices = Notices()
        takes_words = any(task.reads_tokens for task in self.model.config.tasks)

        def answer(batch: list[Text]) -> list[dict[str, Any]]:
            inputs = self.preprocess(batch, **preprocess_params)
            notices.add(inputs["reading"])
            return self.postprocess(self.forward(inputs, **forward_params), **params)

        try:
            texts = (as_text(value, takes_words) for value in inputs)
            for window in in_windows(texts, batch_size, is_stream=not isinstance(inputs, list)):
                with serving(self.model, self.performance):  # weights are cast to bfloat16 once for all its batches
                    answers = in_batches(window, answer, batch_size, characters)
                yield from answers
        finally:
            notices.tell(self.tokenizer.model_max_length)
