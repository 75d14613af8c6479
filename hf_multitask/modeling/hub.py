"""How a model gets onto the Hub: with its card, and in spite of a connection that fails."""

import contextlib
import html
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from transformers import PreTrainedModel
from transformers.utils.hub import ModelCard, cached_file  # type: ignore[attr-defined]

from .task import Task

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

WAITS = (1.0, 5.0, 20.0)
"""Seconds before each further attempt. huggingface_hub itself repeats the upload of a file, but neither the creation of
a repository nor the commit."""

PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses of answers after which the same request may succeed."""

MARK = "<!-- This card is written anew at every push. Remove this line to keep a text of your own. -->"
"""Stands in cards that may be replaced."""

AUTOMATIC = "This model card has been automatically generated"
"""Stands in the card that transformers writes where there is none."""

MOST_LABELS = 10
"""Of so many labels a task's are named."""


def patiently(call: Callable[[], Result], what_to_do: str) -> Result:
    """What `call` returns, made again after some seconds where the Hub or the way to it fails for a moment.

    Args:
        call: Something that may be done twice. A commit may: what is on the Hub already is not sent again.
        what_to_do: Ends the message.

    Raises:
        OSError: The Hub cannot be reached, or refuses.
    """
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:  # noqa: PERF203 - an attempt takes far longer than a `try`
            causes = list(_causes(error))
            if not any(isinstance(cause, OSError) or _may_pass(cause) for cause in causes):
                raise
            reason = ": ".join(dict.fromkeys(_first_line(cause) for cause in causes))
            if wait is None or not any(_may_pass(cause) for cause in causes):
                raise OSError(f"The Hub must take what is pushed, found: {reason}. {what_to_do}") from error
            logger.warning("The Hub did not take what is pushed, found: %s. Trying again in %g s", reason, wait)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return status in PASSING
    if isinstance(error, json.JSONDecodeError):  # a proxy's page where an answer in json was due
        return True
    # The connection failed. The library that says so has changed its name, not that of its exceptions.
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class HubModel(PreTrainedModel):
    """A model that is pushed with its card."""

    _card: str | None = None
    has_own_card = False
    """Whether a user has set a card, which training does not replace: one without our mark."""

    @property
    def card(self) -> str:
        """The README that is pushed with the model: that of where it came from, unless another is set; may be empty."""
        if self._card is None:
            self._card = ""
            if origin := self.config.name_or_path:
                revision = getattr(self.config, "_commit_hash", None)  # of a folder there is none
                with contextlib.suppress(OSError):  # it has none, or is gone
                    path: Any = cached_file(origin, "README.md", revision=revision)
                    self._card = Path(path).read_text(encoding="utf-8")
        return self._card

    @card.setter
    def card(self, text: str) -> None:
        self._card = text
        self.has_own_card = bool(text) and MARK not in text

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # of a wrapped function
        """As [`PreTrainedModel.push_to_hub`], with [`card`], unless somebody has written another on the Hub.

        Raises:
            OSError: The Hub cannot be reached, or refuses.
        """
        advice = "Check its id, and that the token may write there (`hf auth login`); save_pretrained(folder) keeps it."
        return patiently(lambda: super(HubModel, self).push_to_hub(*args, **kwargs), advice)

    def _upload_modified_files(self, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        """As [`PreTrainedModel._upload_modified_files`], with our card in place of an automatic one."""
        readme = Path(working_dir) / "README.md"
        text = readme.read_text(encoding="utf-8")
        if AUTOMATIC in text or MARK in text:
            card: Any = ModelCard(self.card or _plain_card(self.config.tasks))
            wanted: Any = ModelCard(text).data
            card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *(wanted.tags or [])]))
            readme.write_text(str(card), encoding="utf-8")
        return super()._upload_modified_files(working_dir, *args, **kwargs)


def _plain_card(tasks: Sequence[Task]) -> str:
    """A card of a model of which only the tasks are known."""
    lines = []
    for task in tasks:
        labels = [" ".join(label.split()) for label in task.labels]
        told = ", ".join([*labels[:MOST_LABELS], *(["..."] if len(labels) > MOST_LABELS else [])])
        kind = task.problem_type.replace("_", " ")
        lines.append(html.escape(f"- **{task.name}** ({kind}){': ' if told else ''}{told}", quote=False))
    return f"""---
library_name: transformers
tags:
- hf_multitask
- multi-task
---

{MARK}

One text encoder that answers these tasks:

{chr(10).join(lines)}

How good the answers are is not recorded here. The model's code is in this repository:

```python
from transformers import AutoModel, AutoTokenizer

path = "..."  # the id of this repository
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
model = AutoModel.from_pretrained(path, trust_remote_code=True)
```
"""
