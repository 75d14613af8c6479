"""The operators that one of our training steps spends its time in."""

from torch.profiler import ProfilerActivity, profile

from . import ours
from .workload import Workload


def profile_step(workload: Workload) -> str:
    """The 25 operators with the most time of their own, over a few steps at the default arguments."""
    steps = workload.steps(8)
    texts = workload.some(workload.batch_size * steps)
    made = ours.trainer(workload, ours.data(workload, texts, 2), 2, steps)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if workload.device == "cuda" else [])
    with profile(activities=activities, record_shapes=False) as found:
        ours.steady(made)
    by = "self_cuda_time_total" if workload.device == "cuda" else "self_cpu_time_total"
    table: str = found.key_averages().table(sort_by=by, row_limit=25)
    return table
