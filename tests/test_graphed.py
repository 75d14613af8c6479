"""Which passes are recorded and what their replays are given, with recordings that run on the CPU."""

import copy
import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
import torch
from architectures import packed_bert, token_ids
from test_short_texts import attend_each

from hf_multitask.modeling import segments
from hf_multitask.modeling.packing import LAYOUTS
from hf_multitask.training import graphed as graphed_module
from hf_multitask.training.cuda_graph import Recording, RecordingError
from hf_multitask.training.graphed import GraphedBackbone, graphed

LABELS = {"topic": torch.tensor([0, 1, 2, -100]), "tone": torch.tensor([0, 1, -100, 1])}
LENGTHS = (7, 3, 12, 1)


class PlayedBack(Recording):
    """A recording that makes the pass again, with what lies in its inputs by then."""

    made: ClassVar[list["PlayedBack"]] = []

    def __init__(self, run, inputs, parameters, gradients, pool):
        self.inputs, self._parameters, self._gradients = inputs, parameters, gradients
        self._output = run(inputs).detach()
        self._output_gradient = torch.zeros_like(self._output)
        self._is_used = [True] * len(parameters)

        def forward():
            with torch.enable_grad():
                self.live = run(inputs)
            self._output.copy_(self.live.detach())

        def backward():
            found = torch.autograd.grad(self.live, parameters, self._output_gradient)
            torch._foreach_copy_(gradients, found)

        self._forward, self._backward = SimpleNamespace(replay=forward), SimpleNamespace(replay=backward)
        self.made.append(self)


@pytest.fixture(autouse=True)
def recordings(monkeypatch):
    """The layout of a GPU with its attention of short texts, on the CPU."""
    fake = ModuleType("hf_multitask.modeling.short_texts")

    def attend_short(query, key, value, starts, longest, *, dropout, **how):
        lengths = starts.diff().tolist()
        assert max(lengths) <= longest
        assert sum(lengths) == len(query)
        return attend_each(query, key, value, [length for length in lengths if length], **how)

    fake.attend_short = attend_short
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(segments, "_flash_size", lambda device: 256)
    monkeypatch.setattr(segments, "attends_short", lambda device, size: True)
    monkeypatch.setitem(LAYOUTS, "cpu", LAYOUTS["cuda"])
    monkeypatch.setattr(GraphedBackbone.__init__, "__defaults__", (PlayedBack,))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(PlayedBack, "made", [])
    return PlayedBack.made


model = pytest.fixture(packed_bert)


def loss_of(model, lengths=LENGTHS, dtype=torch.bfloat16):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return model(**token_ids(*lengths), labels=LABELS).loss


def gradients(model, **kwargs):
    model.zero_grad()
    loss_of(model, **kwargs).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def close(found, expected):
    return float((found - expected).norm()) <= 2e-3 * float(expected.norm())


def test_a_pass_is_recorded_when_its_size_comes_again_and_has_the_same_gradients(model, recordings):
    expected = gradients(model)
    with graphed(model):
        found = []
        for count in (0, 1, 1, 1):
            found.append(gradients(model))
            assert model.backbone.forward.count == len(recordings) == count
    assert "forward" not in vars(model.backbone)
    assert all(close(one, expected) for one in found)


def test_other_texts_of_the_size_are_replayed_with_their_own_tokens(model, recordings):
    expected = gradients(model, lengths=(5, 9, 2, 4))
    with graphed(model):
        for _ in range(3):
            gradients(model)
        assert close(gradients(model, lengths=(5, 9, 2, 4)), expected)
    assert len(recordings) == 1


@pytest.mark.parametrize("passes", [2, 3])
def test_gradients_of_several_passes_add_up(model, recordings, passes):
    different = [LENGTHS, (5, 9, 2, 4), (1, 2, 3, 4)][:passes]
    expected = sum(gradients(model, lengths=lengths) for lengths in different)
    with graphed(model):
        for _ in range(3):
            gradients(model)
        model.zero_grad()
        for lengths in different:
            loss_of(model, lengths).backward()
    assert len(recordings) == 1
    assert close(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), expected)


def test_gradients_that_somebody_keeps_zeroing_in_place_stay_right(model):
    once = gradients(model)
    with graphed(model):
        for _ in range(4):
            model.zero_grad(set_to_none=False)
            loss_of(model).backward()
    assert close(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), once)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_second_pass_before_the_way_back_of_the_first_is_made_without_a_recording(model, backwards):
    once = gradients(model)
    with graphed(model):
        for _ in range(3):
            gradients(model)
        model.zero_grad()
        losses = [loss_of(model), loss_of(model)]
        for loss in reversed(losses) if backwards else losses:
            loss.backward()
    assert close(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), 2 * once)


def test_a_pass_whose_loss_is_thrown_away_holds_up_no_other(model, recordings):
    with graphed(model):
        for _ in range(3):
            gradients(model)
        before = recordings[0]._forward.replay
        calls = []
        recordings[0]._forward.replay = lambda: (calls.append(1), before())
        loss_of(model)
        loss_of(model)
    assert len(calls) == 2


def test_the_way_back_is_taken_once(model):
    with graphed(model):
        for _ in range(3):
            gradients(model)
        loss = loss_of(model)
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="must be taken once, found a second time"):
            loss.backward()


def no_gradients(model):
    with torch.no_grad():
        loss_of(model)


@pytest.mark.parametrize(
    "otherwise",
    [
        lambda model: gradients(model.eval()),
        no_gradients,
        lambda model: gradients(model, dtype=torch.float32),
        lambda model: gradients(model.set_attn_implementation("sdpa") or model),
    ],
    ids=["evaluation", "no gradients", "float32", "padded"],
)
def test_other_passes_are_made_as_they_were(model, recordings, otherwise):
    with graphed(model):
        for _ in range(3):
            otherwise(model)
    assert not recordings


def test_parameters_that_stop_to_learn_make_it_another_size(model, recordings):
    with graphed(model):
        for _ in range(3):
            gradients(model)
        model.backbone.embeddings.requires_grad_(False)
        expected = gradients(model)
        for _ in range(2):
            found = gradients(model)
        assert model.backbone.forward.count == 1  # those of before are gone
    assert len(recordings) == 2
    assert model.backbone.embeddings.word_embeddings.weight.grad is None
    assert close(found, expected)


def test_so_many_sizes_are_recorded_and_no_more(model, recordings, monkeypatch):
    monkeypatch.setattr(graphed_module, "MOST", 1)
    with graphed(model):
        for dtype in (torch.bfloat16, torch.bfloat16, torch.float16, torch.float16):
            gradients(model, dtype=dtype)
    assert len(recordings) == 1


def test_a_pass_that_cannot_be_recorded_is_told_and_training_goes_on(model, monkeypatch, caplog):
    def fail(*args):
        raise RecordingError("called a synchronizing CUDA operation")

    monkeypatch.setattr(GraphedBackbone.__init__, "__defaults__", (fail,))
    expected = gradients(model)
    with graphed(model):
        for _ in range(4):
            assert close(gradients(model), expected)
        assert not model.backbone.forward._gradients
    (record,) = caplog.records
    assert "cannot be recorded" in record.getMessage()


def test_nothing_is_recorded_where_memory_would_not_suffice(model, recordings, monkeypatch, caplog):
    caplog.set_level("INFO", "hf_multitask")
    monkeypatch.setattr(graphed_module, "has_room", lambda device: False)
    expected = gradients(model)
    with graphed(model):
        for _ in range(4):
            assert close(gradients(model), expected)
    assert not recordings
    (record,) = caplog.records
    assert "memory" in record.getMessage()


def test_a_copy_made_meanwhile_computes_with_its_own_weights(model, recordings):
    with graphed(model):
        for _ in range(3):
            gradients(model)
        copied = copy.deepcopy(model)
        expected = gradients(copied)
        with torch.no_grad():
            model.backbone.embeddings.word_embeddings.weight.zero_()
        replayed = recordings[0]._forward.replay
        recordings[0]._forward.replay = None
        assert close(gradients(copied), expected)
        recordings[0]._forward.replay = replayed


def test_what_stood_in_the_place_of_forward_stands_there_again(model):
    own = model.backbone.forward
    model.backbone.forward = standing = lambda *args, **kwargs: own(*args, **kwargs)
    with graphed(model), graphed(model):
        assert isinstance(model.backbone.forward, GraphedBackbone)
    assert model.backbone.forward is standing


@pytest.mark.parametrize(
    ("lengths", "tokens", "texts"),
    [((7, 3), 512, 16), ((64,) * 9, 1024, 16), ((64,) * 256, 16384, 256), ((64,) * 257, 18432, 1024)],
)
def test_sizes_are_few(model, lengths, tokens, texts):
    from hf_multitask.modeling.packing import packing_of

    batch = token_ids(*lengths)
    packing = packing_of(batch["attention_mask"], batch["input_ids"], "bert", 0)
    ids = {"input_ids": packing.pack(batch["input_ids"]), "position_ids": packing.positions[None]}
    found = graphed_module.size_of(packing, ids)
    assert (found.tokens, found.texts, found.longest) == (tokens, texts, 64)
