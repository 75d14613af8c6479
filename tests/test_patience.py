"""What the Hub does not take is offered again where that may help, and told in one sentence where it does not."""

import json

import pytest
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import httpx

from hf_multitask.modeling import hub
from hf_multitask.modeling.hub import patiently

URL = "http://127.0.0.1/api"


def answer(status):
    """The error of a request that was answered with `status`."""
    response = httpx.Response(status, request=httpx.Request("POST", URL))
    return HfHubHTTPError(f"{status} Server Error for url: {URL}\n\nmore of it", response=response)


def broken():
    """The error of an upload whose connection was cut, as huggingface_hub raises it."""
    error = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    error.__cause__ = httpx.ReadError("Connection reset by peer")
    return error


class Calls:
    """Raises one error after the other, then returns."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.made = 0

    def __call__(self):
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    slept = []
    monkeypatch.setattr(hub.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    "error",
    [
        *(answer(status) for status in (408, 429, 500, 502, 503, 504)),
        broken(),
        json.JSONDecodeError("Expecting", "<", 0),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again_and_warned_about(error, slept, caplog):
    call = Calls(error)
    assert patiently(call, "Wait.") == "done"
    assert call.made == 2
    assert slept == [hub.WAITS[0]]
    assert "Trying again in 1 s" in caplog.text


@pytest.mark.parametrize("error", [*(answer(status) for status in (400, 401, 403, 404)), OfflineModeIsEnabled("no")])
def test_what_will_not_pass_is_told_at_once(error, slept):
    call = Calls(error)
    with pytest.raises(OSError, match="^The Hub must take what is pushed, found: .*\\. Log in\\.$"):
        patiently(call, "Log in.")
    assert call.made == 1
    assert not slept


def test_what_does_not_pass_is_told_after_the_last_attempt(slept):
    call = Calls(*[broken()] * 9)
    with pytest.raises(OSError) as caught:
        patiently(call, "Do it later.")
    assert str(caught.value) == (
        "The Hub must take what is pushed, found: Error while uploading 'model.safetensors' to the Hub: Connection "
        "reset by peer. Do it later."
    )
    assert slept == list(hub.WAITS)
    assert call.made == len(hub.WAITS) + 1


@pytest.mark.parametrize("error", [ValueError("no such thing"), RuntimeError("CUDA ..."), KeyboardInterrupt()])
def test_what_is_not_of_the_hub_is_raised_as_it_is(error):
    call = Calls(error)
    with pytest.raises(type(error)) as caught:
        patiently(call, "Wait.")
    assert caught.value is error
    assert call.made == 1
