"""The model: backbone -> pooling -> heads -> losses.

Letters of the shapes: B texts, L tokens (padding included), D hidden size, C outputs of a task, S second texts.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from .backbone import auto_class, freeze_unused_modules, num_positions, readable_tokens
from .configuration_multitask import MultiTaskConfig
from .decoding import decide, probabilities
from .encoder import Encoded, encode_texts
from .heads import build_head
from .labels import check_labels
from .logits import task_logits
from .losses import names_learned, task_losses, total_loss
from .outputs import MultiTaskOutput
from .sentence_transformers_layout import read_layout
from .task import Task, parse_tasks
from .text_model import TextModel
from .tokenizer_source import HUB_KEYS, TokenizerSource


class MultiTaskModel(TextModel):
    """One encoder, one sentence embedding, one head per task.

    A training loop that must see or change the gradient of each task apart sets `fan_out`: from what the encoder made
    of a labelled batch to the view of it, per task, that the task's head reads.

    Args:
        config: The model's configuration.
        backbone: A ready encoder built from `config.text_config`, the very object; one with random weights by default.
    """

    config_class = MultiTaskConfig
    config: MultiTaskConfig
    base_model_prefix = "backbone"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True  # `forward` divides by `num_items_in_batch`, so the Trainer must not divide again
    # Permissions only: each backbone checks for itself whether it has the implementation.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: MultiTaskConfig, backbone: PreTrainedModel | None = None) -> None:
        config.check()
        super().__init__(config)
        if backbone is None:
            backbone = auto_class(config.text_config).from_config(config.text_config, trust_remote_code=False)
        self.backbone = backbone
        self.heads = nn.ModuleDict(
            {task.name: build_head(task, config.hidden_size) for task in config.tasks if task.has_head}
        )
        self.fan_out: Callable[[Encoded], Mapping[str, Tensor]] | None = None
        self.post_init()
        freeze_unused_modules(self.backbone)

    @classmethod
    def from_backbone(
        cls, name_or_path: str, *, tasks: Iterable[Any], pooling: str | None = None, **kwargs: Any
    ) -> "MultiTaskModel":
        """A model on a pretrained encoder: the backbone's weights are exactly the loaded ones, only the heads are new.

        Of a sentence-transformers checkpoint it keeps pooling, normalisation, prompts and the length that is read.

        Args:
            name_or_path: Hub id or local folder of any encoder that `AutoModel` loads.
            tasks: The tasks, as mappings with at least 'name' and 'labels', or as `Task`s.
            pooling: "mean", "cls", "max" or "last"; by default that of a sentence-transformers checkpoint, else "mean".
            **kwargs: Passed to the backbone's `from_pretrained` (`revision`, `token`, `attn_implementation`, ...).
                `dtype` is float32 unless given: AdamW on half-precision weights loses small updates.

        Raises:
            ValueError: The tasks, the pooling or the encoder cannot be; see [`MultiTaskConfig`] and [`read_layout`].
        """
        if str(name_or_path).startswith("packaged:"):  # only the package knows the place; this code travels without it
            raise ValueError(
                f"A backbone must be a Hub id or a local folder, found {name_or_path!r}. Pass "
                f"hf_multitask.resolve_backbone({name_or_path!r})."
            )
        hub_kwargs = {key: kwargs[key] for key in HUB_KEYS if key in kwargs}
        layout = read_layout(name_or_path, pooling, **hub_kwargs)
        if layout.subfolder:
            folders = [folder for folder in (kwargs.get("subfolder"), layout.subfolder) if folder]
            hub_kwargs["subfolder"] = kwargs["subfolder"] = "/".join(folders)
        text_config = PretrainedConfig.get_config_dict(name_or_path, **hub_kwargs)[0]
        ours: Any = {"tasks": tasks, **layout.for_config()}
        probe = MultiTaskConfig(text_config=text_config, **ours)  # before a long download
        if "torch_dtype" not in kwargs:  # the older name of the same argument
            kwargs.setdefault("dtype", torch.float32)
        backbone = auto_class(probe.text_config).from_pretrained(name_or_path, **kwargs)
        if os.path.isdir(name_or_path):  # known as local also from another working directory
            backbone.config._name_or_path = os.path.abspath(name_or_path)
        config = MultiTaskConfig(text_config=backbone.config, dtype=backbone.dtype, **ours | {"tasks": probe.tasks})
        model = cls(config, backbone=backbone)
        model.heads.to(device=backbone.device, dtype=backbone.dtype)
        model.eval()
        known = [limit for limit in (layout.max_length, num_positions(backbone)) if limit]
        max_length = min(known) if known else readable_tokens(backbone.config)
        model.tokenizer_source = TokenizerSource(name_or_path, hub_kwargs, max_length=max_length)
        return model

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pair_input_ids: Tensor | None = None,
        pair_attention_mask: Tensor | None = None,
        pair_rows: Tensor | None = None,
        sentence_embedding: Tensor | None = None,
        text_lengths: NDArray[np.int64] | None = None,
        labels: Mapping[str, Tensor] | None = None,
        num_items_in_batch: Mapping[str, Tensor] | None = None,
        teacher_logits: Mapping[str, Tensor] | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> MultiTaskOutput | tuple[Any, ...]:
        """The logits of every task, and with `labels` the losses.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 for real tokens and 0 for padding; all real by default.
            token_type_ids: (B, L) int64, for backbones that tell the two texts of a pair apart by it.
            position_ids: (B, L) int64, for backbones that take it.
            inputs_embeds: (B, L, D), in place of `input_ids`.
            pair_input_ids: (S, L) int64, the second texts of similarity tasks; any length.
            pair_attention_mask: (S, L), as `attention_mask`.
            pair_rows: (S,) int64, the first text that each second text belongs to; each to its own by default.
            sentence_embedding: (B, D), embeddings computed earlier, in place of all of the above. Tasks that read
                tokens or pairs then have no logits.
            text_lengths: (B + S,), tokens of the first and then of the second texts, where it is known that padding
                stands on the right: saves asking the device for them.
            labels: Per task, (B,) int64, or (B, L) of a token classification, -100 where there is no target; float
                (B, C) or, with one output, (B,) for the kinds whose answers are numbers or any number of labels, NaN
                where there is none. Tasks may be left out.
            num_items_in_batch: Per task, the targets of the whole effective batch; see [`task_losses`]. With it, `loss`
                is what to learn from: heads and losses are computed together, and one of `losses` alone would give the
                heads of all tasks a gradient, of zeros.
            teacher_logits: Beside `labels`, per task another model's (B, C) or (B, L, C), NaN where there are none.
            output_hidden_states: Whether to return the backbone's hidden states, of first and then of second texts; by
                default as the configuration says, as `output_attentions`.
            output_attentions: Whether to return the backbone's attentions.
            return_dict: `False` returns a tuple.

        Raises:
            ValueError: `labels` is no mapping, or names a task the model does not have.
        """
        if sentence_embedding is None:
            inputs = {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                "position_ids": position_ids,
                "inputs_embeds": inputs_embeds,
            }
            pairs = {"input_ids": pair_input_ids, "attention_mask": pair_attention_mask}
            wanted = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
            for name in [name for name, value in wanted.items() if value is None]:
                wanted[name] = getattr(self.config, name) or None  # that of `from_pretrained(..., output_...=True)`
            encoded = encode_texts(self.backbone, self.config, inputs, pairs, text_lengths, **wanted)
            # Mamba returns float32 from bfloat16 weights.
            dtype = next(self.heads.parameters(), encoded.embedding).dtype
            encoded = encoded._replace(embedding=encoded.embedding.to(dtype))
        else:
            encoded, pair_input_ids = Encoded(sentence_embedding), None
        num_texts = encoded.embedding.shape[0]  # `len` would fix the number in a traced graph
        if pair_input_ids is not None:
            num_texts -= pair_input_ids.shape[0]
            if pair_rows is None:
                pair_rows = torch.arange(pair_input_ids.shape[0], device=pair_input_ids.device)
        if labels is not None:
            check_labels(self.config.tasks, labels)
        views = self.fan_out(encoded) if self.fan_out is not None and labels is not None else {}
        tasks = self.config.tasks
        learned = set() if views else names_learned(tasks, labels, teacher_logits, num_items_in_batch)
        logits = task_logits(tasks, self.heads, encoded, num_texts, pair_rows, views, learned)

        loss, losses = None, None
        if labels is not None:
            losses = task_losses(tasks, logits, labels, num_items_in_batch, teacher_logits, learned)
            loss = total_loss(tasks, losses)
            if loss is None:
                loss = torch.zeros((), device=encoded.embedding.device)
        output = MultiTaskOutput(
            loss=loss,
            logits=logits,
            losses=losses,
            sentence_embedding=encoded.embedding[:num_texts],
            last_hidden_state=encoded.hidden if labels is None else None,  # mixed precision would copy it in training
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return output.to_tuple() if return_dict is False else output

    def probabilities(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Per task with labels, the calibrated probability of each, without a graph; see [`decoding.probabilities`]."""
        tasks = [task for task in self.config.tasks if task.has_classes]
        return {task.name: _decoded(probabilities, task, logits[task.name]) for task in tasks if task.name in logits}

    def decide(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Per task, its answers: indices of labels, which labels apply, or numbers; see [`decoding.decide`]."""
        tasks = [task for task in self.config.tasks if task.name in logits]
        return {task.name: _decoded(decide, task, logits[task.name]) for task in tasks}

    def add_task(self, task: Any) -> None:
        """Give the model one more task, with a new head if it has one; every other task's logits stay bit-equal.

        Args:
            task: A mapping with at least 'name' and 'labels', or a `Task`.
        """
        self.config.tasks = parse_tasks([*self.config.tasks, task])
        self.card = ""  # that of where it came from tells other tasks
        new_task = self.config.tasks[-1]
        if not new_task.has_head:
            return
        head = build_head(new_task, self.config.hidden_size).apply(self._init_weights)
        reference = next(self.parameters())
        self.heads[new_task.name] = head.to(device=reference.device, dtype=reference.dtype).train(self.training)

    def remove_task(self, name: str) -> None:
        """Take the task called `name` and its head away; every other task's logits stay bit-equal.

        Raises:
            ValueError: There is no such task, or no other.
        """
        removed = self.config.task(name)
        remaining = [task for task in self.config.tasks if task is not removed]
        self.config.tasks = parse_tasks(remaining)
        self.card = ""
        if name in self.heads:
            del self.heads[name]


def _decoded(decoder: Callable[[Task, Any], NDArray[Any]], task: Task, logits: Tensor) -> Tensor:
    """What `decoder` makes of the logits in numpy, as a tensor beside them."""
    found = decoder(task, logits.detach().float().cpu().numpy())
    return torch.from_numpy(np.asarray(found)).to(logits.device)
