"""What a Trainer has beside it for the time of a run, however the run ends."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from transformers import TrainerCallback


class RunCallback(TrainerCallback):
    """A callback that knows of a run, and of which nothing may be left when the run ends by an exception.

    `on_train_end` does not come then.
    """

    def training(self) -> AbstractContextManager[None]:
        """A run from its beginning to its end: forget the run before, and in the end undo what was for this one."""
        raise NotImplementedError


@contextmanager
def running(callbacks: Iterable[TrainerCallback]) -> Iterator[None]:
    """A run, for those of a Trainer's callbacks that are to know of it."""
    with ExitStack() as stack:
        for callback in callbacks:
            if isinstance(callback, RunCallback):
                stack.enter_context(callback.training())
        yield
