"""How a Trainer makes its batches, hands batches to the model, and counts what they cost."""

import logging
from functools import cached_property
from typing import Any, cast

import torch
from accelerate.utils import send_to_device, set_seed
from transformers.trainer_utils import EvalLoopOutput

from ..data.batches import BatchOrder
from ..data.collation import MultiTaskCollator
from ..data.flat_rows import FlatRows, flattened
from ..data.longest_first import LongestFirst
from ..data.streaming import StreamedBatches
from ..evaluation.metrics import MultiTaskMetrics
from .arguments import MultiTaskTrainingArguments
from .computing import known_lengths
from .frozen import reads_only_embeddings
from .loading import embedded, train_loader, train_order
from .replaced import replaced
from .saving_trainer import SavingTrainer

logger = logging.getLogger(__name__)


class BatchingTrainer(SavingTrainer):
    """As [`Trainer`], but rows come in a [`BatchOrder`], and steps wait for less.

    Where nothing of the encoder learns, its embeddings are computed once, unless a `data_collator` of the user's own
    might not know them. Evaluation reads its rows as [`FlatRows`] where these can hold them. Its results are in the
    order of the rows; rows of similar length share a batch, unless a `compute_metrics` of the user's own might know the
    rows by their order.
    """

    args: MultiTaskTrainingArguments
    _order: BatchOrder | StreamedBatches | None = None
    """The batches of the run, while there is one."""

    _row_ids: list[str] | None = None

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._inner_training_loop`], with the embeddings of a frozen encoder, as it is now, for texts."""
        texts = self.train_dataset, self.eval_dataset
        if self.args.world_size > 1:
            set_seed(self.args.seed, device_specific=True)  # or all would drop the same units of their rows
        try:
            frozen, knows_rows = reads_only_embeddings(self.model), isinstance(self.data_collator, MultiTaskCollator)
            if frozen and not knows_rows:  # another may not know rows without tokens, or without targets
                logger.info("The encoder is frozen, but reads every text in every epoch: data_collator is your own")
            elif frozen:
                logger.info("The encoder is frozen: its embeddings are computed once")
                how = (self.data_collator, self.args.per_device_eval_batch_size)
                self.train_dataset, self.eval_dataset = (embedded(self.model, rows, *how) for rows in texts)
            self._order = train_order(self.train_dataset, self.data_collator, self.args)
            return super()._inner_training_loop(*args, **kwargs)
        finally:
            self.train_dataset, self.eval_dataset = texts
            self._order = None

    def get_train_dataloader(self) -> Any:
        """The batches of the mixture that this process takes."""
        order = self._order  # in a run, which begins its epochs
        if order is None:
            order = train_order(self.train_dataset, self.data_collator, self.args)
        return super().get_train_dataloader() if order is None else train_loader(order, self.data_collator, self.args)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As [`Trainer.get_eval_dataloader`], of the rows asked for.

        `Trainer` keeps a loader whose workers persist, and would give it for other rows too: those of a given dataset,
        and the embeddings of a frozen encoder that has learned since.

        Raises:
            ValueError: Several processes are to share rows without a number, of which Accelerate would give some twice.
        """
        named, own = isinstance(eval_dataset, str), cast(Any, self.eval_dataset)
        key = eval_dataset if named else "eval"
        rows = own[key] if named else own if eval_dataset is None else eval_dataset
        if self.args.world_size > 1 and not hasattr(rows, "__len__"):
            raise ValueError(
                "Rows that several processes evaluate must have a number, so that none counts twice, found a "
                f"{type(rows).__name__}. Pass a Dataset."
            )
        kept = vars(self).get("_eval_dataloaders", {})
        if key in kept and self._kept_rows.get(key) is not rows:
            old = kept.pop(key)
            # The last that may hold it, unless a run has begun since: its workers end.
            self.accelerator._dataloaders = [loader for loader in self.accelerator._dataloaders if loader is not old]
        self._kept_rows[key] = rows
        return super().get_eval_dataloader(eval_dataset)

    @cached_property
    def _kept_rows(self) -> dict[str, Any]:
        """The rows of the loader last made, by the name `Trainer` has for it."""
        return {}

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer._get_dataloader`]; only training drops rows that fill no batch."""
        rows = flattened(dataset, self.data_collator)
        if isinstance(rows, FlatRows):
            kwargs["sampler_fn"] = None  # sampled by length, results would come in another order
            if isinstance(self.compute_metrics, MultiTaskMetrics):
                rows = LongestFirst(rows)
        drops = kwargs.get("is_training", False) and self.args.dataloader_drop_last
        with replaced(self.args, dataloader_drop_last=drops):
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
        """As [`Trainer.floating_point_ops`], which counts parameters at every step, and no second texts of pairs."""
        tokens: int = sum(inputs[name].numel() for name in ("input_ids", "pair_input_ids") if name in inputs)
        return 6 * tokens * self._num_parameters

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """As [`Trainer._track_num_input_tokens`], of both texts of pairs; embeddings of a frozen encoder have none."""
        if self.args.include_num_input_tokens_seen == "no" or "sentence_embedding" in inputs:
            return
        texts: dict[str, Any] = dict(inputs)
        for name in ("input_ids", "attention_mask"):
            if f"pair_{name}" in inputs:
                texts[name] = torch.cat([inputs[name].flatten(), inputs[f"pair_{name}"].flatten()])
        super()._track_num_input_tokens(texts)

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
