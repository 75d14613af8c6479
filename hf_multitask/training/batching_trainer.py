"""How a Trainer makes its batches for evaluation, hands batches to the model, and counts what they cost."""

from functools import cached_property
from typing import Any

from accelerate.utils import send_to_device
from transformers.trainer_utils import EvalLoopOutput

from ..data.batches import BatchOrder
from ..data.flat_rows import FlatRows, flattened
from ..data.longest_first import LongestFirst
from ..data.streaming import StreamedBatches
from ..evaluation.metrics import MultiTaskMetrics
from .computing import known_lengths
from .saving_trainer import SavingTrainer


class BatchingTrainer(SavingTrainer):
    """As [`Trainer`], but evaluation reads its rows as [`FlatRows`] where these can hold them, and steps wait for less.

    Results are in the order of the rows. Rows of similar length share a batch, unless a `compute_metrics` of the user's
    own might know the rows by their order.
    """

    _order: BatchOrder | StreamedBatches | None = None
    _row_ids: list[str] | None = None

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._get_dataloader`]."""
        rows = flattened(dataset, self.data_collator)
        if isinstance(rows, FlatRows):
            kwargs["sampler_fn"] = None  # sampled by length, results would come in another order
            if isinstance(self.compute_metrics, MultiTaskMetrics):
                rows = LongestFirst(rows)
        return super()._get_dataloader(rows, *args, **kwargs)

    def get_total_train_batch_size(self, args: Any) -> int:
        """As [`Trainer.get_total_train_batch_size`]; the mean over the batches where they are cut by tokens."""
        if isinstance(self._order, BatchOrder) and args.max_tokens_per_batch is not None:
            return self._order.rows_per_batch
        size: int = super().get_total_train_batch_size(args)
        return size

    def _prepare_inputs(self, inputs: Any) -> Any:
        """As [`Trainer._prepare_inputs`], keeping back where the rows come from, which is nothing for the model.

        The host does not wait for what it sends to a GPU.
        """
        self._row_ids = inputs.pop("row_ids", None)
        lengths = known_lengths(self.model.config, inputs, self.args.device)
        if self.args.device.type == "cuda":  # elsewhere the source may be gone before it is read
            inputs = send_to_device(dict(inputs), self.args.device, non_blocking=True)
        return super()._prepare_inputs(inputs) | lengths

    def floating_point_ops(self, inputs: Any) -> int:
        """As [`Trainer.floating_point_ops`], which counts the model's parameters anew at every step."""
        tokens: int = inputs["input_ids"].numel() if "input_ids" in inputs else 0
        return 6 * tokens * self._num_parameters

    @cached_property
    def _num_parameters(self) -> int:
        count: int = self.model.num_parameters(exclude_embeddings=True)
        return count

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As [`Trainer.evaluation_loop`], with results in the order of the rows."""
        output: EvalLoopOutput = super().evaluation_loop(dataloader, *args, **kwargs)
        rows = dataloader.dataset
        if not isinstance(rows, LongestFirst):
            return output
        return output._replace(predictions=rows.restored(output.predictions), label_ids=rows.restored(output.label_ids))
