"""What a multi-task model is: its backbone, its pooling and its tasks."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from .pooling import POOLINGS
from .saved_folder import check_no_other_code
from .task import Task, parse_tasks, pipeline_tag


class MultiTaskConfig(PretrainedConfig):
    """Configuration of a [`MultiTaskModel`].

    Args:
        text_config: The backbone's configuration, as an object or as a dict with its ``model_type``. The field's name
            is the one by which `PretrainedConfig.get_text_config` finds it.
        tasks: The tasks, as mappings or `Task`s; their order is the order of heads, losses and logits.
        pooling: How token embeddings become the sentence embedding: "mean", "cls", "max" or "last".
        normalize: Whether [`MultiTaskModel.encode`] scales embeddings to length 1 unless told otherwise. The heads read
            them as they are.
        prompts: By name, what `encode` may put before each text.
        default_prompt_name: The prompt that `encode` uses where none is named.
        **kwargs: Passed to [`PretrainedConfig`].

    Raises:
        ValueError: No tasks, two tasks of one name, no task with a positive weight, an unknown pooling, an unknown
            backbone, or a task that cannot be (see [`Task`]).
    """

    model_type = "hf_multitask"
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012 - the form transformers reads, in every 5.x version
    has_no_defaults_at_init = True
    keys_to_ignore_at_inference = [  # noqa: RUF012
        *("losses", "sentence_embedding", "last_hidden_state", "hidden_states", "attentions"),
    ]

    def __init__(
        self,
        text_config: PretrainedConfig | Mapping[str, Any] | None = None,
        tasks: Iterable[Any] = (),
        pooling: str = "mean",
        normalize: bool = False,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.text_config = _text_config(text_config)
        self.pooling = pooling
        self.normalize = normalize
        self.prompts = dict(prompts or {})
        self.default_prompt_name = default_prompt_name
        self.tasks: list[Task] = list(tasks or ())
        self.check()
        # PretrainedConfig sets the attention implementation of this config *and of its sub-configs*, to None where it
        # is not given. A live backbone that shares `text_config` would then drop its padding mask without a word.
        kwargs.setdefault("attn_implementation", self.text_config._attn_implementation)
        super().__init__(**kwargs)

    def check(self) -> None:
        """Check pooling, prompts and tasks, and make `Task`s of the tasks' descriptions.

        The model calls it again, because `from_pretrained(..., pooling=...)` changes a finished configuration.

        Raises:
            ValueError: See the class.
        """
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {list(POOLINGS)}, found {self.pooling!r}. Choose one of these.")
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            raise ValueError(
                f"default_prompt_name must be one of the prompts {list(self.prompts)}, found "
                f"{self.default_prompt_name!r}. Choose one of these, or leave it out."
            )
        self.tasks = parse_tasks(self.tasks)

    @property
    def hidden_size(self) -> int:
        """Size of the sentence embedding: the backbone's hidden size."""
        size: int = self.text_config.hidden_size
        return size

    @property
    def custom_pipelines(self) -> dict[str, dict[str, Any]]:
        """What `pipeline` looks for: the pipeline of this model, by the word that the Hub shows for it.

        It is the only one, so that the word can be left out. A new mapping at each look: `pipeline` writes into it.
        """
        ours = {"impl": "pipeline_multitask.MultiTaskPipeline", "pt": ["AutoModel"], "type": "text"}
        return {pipeline_tag(Task.parse(task) for task in self.tasks): ours}

    @custom_pipelines.setter
    def custom_pipelines(self, value: Any) -> None:
        """Nothing: they follow from the tasks, whatever a file says."""

    def task(self, name: str) -> Task:
        """The task called `name`.

        Raises:
            ValueError: There is no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise ValueError(
            f"The task must be one of {[task.name for task in self.tasks]}, found {name!r}. Check its name."
        )

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """As [`PretrainedConfig.save_pretrained`].

        Raises:
            ValueError: Code of somebody else would be replaced; see [`check_no_other_code`].
        """
        check_no_other_code(Path(save_directory), self.model_type)
        super().save_pretrained(save_directory, push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON-serialisable values, tasks as plain dicts, without paths of this machine."""
        output: dict[str, Any] = super().to_dict()
        for values in (output, output["text_config"]):
            source = values.get("_name_or_path") or ""
            if os.path.isabs(source) or os.path.isdir(source):
                del values["_name_or_path"]
        output["custom_pipelines"] = self.custom_pipelines
        output["tasks"] = [Task.parse(task).describe() for task in self.tasks]  # mappings, if set when it was opened
        return output


def _text_config(config: PretrainedConfig | Mapping[str, Any] | None) -> PretrainedConfig:
    """The backbone's configuration as an object; an object is kept as it is, because a live backbone may share it."""
    if isinstance(config, PretrainedConfig):
        return config
    model_type = config.get("model_type") if isinstance(config, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise ValueError(
            "text_config must be the configuration of a backbone that transformers knows, "
            f"found {'none' if config is None else f'model_type {model_type!r}'}. "
            "Pass AutoConfig.from_pretrained(...), or build the model by MultiTaskModel.from_backbone(...)."
        )
    if model_type == MultiTaskConfig.model_type:
        raise ValueError(
            "The backbone must be a bare encoder, found a multi-task model. Load that by "
            "MultiTaskModel.from_pretrained(...), and change its tasks by add_task(...) and remove_task(...)."
        )
    # A saved backbone configuration must never bring code, or the consent to run it, of its own.
    values = {key: value for key, value in config.items() if key not in ("auto_map", "trust_remote_code")}
    text_config: PretrainedConfig = CONFIG_MAPPING[model_type].from_dict(values)
    return text_config
