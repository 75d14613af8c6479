"""Does sharing help? Models of single tasks, trained to be compared with a shared one."""

from .clock import TrainingClock
from .groups import Grouping, group_tasks
from .report import compare_single_task

__all__ = ["Grouping", "TrainingClock", "compare_single_task", "group_tasks"]
