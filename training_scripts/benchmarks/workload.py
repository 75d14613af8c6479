"""What every benchmark measures with: sentences, a tokenizer, an encoder, and what one token costs."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from .sampling import Method, measure
from .variant import Samples, Variant

MAX_LENGTH = 128
LABELS = 3
"""Labels of every task."""


@dataclass
class Workload:
    """What is measured with, and how.

    Args:
        texts: Sentences, enough for the largest benchmark.
        backbone: Folder or Hub id of the encoder.
        scratch: A folder for files that nobody needs afterwards.
        device: "cpu" or "cuda".
        batch_size: Sentences of a batch.
        quick: Whether to show only that everything works.
        method: How samples are taken.
        arguments: The words of the command line, for benchmarks that start it again.
        ceilings: By precision, the matmul rate of this machine in FLOP/s, once it was measured.
        exported: The folder with our exported graph, where another process has made it.
    """

    texts: Sequence[str]
    backbone: str
    scratch: Path
    device: str = "cpu"
    batch_size: int = 32
    quick: bool = False
    method: Method = field(default_factory=Method)
    arguments: Sequence[str] = ()
    ceilings: dict[str, float] = field(default_factory=dict)
    exported: Path | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """The encoder's."""
        return AutoTokenizer.from_pretrained(self.backbone)

    @cached_property
    def max_length(self) -> int:
        """Tokens that are read of a sentence."""
        return min(MAX_LENGTH, int(self.tokenizer.model_max_length))

    @cached_property
    def config(self) -> Any:
        """The encoder's."""
        return AutoConfig.from_pretrained(self.backbone)

    @cached_property
    def scale(self) -> int:
        """How much larger a real run is than a quick one."""
        return 1 if self.quick else 8

    def steps(self, real: int) -> int:
        """Steps of a training sample."""
        return 3 if self.quick else real

    def some(self, count: int) -> list[str]:
        """So many of the texts, from the first one again where there are fewer."""
        return [self.texts[number % len(self.texts)] for number in range(count)]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for ids in self.encoded(texts)["input_ids"]]

    def encoded(self, texts: Sequence[str]) -> Any:
        """The tokens of texts, not padded."""
        return self.tokenizer(list(texts), truncation=True, max_length=self.max_length)

    def rows(self, texts: Sequence[str], num_tasks: int) -> Dataset:
        """`text` and `targets` of `num_tasks` tasks, drawn by chance: they do not change how long anything takes."""
        draw = random.Random(0)  # noqa: S311  # the same labels every time
        targets = [{f"task_{n}": draw.randrange(LABELS) for n in range(num_tasks)} for _ in texts]
        return Dataset.from_dict({"text": list(texts), "targets": targets})

    def conditions(self, texts: Sequence[str], training: bool) -> dict[str, Any]:
        """What a table over these texts must say."""
        lengths = self.lengths(texts)
        found = {
            "sentences": len(texts),
            "tokens": sum(lengths),
            "mean length": float(statistics.mean(lengths)),
            "median length": int(statistics.median(lengths)),
            "longest": max(lengths),
            "batch": self.batch_size,
        }
        if training:
            found |= {"real tokens per step": sum(lengths) / len(lengths) * self.batch_size, "dropout": self._dropout}
        return found | {"device": self.device, "rounds": self.rounds}

    @property
    def rounds(self) -> str | int:
        """Samples of each variant, as a table says it."""
        return "none: one cold run each, to see that it works" if self.quick else self.method.rounds

    def flops_per_token(self, texts: Sequence[str], training: bool) -> float:
        """`6 P + 12 L H layers` for a token in training, a third of it in inference.

        P are the encoder's parameters without embeddings; L is the mean length that a token sees.
        """
        lengths = self.lengths(texts)
        seen = sum(length**2 for length in lengths) / sum(lengths)
        flops: float = 6 * self._parameters + 12 * seen * self.config.hidden_size * self.config.num_hidden_layers
        return flops if training else flops / 3

    @cached_property
    def _parameters(self) -> int:
        named = self._encoder.named_parameters()
        return sum(p.numel() for name, p in named if not name.startswith(("embeddings", "pooler")))

    @property
    def _dropout(self) -> float:
        """The greatest rate in the encoder: configurations have many names for it."""
        return max((module.p for module in self._encoder.modules() if isinstance(module, nn.Dropout)), default=0.0)

    @cached_property
    def _encoder(self) -> nn.Module:
        """Its modules, without values."""
        with torch.device("meta"):
            encoder: nn.Module = AutoModel.from_config(self.config)
        return encoder

    def measure(
        self, variants: Sequence[Variant], texts: Sequence[str], training: bool
    ) -> tuple[dict[str, Samples], dict[str, str]]:
        """As [`measure`]; and the facts of every variant get which share of the matmul rate its real tokens used."""
        samples, skipped = measure(variants, self.method)
        for variant in variants:
            ceiling = self.ceilings.get(variant.precision)
            if ceiling and variant.tokens and variant.name in samples:
                flops = self.flops_per_token(variant.texts or texts, training)
                rate = variant.tokens * flops / samples[variant.name].median()
                variant.facts["% of the ceiling"] = 100 * rate / ceiling
        return samples, skipped
