"""Embeddings of texts, from the model and from sentence-transformers on the same folder."""

import json
import shutil
from threading import Event, Thread

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from conftest import make_tokenizer, tiny_bert, tiny_bert_config
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel
from transformers.utils import logging

from hf_multitask import MultiTaskConfig, MultiTaskModel
from hf_multitask.modeling import inference
from hf_multitask.modeling.inference import evaluating
from hf_multitask.modeling.performance import Choices
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.modeling.sentence_transformers_layout import Layout, read_layout

TASKS = [{"name": "topic", "labels": ["a", "b"]}]
TEXTS = ["good film", "the council says no , never again today", "", "bad"]


@pytest.fixture
def model(tokenizer):
    model = tiny_bert(initializer_range=0.5)
    model.tokenizer = tokenizer
    return model


def backbone(folder, modules=("Transformer", "Pooling"), path="", **files):
    """A tiny encoder as a sentence-transformers checkpoint with these modules and further json files."""
    encoder = folder / path
    BertModel(tiny_bert_config()).save_pretrained(encoder)
    make_tokenizer().save_pretrained(encoder)
    paths = {"Transformer": path, "Pooling": "1_Pooling"}
    entries = [
        {
            "idx": place,
            "name": str(place),
            "path": paths.get(kind, f"{place}_{kind}"),
            "type": kind if "." in kind else f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(modules)
    ]
    for name, values in ({"modules.json": entries} | files).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(values))
    return str(folder)


def test_embeddings_are_the_models_sentence_embeddings_in_the_order_of_the_texts(model, tokenizer):
    found = model.encode(TEXTS, batch_size=2, performance="off")  # the products of the line below
    expected = [model(**tokenizer(text, return_tensors="pt")).sentence_embedding[0].detach() for text in TEXTS]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torch.stack(expected), atol=1e-6)


def test_texts_are_read_together_by_their_number_of_tokens_the_longest_first(model, monkeypatch):
    texts = ["no , no , no", "unbelievableness" * 3, "a b c d e f g", "extraordinarily good"]
    counts = {text: len(ids) for text, ids in zip(texts, model.tokenizer(texts)["input_ids"], strict=True)}
    assert sorted(texts, key=len) != sorted(texts, key=counts.get)
    read, forward = [], type(model).forward

    def watched(self, input_ids, attention_mask, **kwargs):
        read.append(attention_mask.sum(1).tolist())
        return forward(self, input_ids, attention_mask, **kwargs)

    monkeypatch.setattr(type(model), "forward", watched)
    model.encode(texts, batch_size=2)
    expected = sorted(counts.values(), reverse=True)
    assert read == [expected[:2], expected[2:]]


def test_a_tokenizer_that_several_threads_use_is_never_told_to_pad(model):
    model.encode(TEXTS)
    MultiTaskPipeline(model)(TEXTS)
    assert model.tokenizer.backend_tokenizer.padding is None


def test_long_texts_are_made_tokens_in_pieces_and_cut_ones_counted_in_all(model, monkeypatch, caplog):
    read, call = [], type(model.tokenizer).__call__

    def watched(self, texts, **kwargs):
        read.append(len(texts))
        return call(self, texts, **kwargs)

    texts = ["good " * 100, "bad " * 50, "no " * 90, "film", "a", "b"]
    whole = model.encode(texts)
    monkeypatch.setattr("hf_multitask.modeling.reading.PIECE", 300)
    monkeypatch.setattr(type(model.tokenizer), "__call__", watched)
    caplog.clear()
    np.testing.assert_array_equal(model.encode(texts), whole)
    assert read == [1, 1, 4]
    assert "2 of 6 texts are longer than the 64 tokens" in caplog.text


def test_a_single_text_has_a_single_vector_and_no_text_none(model):
    assert model.encode("good").shape == (16,)
    assert model.encode([]).shape == (0, 16)
    np.testing.assert_allclose(model.encode("good"), model.encode(["good"])[0])


def test_vectors_are_normalised_as_the_configuration_says_unless_asked_otherwise(model):
    plain = model.encode(TEXTS)
    model.config.normalize = True
    unit = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS), unit, atol=1e-6)
    np.testing.assert_allclose(model.encode(TEXTS, normalize=False), plain, atol=1e-6)
    cut = plain[:, :4] / np.linalg.norm(plain[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS, normalize=True, truncate_dim=4), cut, atol=1e-6)
    np.testing.assert_allclose(model.encode(TEXTS, truncate_dim=4), unit[:, :4], atol=1e-6)


def test_a_prompt_stands_before_the_text(model):
    model.config.prompts = {"query": "song ", "passage": "film "}
    np.testing.assert_allclose(model.encode("good", prompt_name="query"), model.encode("song good"), atol=1e-6)
    model.config.default_prompt_name = "passage"
    np.testing.assert_allclose(model.encode("good"), model.encode("good", prompt_name="passage"))
    with pytest.raises(ValueError, match=r"prompt_name must be one of \['query', 'passage'\], found 'other'"):
        model.encode("good", prompt_name="other")


def test_embedding_leaves_the_model_in_its_mode(tokenizer):
    model = tiny_bert(hidden_dropout_prob=0.5).train()
    model.tokenizer = tokenizer
    assert (model.encode("good film") == model.encode("good film")).all()
    assert model.training


def test_a_thread_that_is_done_leaves_the_model_as_another_needs_it():
    model, entered, may_leave = tiny_bert().train(), Event(), Event()

    def read():
        with evaluating(model):
            entered.set()
            may_leave.wait(timeout=60)

    other = Thread(target=read)
    other.start()
    assert entered.wait(timeout=60)
    with evaluating(model):
        pass
    assert not model.training
    may_leave.set()
    other.join()
    assert model.training


def test_a_progress_bar_is_shown_when_asked_for(model, capfd, monkeypatch):
    model.encode(TEXTS, show_progress_bar=False)
    assert "Embedding" not in capfd.readouterr().err
    monkeypatch.setattr(logging, "_tqdm_active", True)  # progress bars are off in all tests
    model.encode(TEXTS, show_progress_bar=True)
    assert "Embedding" in capfd.readouterr().err


def test_long_and_empty_texts_are_said(caplog):
    model = tiny_bert()
    model.tokenizer = make_tokenizer()
    model.tokenizer.model_max_length = 4
    cut, short, _ = model.encode(["good film song", "good film", ""])
    np.testing.assert_allclose(cut, short, atol=1e-6)
    assert caplog.messages == [
        "1 of 3 texts are empty, or have an empty part; their answers mean little",
        "1 of 3 texts are longer than the 4 tokens that are read of a text",
    ]


@pytest.mark.parametrize("texts", [[("a", "b")], [None], [3]])
def test_only_strings_are_embedded(model, texts):
    with pytest.raises(ValueError, match="A text to embed must be a string, found"):
        model.encode(texts)


def test_a_model_built_in_code_asks_for_its_tokenizer():
    with pytest.raises(ValueError, match=r"The model must know its tokenizer, found none.*Set model.tokenizer ="):
        tiny_bert().encode("good")


def test_a_loaded_model_knows_its_tokenizer(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert loaded.tokenizer.model_max_length == 64
    np.testing.assert_allclose(loaded.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_a_model_from_a_relative_folder_knows_its_tokenizer_from_elsewhere(
    model, backbone_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    (folder / "README.md").write_text("A card.", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    loaded = MultiTaskModel.from_pretrained("model")
    shutil.copytree(backbone_folder, "backbone")
    new = MultiTaskModel.from_backbone("backbone", tasks=TASKS)
    monkeypatch.chdir("/")
    assert loaded.tokenizer.model_max_length == new.tokenizer.model_max_length == 64
    assert loaded.card == "A card."


@pytest.mark.parametrize("texts", [{"text": ["good"], "label": [1]}, Dataset.from_dict({"text": ["good"]})[:1]])
def test_columns_are_refused_and_not_their_names_embedded(model, texts):
    with pytest.raises(ValueError, match="Texts must be a list of strings, found a mapping with"):
        model.encode(texts)


def test_a_layouts_length_is_kept_within_the_encoders_positions(tmp_path):
    config = RobertaConfig(**tiny_bert_config().to_dict() | {"max_position_embeddings": 14, "pad_token_id": 1})
    folder = backbone(tmp_path, **{"sentence_bert_config.json": {"max_seq_length": 14}})
    RobertaModel(config).save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(tmp_path)
    model = MultiTaskModel.from_backbone(folder, tasks=TASKS)
    assert model.tokenizer.model_max_length == 12
    assert model.encode("good " * 40).shape == (16,)


def test_weights_that_accelerate_keeps_elsewhere_embed_alike(model):
    expected = model.encode(TEXTS)
    cpu_offload(model, execution_device=torch.device("cpu"))
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)


def test_the_users_own_autocast_counts_where_performance_is_off_alone(model):
    exact = model.encode(TEXTS)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.encode(TEXTS, performance="off")
        assert (model.encode(TEXTS) == exact).all()
    assert 1e-5 < abs(found - model.encode(TEXTS, performance="off")).max() < 0.1


def test_weights_in_float16_are_served_by_auto(model, monkeypatch):
    monkeypatch.setattr(inference, "choose", lambda *_: Choices(bf16=True))
    assert np.isfinite(model.half().encode(TEXTS, performance="auto")).all()


def test_a_folder_without_a_tokenizer_says_so(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="There must be a tokenizer beside a model's weights"):
        MultiTaskModel.from_pretrained(tmp_path).encode("good")


def test_a_tokenizer_that_the_user_saved_is_left_alone_until_the_model_has_one_in_use(backbone_folder, tmp_path):
    own = make_tokenizer()
    own.add_tokens(["extra"])
    own.save_pretrained(tmp_path)
    model = MultiTaskModel.from_backbone(backbone_folder, tasks=TASKS)
    model.save_pretrained(tmp_path)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == len(own)
    model.encode("good")
    model.save_pretrained(tmp_path)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == len(own) - 1


def test_a_tokenizer_of_another_model_in_the_folder_is_warned_of(backbone_folder, tmp_path, caplog):
    own = make_tokenizer()
    vocabulary = own.get_vocab()
    places = {word: len(vocabulary) - 1 - place for word, place in vocabulary.items()}
    Tokenizer(models.WordPiece(places, unk_token="[UNK]")).save(str(tmp_path / "other.json"))
    PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "other.json")).save_pretrained(tmp_path)
    MultiTaskModel.from_backbone(backbone_folder, tasks=TASKS).save_pretrained(tmp_path)
    assert "found another vocabulary" in caplog.text


def test_a_model_whose_tokenizer_is_gone_is_saved_and_that_is_said(backbone_folder, tmp_path, caplog):
    shutil.copytree(backbone_folder, tmp_path / "source")
    model = MultiTaskModel.from_backbone(str(tmp_path / "source"), tasks=TASKS)
    shutil.rmtree(tmp_path / "source")
    model.save_pretrained(tmp_path / "saved")
    assert "No tokenizer is saved in" in caplog.messages[0]
    assert MultiTaskModel.from_pretrained(tmp_path / "saved").config.tasks == model.config.tasks


@pytest.mark.parametrize("how", [((False,), {}), ((), {"is_main_process": False})], ids=["by place", "by name"])
def test_only_the_main_process_writes_and_uploads(model, tmp_path, monkeypatch, how):
    monkeypatch.setattr(model, "push_to_hub", lambda *args, **kwargs: pytest.fail("another process uploads"))
    args, options = how
    model.save_pretrained(tmp_path, *args, **options, push_to_hub=True)
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_not_shown(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert "hf_secret" not in repr(MultiTaskModel.from_pretrained(tmp_path, token="hf_secret").tokenizer_source)


def test_a_sentence_transformers_backbone_keeps_what_it_says_of_itself(tmp_path):
    files = {
        "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_cls_token": True},
        "sentence_bert_config.json": {"max_seq_length": 12},
        "config_sentence_transformers.json": {
            "prompts": {"query": "song ", "document": ""},
            "default_prompt_name": "query",
        },
    }
    folder = backbone(tmp_path, ("Transformer", "Pooling", "Normalize"), **files)
    model = MultiTaskModel.from_backbone(folder, tasks=TASKS)
    config = model.config
    assert (config.pooling, config.normalize, config.default_prompt_name) == ("cls", True, "query")
    assert config.prompts == {"query": "song ", "document": ""}
    assert model.tokenizer.model_max_length == 12
    model.save_pretrained(tmp_path / "saved")
    again = MultiTaskModel.from_pretrained(tmp_path / "saved")
    keys = ("pooling", "normalize", "prompts", "default_prompt_name")
    assert [getattr(again.config, key) for key in keys] == [getattr(config, key) for key in keys]
    assert again.tokenizer.model_max_length == 12
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "ours"),
    [
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["max"]}, "max"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({}, "mean"),
    ],
)
def test_every_pooling_that_there_is_is_kept(tmp_path, pooling, ours):
    assert read_layout(backbone(tmp_path, **{"1_Pooling/config.json": pooling})).pooling == ours


@pytest.mark.parametrize(
    ("modules", "pooling", "found"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "mean, Dense"),
        (("custom.Transformer", "Pooling"), {}, "mean, custom.Transformer"),
        (("Transformer", "Pooling"), {"pooling_mode": ["cls", "max"]}, r"cls\+max"),
        (("Transformer", "Pooling"), {"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        (("Transformer", "Pooling"), {"pooling_mode": "weightedmean"}, "weightedmean"),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode": "mean", "include_prompt": False},
            "mean without the prompt's tokens",
        ),
    ],
)
def test_another_way_to_embed_is_refused_unless_a_pooling_is_named(tmp_path, modules, pooling, found):
    folder = backbone(tmp_path, modules, **{"1_Pooling/config.json": pooling})
    with pytest.raises(ValueError, match=f"must be made by one pooling of .* found {found}.*Name one to use"):
        MultiTaskModel.from_backbone(folder, tasks=TASKS)
    assert MultiTaskModel.from_backbone(folder, tasks=TASKS, pooling="max").config.pooling == "max"


def test_an_encoder_in_a_folder_of_its_own_is_found(tmp_path):
    folder = backbone(
        tmp_path, path="0_Transformer", **{"0_Transformer/sentence_bert_config.json": {"max_seq_length": 9}}
    )
    model = MultiTaskModel.from_backbone(folder, tasks=TASKS)
    assert model.tokenizer.model_max_length == 9
    assert model.encode("good").shape == (16,)


def test_a_default_prompt_may_be_empty(tmp_path):
    prompting = {"prompts": {"query": "song ", "document": ""}, "default_prompt_name": "document"}
    folder = backbone(tmp_path, **{"config_sentence_transformers.json": prompting})
    model = MultiTaskModel.from_backbone(folder, tasks=TASKS)
    np.testing.assert_allclose(model.encode("good"), model.encode("good", prompt_name="document"))
    assert np.abs(model.encode("good") - model.encode("good", prompt_name="query")).max() > 1e-3


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": 9}}, 9),
        ({"sentence_roberta_config.json": {"max_seq_length": 9}}, 9),
        ({"sentence_bert_config.json": {"module_output_name": "token_embeddings"}}, 64),
    ],
    ids=["as ever", "in an old file", "as since version 6, by the tokenizer"],
)
def test_the_length_that_a_checkpoint_reads_is_kept(tmp_path, files, limit):
    assert read_layout(backbone(tmp_path, **files)).max_length == limit


def test_no_more_is_read_than_the_encoder_can_where_the_tokenizer_knows_no_limit(tmp_path):
    BertModel(tiny_bert_config(max_position_embeddings=20)).save_pretrained(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(tmp_path)
    model = MultiTaskModel.from_backbone(str(tmp_path), tasks=TASKS)
    np.testing.assert_allclose(model.encode("good " * 40), model.encode("good " * 18), atol=1e-6)


def test_an_encoder_by_itself_has_no_layout(tmp_path):
    BertModel(tiny_bert_config()).save_pretrained(tmp_path)
    assert read_layout(str(tmp_path)) == Layout()
    assert read_layout(str(tmp_path), "cls") == Layout(pooling="cls")


def test_a_default_prompt_must_be_one_of_the_prompts():
    with pytest.raises(ValueError, match=r"default_prompt_name must be one of the prompts \[\], found 'query'"):
        MultiTaskConfig(tiny_bert_config(), TASKS, default_prompt_name="query")


def test_an_encoder_that_lowers_its_texts_is_refused_unless_a_pooling_is_named(tmp_path):
    folder = backbone(tmp_path, **{"sentence_bert_config.json": {"max_seq_length": 9, "do_lower_case": True}})
    with pytest.raises(ValueError, match="found mean, lower case"):
        MultiTaskModel.from_backbone(folder, tasks=TASKS)
    assert MultiTaskModel.from_backbone(folder, tasks=TASKS, pooling="mean").config.pooling == "mean"


def test_texts_to_embed_may_come_from_anywhere(model):
    np.testing.assert_array_equal(model.encode(text for text in TEXTS), model.encode(TEXTS))


def test_other_weights_than_the_models_are_not_pushed(model, tmp_path):
    with pytest.raises(ValueError, match="push_to_hub=True must stand without state_dict"):
        model.save_pretrained(tmp_path / "saved", push_to_hub=True, state_dict=model.state_dict())
    assert not (tmp_path / "saved").exists()
