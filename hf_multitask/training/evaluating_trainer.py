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


class EvaluatingTrainer(BatchingTrainer):
    """As [`Trainer`], but evaluation losses are exact means over a split's labelled rows, not means of batch means."""

    args: MultiTaskTrainingArguments

    def prediction_step(self, model: nn.Module, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As [`Trainer.prediction_step`], but the model does not see the labels, and there is no loss of the batch.

        Nobody reads it, since a split's losses come from the logits of the whole split; unless `include_for_metrics`
        asks for it.
        """
        labels = inputs.get("labels")
        if labels is None or "loss" in self.args.include_for_metrics:
            return super().prediction_step(model, dict(inputs), *args, **kwargs)
        check_labels(self.model.config.tasks, labels)
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        loss, logits, _ = super().prediction_step(model, unlabelled, *args, **kwargs)
        return loss, logits, send_to_device(labels, self.args.device)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """As [`Trainer.evaluation_loop`], with exact losses in place of means of batch means."""
        with own_precision(self), fast(self._plain_model(), self.args):
            output: EvalLoopOutput = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        predictions: Any = output.predictions
        label_ids: Any = output.label_ids
        if isinstance(predictions, Mapping) and isinstance(label_ids, Mapping):
            losses = evaluation_losses(self.model.config.tasks, predictions, label_ids)
            exact = {f"{prefix}_{name}": loss for name, loss in losses.items()}
            return output._replace(metrics=(output.metrics or {}) | exact)
        return output

    def calibrate(self, dataset: Any) -> dict[str, Calibration]:
        """Fit each task's temperature, and thresholds, on `dataset`, a validation split; per task, what that changed.

        They go into the model's configuration, and so into its checkpoints, and from now on into its metrics.
        """
        prediction = self.predict(dataset)
        label_ids: Any = prediction.label_ids
        predictions: Any = prediction.predictions
        self.model.config.tasks, records = calibrate(self.model.config.tasks, predictions, label_ids)
        if isinstance(self.compute_metrics, MultiTaskMetrics):
            self.compute_metrics = MultiTaskMetrics(self.model.config.tasks)
        return records
