"""What reads the sentence embedding: one head per task."""

from torch import nn

from .configuration_multitask import Task


def build_head(task: Task, hidden_size: int) -> nn.Module:
    """A linear layer from the sentence embedding (B, `hidden_size`) to the task's logits (B, `task.num_labels`)."""
    return nn.Linear(hidden_size, task.num_labels)
