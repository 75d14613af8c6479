"""Batches without padding: the same results, on every architecture that is said to have them."""

import importlib.util
import itertools
import sys

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, DECODERS, tiny_model, token_ids
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from hf_multitask.modeling.attention import packed_attention, why_not_packed
from hf_multitask.modeling.blocks import BLOCK_COST, cut
from hf_multitask.modeling.packing import LAYOUTS, PACKABLE, PACKED_ATTENTION, packing_of


@pytest.fixture(params=["cpu", "cuda"], autouse=True)
def layout(request, monkeypatch):
    """Both layouts, here on the CPU: where a GPU's own attention is not, its logic is the same."""
    monkeypatch.setitem(LAYOUTS, "cpu", LAYOUTS[request.param])
    return request.param


LENGTHS = (7, 3, 12, 3, 1, 11, 20)
LABELS = {"topic": torch.tensor([0, 1, 2, 0, 1, -100, 2]), "tone": torch.tensor([0, 1, -100, 1, 0, 1, 1])}
NO_GRADIENT = ("key.bias", "k_lin.bias")
"""Parameters whose true gradient is zero: all scores of a softmax move alike."""


def results(model, batch):
    model.zero_grad()
    output = model(**batch, labels=LABELS)
    output.loss.backward()
    return output, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture
def no_mask(monkeypatch):
    """No mask is built: of all tokens of a packed batch it would be larger than the batch."""

    def build(*args, **kwargs):
        raise AssertionError("a mask was built")

    def forbid():
        monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._local_mapping, PACKED_ATTENTION, build)

    return forbid


@pytest.mark.parametrize(
    ("model_type", "pooling"),
    [*((name, "mean") for name in ARCHITECTURES if name in PACKABLE), *(("bert", p) for p in ("cls", "max", "last"))],
)
def test_logits_losses_and_gradients_are_those_of_the_padded_batch(model_type, pooling, no_mask):
    model = tiny_model(model_type)
    model.config.pooling = pooling
    batch = token_ids(*LENGTHS)
    padded, padded_gradients = results(model, batch)
    model.set_attn_implementation(PACKED_ATTENTION)
    no_mask()
    packed, packed_gradients = results(model, batch)
    for task, logits in padded.logits.items():
        torch.testing.assert_close(packed.logits[task], logits, rtol=0, atol=3e-6)
    torch.testing.assert_close(packed.loss, padded.loss, rtol=1e-6, atol=1e-6)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in padded_gradients.items():
        if not name.endswith(NO_GRADIENT):
            difference = (packed_gradients[name] - gradient).norm()
            assert difference <= 1e-5 * gradient.norm() + 1e-6, name


def test_fewer_tokens_go_through_the_encoder():
    model = tiny_model("bert")
    model.set_attn_implementation(PACKED_ATTENTION)
    shapes = []
    model.backbone.encoder.layer[0].register_forward_hook(lambda module, args, output: shapes.append(args[0].shape[:2]))
    model(**token_ids(*LENGTHS))
    [(rows, tokens)] = shapes
    assert rows == 1
    assert sum(LENGTHS) <= tokens <= sum(LENGTHS) + 8 < len(LENGTHS) * max(LENGTHS)


def test_every_token_sees_its_own_text_alone():
    model = tiny_model("bert")
    model.set_attn_implementation(PACKED_ATTENTION)
    batch = token_ids(9, 9, 5)
    alone = model(**{name: tensor[:1] for name, tensor in batch.items()}).sentence_embedding
    other = {name: tensor.clone() for name, tensor in batch.items()}
    other["input_ids"][1:] = 5
    together = model(**other).sentence_embedding[:1]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [(4,), (4, 0, 2), (0, 5)])
def test_texts_without_tokens_have_the_embedding_of_zeros(lengths):
    model = tiny_model("bert")
    model.set_attn_implementation(PACKED_ATTENTION)
    embedding = model(**token_ids(*lengths)).sentence_embedding
    assert embedding.isfinite().all()
    for row, length in zip(embedding, lengths, strict=True):
        assert bool(row.any()) == bool(length)


def test_padding_on_the_left_is_read_as_it_stands():
    model = tiny_model("bert")
    batch = {name: tensor.flip(1) for name, tensor in token_ids(7, 3, 12).items()}
    padded = model(**batch).sentence_embedding
    model.set_attn_implementation(PACKED_ATTENTION)
    torch.testing.assert_close(model(**batch).sentence_embedding, padded, rtol=0, atol=1e-6)


@pytest.mark.parametrize("by_configuration", [False, True])
def test_hidden_states_that_are_asked_for_are_those_of_the_padded_batch(by_configuration):
    model = tiny_model("bert", output_hidden_states=by_configuration)
    batch = token_ids(7, 3, 12) | ({} if by_configuration else {"output_hidden_states": True})
    padded = model(**batch)
    model.set_attn_implementation(PACKED_ATTENTION)
    packed = model(**batch)
    for found, wanted in zip(packed.hidden_states, padded.hidden_states, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_pairs_and_labels_of_tokens_are_the_same():
    tasks = [
        {"name": "alike", "problem_type": "similarity"},
        {"name": "words", "labels": ["O", "B-X", "I-X"], "problem_type": "token_classification"},
    ]
    model = tiny_model("bert", tasks=tasks)
    batch = token_ids(7, 3, 12)
    second = token_ids(5, 14)
    pairs = {f"pair_{name}": tensor for name, tensor in second.items()} | {"pair_rows": torch.tensor([0, 2])}
    padded = model(**batch, **pairs).logits
    model.set_attn_implementation(PACKED_ATTENTION)
    packed = model(**batch, **pairs).logits
    torch.testing.assert_close(packed["alike"], padded["alike"], rtol=0, atol=1e-6, equal_nan=True)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(packed["words"][real], padded["words"][real], rtol=0, atol=1e-6)


def test_attention_weights_are_dropped_with_the_configured_probability():
    model = tiny_model("bert", attention_probs_dropout_prob=0.0).train()
    model.set_attn_implementation(PACKED_ATTENTION)
    batch = token_ids(*LENGTHS)
    assert torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)
    for layer in model.backbone.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    assert not torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)


def test_blocks_are_the_cheapest_cut_of_the_sorted_lengths():
    generator = np.random.default_rng(0)
    for _ in range(20):
        lengths = np.sort(generator.integers(1, 40, size=7))

        def cost(sizes, lengths=lengths):
            ends = np.cumsum(sizes)
            return sum(size * lengths[end - 1] + BLOCK_COST for size, end in zip(sizes, ends, strict=True))

        sizes_of_all = (np.diff([0, *ends, 7]) for k in range(7) for ends in itertools.combinations(range(1, 7), k))
        assert cost(cut(lengths)) == min(cost(sizes) for sizes in sizes_of_all)


def test_tokens_of_a_packing_go_back_where_they_came_from():
    batch = token_ids(*LENGTHS)
    packing = packing_of(batch["attention_mask"], batch["input_ids"], "bert", 0)
    ids = packing.pack(batch["input_ids"])[0, :, None]
    assert torch.equal(packing.unpack(ids)[..., 0], batch["input_ids"])


@pytest.mark.parametrize("model_type", ["mpnet", "fnet", "mamba"])
def test_architectures_that_are_not_known_say_so(model_type):
    assert model_type in why_not_packed(tiny_model(model_type))


def test_a_model_opened_with_another_attention_keeps_it():
    model = tiny_model("bert")
    model.set_attn_implementation("eager")
    assert "'eager'" in why_not_packed(model)
    assert set(DECODERS) & PACKABLE  # decoders are tried above, too


def test_the_attention_of_a_packing_is_its_own_whatever_copy_of_the_code_is_registered():
    batch = token_ids(*LENGTHS)
    packing = packing_of(batch["attention_mask"], batch["input_ids"], "bert", 0)
    tokens = torch.randn(3, 1, 2, len(packing.places), 4)
    expected, _ = packed_attention(torch.nn.Identity(), *tokens, None, packing=packing)
    package = sys.modules["hf_multitask.modeling"]
    spec = importlib.util.spec_from_file_location(
        "copied", package.__file__, submodule_search_locations=package.__path__
    )
    sys.modules["copied"] = importlib.util.module_from_spec(spec)
    before = ALL_ATTENTION_FUNCTIONS[PACKED_ATTENTION]
    try:
        copied = importlib.import_module("copied.attention")
        assert ALL_ATTENTION_FUNCTIONS[PACKED_ATTENTION] is copied.packed_attention is not packed_attention
        found, _ = copied.packed_attention(torch.nn.Identity(), *tokens, None, packing=packing)
    finally:
        AttentionInterface.register(PACKED_ATTENTION, before)
        for name in [name for name in sys.modules if name.partition(".")[0] == "copied"]:
            del sys.modules[name]
    assert torch.equal(found, expected)
