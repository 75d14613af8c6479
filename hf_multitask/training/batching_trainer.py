"""How a Trainer makes its batches for evaluation, and how many rows it takes for a step."""

from typing import Any

from transformers.trainer_utils import EvalLoopOutput

from ..data.batches import BatchOrder
from ..data.flat_rows import FlatRows, flattened
from ..data.longest_first import LongestFirst
from ..data.streaming import StreamedBatches
from ..evaluation.metrics import MultiTaskMetrics
from .saving_trainer import SavingTrainer


class BatchingTrainer(SavingTrainer):
    """As [`Trainer`], but evaluation reads its rows as [`FlatRows`] where these can hold them.

    Results are in the order of the rows. Rows of similar length share a batch, unless a `compute_metrics` of the user's
    own might know the rows by their order.
    """

    _order: BatchOrder | StreamedBatches | None = None

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

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As [`Trainer.evaluation_loop`], with results in the order of the rows."""
        output: EvalLoopOutput = super().evaluation_loop(dataloader, *args, **kwargs)
        rows = dataloader.dataset
        if not isinstance(rows, LongestFirst):
            return output
        return output._replace(predictions=rows.restored(output.predictions), label_ids=rows.restored(output.label_ids))
