"""How an encoder is adapted instead of trained: the settings of LoRA."""

import math
from dataclasses import dataclass

from huggingface_hub.dataclasses import strict


@strict
@dataclass(kw_only=True)
class LoraSettings:
    """Low-rank adapters on the encoder's linear layers (Hu et al. 2021); the heads are trained in full.

    Args:
        rank: Size of the adapters.
        alpha: An adapter's output is multiplied by `alpha / rank`.
        dropout: Probability with which each input of an adapter is dropped in training, in [0, 1).
        target_modules: Last parts of the names of the layers to adapt, such as `query`; by default all linear ones.
        merge: Whether the trained adapters are added to the encoder's weights in the end, which makes an ordinary
            checkpoint. Otherwise it holds the adapters and the heads alone, and needs the encoder and peft.
    """

    rank: int = 8
    alpha: float | int = 16
    dropout: float | int = 0.0
    target_modules: list[str] | None = None
    merge: bool = True

    def check(self) -> None:
        """Raise unless the settings make sense.

        Raises:
            ValueError: One does not.
        """
        if self.rank < 1:
            raise ValueError(f"lora.rank must be at least 1, found {self.rank}. Write rank: 8, for instance.")
        if not math.isfinite(self.alpha) or self.alpha <= 0:
            raise ValueError(
                f"lora.alpha must be a finite number > 0, found {self.alpha}. Write twice the rank, for instance."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"lora.dropout must be a probability in [0, 1), found {self.dropout}. Write 0.05, for instance."
            )
        if self.target_modules == []:
            raise ValueError(
                "lora.target_modules must name at least one layer, found none. Leave it out for all linear layers."
            )
