"""How a model gets onto the Hub: with its card, and in spite of a connection that fails."""

import contextlib
import html
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import create_branch, upload_folder
from huggingface_hub.errors import HfHubHTTPError
from transformers import PreTrainedModel
from transformers.utils.hub import ModelCard, cached_file  # type: ignore[attr-defined]

from .task import Task
from .tokenizer_source import TokenizerSource

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

WAITS = (1.0, 5.0, 20.0)
"""Seconds before each further attempt. huggingface_hub itself repeats the upload of a file, but neither the creation of
a repository nor the commit."""

PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses of answers after which the same request may succeed."""

MARK = "<!-- This card is written anew by every run and push. Remove this line to keep a text of your own. -->"
"""Stands in cards that may be replaced."""

WEIGHTS = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",
    "adapter_model.safetensors",
)
"""Patterns of what must not stay on the Hub from an earlier push: adapters would be put on later weights."""

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


def is_own_text(card: str) -> bool:
    """Whether somebody has written a card, or made it his own; facts for the Hub alone, without a text, are none."""
    if MARK in card or AUTOMATIC in card:
        return False
    try:
        return bool(ModelCard(card).text.strip())
    except Exception:  # whatever a header raises that is no YAML: no program has written it
        return True


class HubModel(PreTrainedModel):
    """A model that is pushed with its card."""

    _card: str | None = None
    has_own_card = False
    """Whether a user has set a card, which training does not replace: one without our mark."""

    tokenizer_source: TokenizerSource | None = None
    """Where the model came from, with what a private repository asks for."""

    @property
    def card(self) -> str:
        """The README that is pushed with the model: that of where it came from, unless another is set; may be empty."""
        if self._card is None:
            self._card = ""
            if origin := self.config.name_or_path:
                where = {} if self.tokenizer_source is None else dict(self.tokenizer_source.hub_kwargs)
                where.pop("subfolder", None)
                if commit := getattr(self.config, "_commit_hash", None):  # of a folder there is none
                    where["revision"] = commit
                with contextlib.suppress(OSError):  # it has none, or is gone
                    path: Any = cached_file(origin, "README.md", **where)
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

    def _upload_modified_files(
        self,
        working_dir: Any,
        repo_id: str,
        files_timestamps: Any,
        commit_message: str | None = None,
        token: Any = None,
        create_pr: bool = False,
        revision: str | None = None,
        commit_description: str | None = None,
    ) -> Any:
        """As [`PreTrainedModel._upload_modified_files`], in place of earlier weights, and of a card that nobody wrote.

        All files are new: they were saved to be pushed.
        """
        readme = Path(working_dir) / "README.md"
        text = readme.read_text(encoding="utf-8")
        if not is_own_text(text):
            card: Any = ModelCard(self.card or _plain_card(self.config.tasks))
            wanted: Any = ModelCard(text).data
            card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *(wanted.tags or [])]))
            readme.write_text(str(card), encoding="utf-8")
        if revision is not None and not revision.startswith("refs/pr"):
            try:
                create_branch(repo_id, branch=revision, token=token, exist_ok=True)
            except HfHubHTTPError as error:
                if not (create_pr and error.response.status_code == 403):  # it may be there, in another's repository
                    raise
        return upload_folder(
            repo_id=repo_id,
            folder_path=working_dir,
            commit_message=commit_message or "Upload model",
            commit_description=commit_description,
            token=token,
            create_pr=create_pr,
            revision=revision,
            delete_patterns=list(WEIGHTS),
        )


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
