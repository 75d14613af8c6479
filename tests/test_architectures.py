"""Every architecture can be the backbone: it runs, ignores padding, trains, and comes back from disk as it was."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, TASKS, tiny_model, token_ids
from conftest import make_tokenizer
from safetensors.torch import load_file
from transformers import AutoModel

from hf_multitask import MultiTaskModel
from hf_multitask.modeling import inference
from hf_multitask.modeling.backbone import NO_AUTOCAST, num_positions
from hf_multitask.modeling.performance import Choices

# DeBERTa's modules in transformers 5.17 are compiled by torch.jit when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

SEES_PADDING = {
    "convbert": "its span convolution has no mask",
    "fnet": "its Fourier transform over the positions has no mask",
}
"""Architectures whose own hidden states depend on padding, with the reason."""

NO_BFLOAT16 = {
    "deberta": "its query and value biases stay in float32 when it is loaded",
    "fnet": "its Fourier transform has no bfloat16",
    "xlnet": "its projections stay in float32 when it is loaded",
}
"""Architectures that transformers itself cannot run after loading them in bfloat16, with the reason."""

UNREAD = {
    "longformer": r"_global\.",  # no token attends globally unless `global_attention_mask` says so
    "luke": r"entity_embeddings\.|(w2e|e2w|e2e)_query\.",  # no entities are given
    "xlnet": r"mask_emb|r_s_bias|seg_embed",  # no token is to be predicted, and no `token_type_ids` are given
}
"""Patterns of the trainable parameters of a backbone on which no token's last hidden state depends."""


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_logits_of_a_padded_batch_are_finite_and_one_row_per_text(model_type: str) -> None:
    with torch.no_grad():
        output = tiny_model(model_type)(**token_ids(9, 5, 1))
    assert {name: tuple(logits.shape) for name, logits in output.logits.items()} == {"topic": (3, 3), "tone": (3, 2)}
    assert all(logits.isfinite().all() for logits in output.logits.values())


@pytest.mark.parametrize("model_type", [name for name in ARCHITECTURES if name not in SEES_PADDING])
def test_padding_does_not_change_the_logits(model_type: str) -> None:
    model = tiny_model(model_type)
    batch = token_ids(9, 5)
    with torch.no_grad():
        together = model(**batch)
        alone = model(**{name: value[1:, :5] for name, value in batch.items()})
    for task in together.logits:
        torch.testing.assert_close(together.logits[task][1:], alone.logits[task], atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("model_type", sorted(SEES_PADDING))
def test_architectures_excused_from_padding_see_it_themselves(model_type: str) -> None:
    backbone = tiny_model(model_type).backbone
    batch = token_ids(9, 5)
    with torch.no_grad():
        together = backbone(**batch).last_hidden_state[1, :5]
        alone = backbone(**{name: value[1:, :5] for name, value in batch.items()}).last_hidden_state[0]
    assert (together - alone).abs().max() > 1e-3


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_as_many_tokens_are_read_as_there_are_positions_and_any_number_without(model_type: str) -> None:
    model = tiny_model(model_type)
    positions = num_positions(model.backbone)
    with torch.no_grad():
        model(**token_ids(positions or 100))
        if positions is not None:
            with pytest.raises((IndexError, RuntimeError)):
                model(**token_ids(positions + 1))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_logits_depend_on_the_text(model_type: str) -> None:
    with torch.no_grad():
        logits = tiny_model(model_type)(**token_ids(9, 9)).logits["topic"]
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_saved_model_comes_back_bit_equal(model_type: str, tmp_path: Path) -> None:
    model = tiny_model(model_type)
    model.save_pretrained(tmp_path)
    loaded, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is MultiTaskModel
    assert not any(info.values()), info
    expected, found = model.state_dict(), loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("model_type", [name for name in ARCHITECTURES if name not in NO_BFLOAT16])
def test_saved_model_runs_in_bfloat16(model_type: str, tmp_path: Path) -> None:
    tiny_model(model_type).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    with torch.no_grad():
        output = model(**token_ids(9, 5))
    assert output.logits["topic"].dtype == torch.bfloat16
    assert output.logits["topic"].isfinite().all()


@pytest.mark.parametrize("model_type", sorted(NO_BFLOAT16))
def test_architectures_excused_from_bfloat16_fail_by_themselves(model_type: str, tmp_path: Path) -> None:
    tiny_model(model_type).backbone.save_pretrained(tmp_path)
    backbone = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"dtype|scalar type"):
        backbone(**token_ids(9, 5))


@pytest.mark.parametrize("model_type", NO_AUTOCAST)
def test_architectures_excused_from_autocast_fail_by_themselves(model_type: str) -> None:
    backbone = tiny_model(model_type).backbone
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="BFloat16"):
        backbone(**token_ids(9, 5))


@pytest.mark.parametrize("model_type", ["bert", *NO_AUTOCAST])
def test_all_can_be_served_with_whatever_auto_chooses(model_type: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(inference, "choose", lambda *_: Choices(bf16=True))
    model = tiny_model(model_type)
    model.tokenizer = make_tokenizer()
    exact, found = (model.encode(["good film", "bad"], performance=how) for how in ("off", "auto"))
    assert np.allclose(found, exact, atol=1e-5) == (model_type in NO_AUTOCAST)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_gradient_reaches_every_trainable_parameter_that_is_read(model_type: str) -> None:
    model = tiny_model(model_type)
    labels = {"topic": torch.tensor([0, 2]), "tone": torch.tensor([1, 0])}
    model(**token_ids(9, 5), labels=labels).loss.backward()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    unread = {name for name in trainable if model_type in UNREAD and re.search(UNREAD[model_type], name)}
    assert {name for name, parameter in trainable.items() if parameter.grad is None} == unread


@pytest.mark.parametrize("model_type", sorted({"bert", "nomic_bert", "gte", "jina_embeddings_v3"} & set(ARCHITECTURES)))
def test_weights_on_disk_have_the_models_own_names_which_a_resuming_trainer_needs(
    model_type: str, tmp_path: Path
) -> None:
    model = tiny_model(model_type)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == model.state_dict().keys()


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_backbone_from_disk_has_exactly_the_saved_weights(model_type: str, tmp_path: Path) -> None:
    backbone = tiny_model(model_type).backbone
    backbone.save_pretrained(tmp_path)
    model = MultiTaskModel.from_backbone(str(tmp_path), tasks=TASKS)
    expected, found = backbone.state_dict(), model.backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
