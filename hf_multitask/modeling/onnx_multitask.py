"""The exported model: texts in, the answers of every task out, by onnxruntime and without torch."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.utils.hub import cached_file

from .answers import answer_texts, check_top_k
from .batching import characters, in_batches, in_windows
from .decoding import cosines
from .embedding import encode, prompt_of
from .notices import Notices
from .onnx_graph import GRAPH_FILE, SENTENCE_EMBEDDING, WEIGHTS_FILE, Arrays, OnnxGraph, logits_name
from .reading import Reading, read
from .task import Task, choose_tasks
from .texts import Text, as_text, check_no_table, streamed
from .tokenizer_source import load_tokenizer


@dataclass(frozen=True)
class OnnxConfig:
    """What of the model's configuration the graph does not hold.

    Args:
        tasks: The tasks it answers.
        hidden_size: Size of the sentence embedding.
        normalize: Whether `encode` scales embeddings to length 1 unless told otherwise.
        prompts: By name, what `encode` may put before each text.
        default_prompt_name: The prompt that `encode` uses where none is named.
    """

    tasks: tuple[Task, ...]
    hidden_size: int
    normalize: bool
    prompts: dict[str, str]
    default_prompt_name: str | None


class OnnxMultiTask:
    """Answers every task of an exported model for texts and pairs of texts, as [`MultiTaskPipeline`] does, and embeds.

    Args:
        graph: The graph.
        config: What it does not hold.
        tokenizer: The model's tokenizer.
    """

    def __init__(self, graph: OnnxGraph, config: OnnxConfig, tokenizer: Any) -> None:
        self.graph = graph
        self.config = config
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        providers: Sequence[Any] | None = None,
        session_options: Any = None,
        **hub_kwargs: Any,
    ) -> "OnnxMultiTask":
        """The exported model in a folder, or a repository of the Hub.

        Args:
            name_or_path: Hub id or local folder.
            providers: What runs the graph, in order of preference; the CPU by default.
            session_options: An `onnxruntime.SessionOptions`, to set the number of threads, for instance.
            **hub_kwargs: `revision`, `subfolder`, `token`, `cache_dir` or `local_files_only`.

        Raises:
            OSError: There is no exported model.
        """
        values = json.loads(Path(str(cached_file(name_or_path, "config.json", **hub_kwargs))).read_text("utf-8"))
        cached_file(name_or_path, WEIGHTS_FILE, **hub_kwargs, _raise_exceptions_for_missing_entries=False)
        graph = OnnxGraph(str(cached_file(name_or_path, GRAPH_FILE, **hub_kwargs)), providers, session_options)
        config = OnnxConfig(
            tasks=tuple(Task.parse(task) for task in values["tasks"]),
            hidden_size=graph.hidden_size,
            normalize=values["normalize"],
            prompts=values["prompts"],
            default_prompt_name=values["default_prompt_name"],
        )
        return cls(graph, config, load_tokenizer(str(name_or_path), **hub_kwargs))

    def __call__(
        self, inputs: Any, tasks: Iterable[str] | None = None, top_k: int | None = 1, batch_size: int = 32
    ) -> Any:
        """The answers to a text, to each of a list of texts, or to a stream of texts as a stream.

        Args:
            inputs: A text, a pair, a list of these, or anything else that can be iterated over. A text may be given as
                the list of its words, as [`MultiTaskPipeline`] takes them.
            tasks: Names of the tasks to answer; all by default.
            top_k: How many labels to tell: 1 tells what was decided, `None` tells all labels.
            batch_size: Texts of a batch. Texts of similar length are read together.

        Raises:
            ValueError: An input is neither a text nor a pair; a task is unknown, or needs pairs and got single texts.
        """
        check_top_k(top_k)
        check_no_table(inputs)
        chosen = self.config.tasks if tasks is None else choose_tasks(self.config.tasks, tasks)
        if isinstance(inputs, list):
            return list(self._answers(inputs, chosen, top_k, batch_size))
        stream = streamed(inputs)
        if stream is not None:
            return self._answers(stream, chosen, top_k, batch_size)
        [answer] = self._answers([inputs], chosen, top_k, 1)
        return answer

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 32,
        normalize: bool | None = None,
        show_progress_bar: bool = False,
        truncate_dim: int | None = None,
        prompt_name: str | None = None,
    ) -> NDArray[np.float32]:
        """The sentence embeddings of texts, (N, D) float32, or (D,) of a single string: as [`MultiTaskModel.encode`].

        Args:
            texts: The texts.
            batch_size: Texts of a batch; texts of similar length are read together.
            normalize: Whether to scale embeddings to length 1; by default as the configuration says.
            show_progress_bar: Whether to show one.
            truncate_dim: Keep so many of the D numbers; for encoders trained for it (Kusupati et al. 2022).
            prompt_name: The prompt, of the configuration's, to put before each text; by default its default one.

        Raises:
            ValueError: There is no such prompt, or a text is no string.
        """
        vectors = encode(
            self._embed,
            self.tokenizer,
            self.config,
            [texts] if isinstance(texts, str) else texts,
            tensors="np",
            batch_size=batch_size,
            normalize=normalize,
            show_progress_bar=show_progress_bar,
            truncate_dim=truncate_dim,
            prompt=prompt_of(self.config, prompt_name),
        )
        return vectors[0] if isinstance(texts, str) else vectors

    def _answers(
        self, inputs: Iterable[Any], tasks: Sequence[Task], top_k: int | None, batch_size: int
    ) -> Iterator[dict[str, Any]]:
        notices = Notices()
        takes_words = any(task.reads_tokens for task in self.config.tasks)

        def answer(batch: list[Text]) -> list[dict[str, Any]]:
            reading = read(self.tokenizer, batch, tasks, "np")
            notices.add(reading)
            return answer_texts(tasks, self._logits(reading, tasks), reading.texts, reading.words, top_k)

        try:
            texts = (as_text(value, takes_words) for value in inputs)
            for window in in_windows(texts, batch_size, is_stream=not isinstance(inputs, list)):
                yield from in_batches(window, answer, batch_size, characters)
        finally:
            notices.tell(self.tokenizer.model_max_length)

    def _logits(self, reading: Reading, tasks: Sequence[Task]) -> Arrays:
        """Per task, its logits, (B, C) or (B, L, C)."""
        logits: Arrays = {}
        names = {task.name: logits_name(task) for task in tasks if task.has_head}
        if reading.joint is not None:
            found = self.graph.run(reading.joint, list(names.values()))
            logits = {task: found[name] for task, name in names.items()}
        if reading.apart:
            first, second = (self._embed(tensors) for tensors in reading.apart)
            logits |= {task.name: cosines(first, second) for task in tasks if not task.has_head}
        return logits

    def _embed(self, tensors: Mapping[str, Any]) -> NDArray[np.float32]:
        """The embeddings of a tokenised batch, (B, D)."""
        return self.graph.run(tensors, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
