"""What a Trainer measures: exact losses, every task's metrics, calibration."""

from collections.abc import Mapping
from typing import Any

from accelerate.utils import send_to_device
from torch import nn
from transformers.trainer_utils import EvalLoopOutput

from ..evaluation.calibration import Calibration, calibrate
from ..evaluation.metrics import MultiTaskMetrics, evaluation_losses
from ..modeling.labels import check_labels
from .arguments import MultiTaskTrainingArguments
from .batching_trainer import BatchingTrainer
from .computing import fast
from .precision import own_precision
from .replaced import replaced


class EvaluatingTrainer(BatchingTrainer):
    """As [`Trainer`], but evaluation losses are exact means over a split's labelled rows, not means of batch means."""

    args: MultiTaskTrainingArguments

    def prediction_step(
        self, model: nn.Module, inputs: Mapping[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        """As [`Trainer.prediction_step`], but the model does not see the labels, and there is no loss of the batch.

        Nobody reads it, since a split's losses come from the logits of the whole split; unless `include_for_metrics`
        asks for it, or `preprocess_logits_for_metrics` leaves no logits. What the configuration names is ignored
        besides `ignore_keys`.
        """
        ignored = [*self.model.config.keys_to_ignore_at_inference, *(ignore_keys or ())]
        labels = inputs.get("labels")
        if labels is None or "loss" in self.args.include_for_metrics or self.preprocess_logits_for_metrics is not None:
            return super().prediction_step(model, dict(inputs), prediction_loss_only, ignored)
        check_labels(self.model.config.tasks, labels)
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        loss, logits, _ = super().prediction_step(model, unlabelled, prediction_loss_only, ignored)
        return loss, logits, send_to_device(labels, self.args.device)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As [`Trainer.evaluation_loop`], with exact losses for means of batch means, where there are logits."""
        with own_precision(self), fast(self._plain_model(), self.args):
            output: EvalLoopOutput = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        predictions: Any = output.predictions
        label_ids: Any = output.label_ids
        are_logits = self.preprocess_logits_for_metrics is None and isinstance(predictions, Mapping)
        if are_logits and isinstance(label_ids, Mapping):
            losses = evaluation_losses(self.model.config.tasks, predictions, label_ids)
            exact = {f"{prefix}_{name}": loss for name, loss in losses.items()}
            return output._replace(metrics=(output.metrics or {}) | exact)
        return output

    def calibrate(self, dataset: Any) -> dict[str, Calibration]:
        """Fit each task's temperature, and thresholds, on `dataset`, a validation split; per task, what that changed.

        They go into the model's configuration, and so into its checkpoints, and from now on into its metrics.
        """
        if self.preprocess_logits_for_metrics is None:
            prediction = self.predict(dataset)
        else:
            with replaced(self, preprocess_logits_for_metrics=None, compute_metrics=None):
                prediction = self.predict(dataset)
        label_ids: Any = prediction.label_ids
        predictions: Any = prediction.predictions
        self.model.config.tasks, records = calibrate(self.model.config.tasks, predictions, label_ids)
        if isinstance(self.compute_metrics, MultiTaskMetrics):
            self.compute_metrics = MultiTaskMetrics(self.model.config.tasks)
        return records
