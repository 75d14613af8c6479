"""A frozen encoder: each text is encoded once, and training learns the same."""

import json

import pytest
import torch
from conftest import TASKS, tiny_bert
from datasets import Dataset
from processes import launch
from test_trainer import fresh, rows, trainer
from transformers import TrainerCallback

from hf_multitask.data.collation import MultiTaskCollator
from hf_multitask.data.mixing import Mixture
from hf_multitask.data.tokenization import tokenize
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.training.distillation import teach
from hf_multitask.training.frozen import embed_rows, reads_only_embeddings

SETTINGS = {"per_device_train_batch_size": 4, "train_sampling_strategy": "random"}


def frozen(model):
    model.backbone.requires_grad_(False)
    return model


def embedded(model, tokenizer, data, batch_size=4):
    tokenised = tokenize(Dataset.from_list(data), tokenizer, 32)
    return embed_rows(model, tokenised, MultiTaskCollator(tokenizer, model.config.tasks), batch_size)


def count_texts(model):
    """The list to which the number of texts of every call of the encoder will be added."""
    texts = []
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: texts.append(len(kwargs.get("input_ids", ()))), with_kwargs=True
    )
    return texts


def test_the_embeddings_are_those_of_the_model_in_the_order_of_the_rows(tokenizer):
    model, data = tiny_bert(), rows(11)
    found = embedded(model, tokenizer, data)
    for row, source in zip(found, data, strict=True):
        alone = model(**tokenizer([source["text"]], return_tensors="pt")).sentence_embedding[0]
        torch.testing.assert_close(torch.tensor(row["sentence_embedding"]), alone.detach(), rtol=1e-5, atol=1e-6)


def test_targets_lengths_and_origins_stay_and_tokens_go(tokenizer):
    data = [row | {"row": f"row {index} of a.csv"} for index, row in enumerate(rows(5))]
    found = embedded(tiny_bert(), tokenizer, data)
    assert set(found.column_names) == {"targets", "length", "row", "sentence_embedding"}
    tokenised = tokenize(Dataset.from_list(data), tokenizer, 32)
    for name in ("targets", "length", "row"):
        assert found[name][:] == tokenised[name][:]


def test_answers_of_another_model_stay(tokenizer):
    model = tiny_bert()
    tokenised = tokenize(Dataset.from_list(rows(5)), tokenizer, 32)
    collate = MultiTaskCollator(tokenizer, model.config.tasks)
    taught = teach(tiny_bert(), tokenised, model.config.tasks, collate, 2)
    assert embed_rows(model, taught, collate, 2)["teacher_logits"][:] == taught["teacher_logits"][:]


def test_rows_without_lengths_can_be_embedded(tokenizer):
    model, data = tiny_bert(), rows(5)
    collate = MultiTaskCollator(tokenizer, model.config.tasks)
    tokenised = tokenize(Dataset.from_list(data), tokenizer, 32)
    found = embed_rows(model, tokenised.remove_columns("length"), collate, 2)
    expected = embed_rows(model, tokenised, collate, 2)
    for one, other in zip(found, expected, strict=True):
        assert (one["sentence_embedding"] == other["sentence_embedding"]).all()


def test_texts_of_one_length_are_encoded_together_the_longest_first(tokenizer):
    model = tiny_bert()
    shapes = []
    model.backbone.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    embedded(model, tokenizer, rows(20))
    assert shapes == [(4, 8), (4, 7), (4, 6), (4, 5), (4, 4)]


def test_embedding_leaves_the_model_in_training_mode_but_drops_nothing(tokenizer):
    model = tiny_bert(hidden_dropout_prob=0.5)
    expected = embedded(model.eval(), tokenizer, rows(4))
    found = embedded(model.train(), tokenizer, rows(4))
    assert model.training
    assert [r["sentence_embedding"].tolist() for r in found] == [r["sentence_embedding"].tolist() for r in expected]


def train_on_texts(monkeypatch, job, **arguments):
    with monkeypatch.context() as patch:
        patch.setattr("hf_multitask.training.batching_trainer.reads_only_embeddings", lambda _model: False)
        job.train(**arguments)


def assert_equal(found, expected):
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_training_on_embeddings_ends_with_the_weights_of_training_on_texts_and_encodes_each_text_once(
    tmp_path,
    tokenizer,
    weights,
    monkeypatch,
):
    settings = SETTINGS | {"num_train_epochs": 3}
    expected = trainer(tmp_path / "a", tokenizer, frozen(fresh(weights)), **settings)
    train_on_texts(monkeypatch, expected)
    found = trainer(tmp_path / "b", tokenizer, frozen(fresh(weights)), **settings)
    found.eval_dataset = None
    texts = count_texts(found.model)
    found.train()
    assert sum(texts) == len(rows())
    assert_equal(found.model, expected.model)
    assert not torch.equal(found.model.heads["topic"].weight, weights["heads.topic.weight"])


def test_a_resumed_run_reads_the_embeddings_of_the_checkpoints_encoder(
    tmp_path,
    tokenizer,
    weights,
):
    settings = SETTINGS | {"num_train_epochs": 2, "save_strategy": "epoch"}
    unbroken = trainer(tmp_path / "a", tokenizer, frozen(fresh(weights)), **settings)
    unbroken.train()
    torch.manual_seed(7)
    resumed = trainer(tmp_path / "b", tokenizer, frozen(tiny_bert()), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-4"))
    assert_equal(resumed.model, unbroken.model)


def test_an_encoder_that_is_unfrozen_afterwards_is_trained(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, frozen(fresh(weights)))
    job.train()
    job.model.backbone.encoder.requires_grad_(True)
    job.optimizer = None  # it is of the heads alone
    job.train()
    name = "encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(job.model.backbone.state_dict()[name], weights[f"backbone.{name}"])


def test_workers_that_persist_do_not_keep_the_embeddings_of_a_run(tmp_path, tokenizer, weights):
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "eval_strategy": "epoch"}
    job = trainer(tmp_path, tokenizer, frozen(fresh(weights)), **workers)
    job.evaluate()
    job.train()
    with torch.no_grad():
        for parameter in job.model.backbone.encoder.parameters():
            parameter.mul_(-3.0)
    plain = trainer(tmp_path, tokenizer, job.model)
    assert job.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-6)


def test_a_look_at_the_batches_changes_nothing(tmp_path, tokenizer, weights):
    job = trainer(tmp_path, tokenizer, frozen(fresh(weights)))
    before = job.train_dataset, job.eval_dataset
    texts = count_texts(job.model)
    batch = next(iter(job.get_train_dataloader()))
    assert "input_ids" in batch
    assert job.train_dataset is before[0]
    assert job.eval_dataset is before[1]
    assert texts == []


class Looks(TrainerCallback):
    """Asks for the batches in every step."""

    def __init__(self, job):
        self.job = job

    def on_step_end(self, args, state, control, **kwargs):
        self.job.get_train_dataloader()


def test_a_look_at_the_batches_during_training_leaves_their_order(tmp_path, tokenizer, weights):
    settings = SETTINGS | {"num_train_epochs": 3}
    alone, watched = (trainer(tmp_path, tokenizer, fresh(weights), **settings) for _ in range(2))
    watched.add_callback(Looks(watched))
    for job in (alone, watched):
        job.train()
    for name, value in alone.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], value)


@pytest.mark.slow
def test_two_processes_share_the_texts_out_and_both_get_all_embeddings(tmp_path, tokenizer, weights):
    torch.save(weights, tmp_path / "weights.pt")
    launch(2, "frozen_job", tmp_path)
    found = [json.loads((tmp_path / f"embeddings-{rank}.json").read_text()) for rank in range(2)]
    assert [part["texts"] for part in found] == [6, 5]
    expected = embedded(fresh(weights), tokenizer, rows(11), batch_size=2)
    assert found[0]["embeddings"] == found[1]["embeddings"]
    torch.testing.assert_close(
        torch.tensor(found[0]["embeddings"]), torch.tensor(expected["sentence_embedding"][:]), rtol=1e-5, atol=1e-6
    )


def test_evaluation_on_embeddings_is_that_on_texts(tmp_path, tokenizer):
    model = tiny_bert()
    job = trainer(tmp_path, tokenizer, model)
    expected, found = job.evaluate(), job.evaluate(embedded(model, tokenizer, rows()))
    for key in ("eval_loss", "eval_topic_loss", "eval_sentiment_accuracy"):
        assert found[key] == pytest.approx(expected[key], rel=1e-5)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], True),
        ([{"name": "tone", "problem_type": "regression"}], True),
        ([{"name": "words", "problem_type": "token_classification", "labels": ["a", "b"]}], False),
        ([{"name": "alike", "problem_type": "similarity"}], False),
    ],
)
def test_only_tasks_that_read_one_texts_embedding_can_do_without_the_encoder(more, expected):
    assert reads_only_embeddings(frozen(tiny_bert(tasks=[*TASKS, *more]))) is expected


def test_an_encoder_with_a_trainable_layer_is_needed_in_every_step():
    model = frozen(tiny_bert())
    model.backbone.encoder.layer[1].requires_grad_(True)
    assert not reads_only_embeddings(model)


@pytest.mark.parametrize("setting", [{"train_sampling_strategy": "group_by_length"}, {"max_tokens_per_batch": 40}])
def test_rows_without_lengths_are_taken_by_their_lengths_all_the_same(
    tmp_path,
    tokenizer,
    weights,
    setting,
):
    models = [frozen(fresh(weights)) for _ in range(2)]
    for model, lengths in zip(models, (True, False), strict=True):
        job = trainer(tmp_path, tokenizer, model, rows(23), **SETTINGS | setting)
        if not lengths:
            job.train_dataset = Mixture({"train": job.eval_dataset.remove_columns("length")}, MixingSettings())
        job.train()
    assert_equal(models[1], models[0])


def test_a_collator_of_ones_own_reads_texts_of_a_frozen_encoder_too(tmp_path, tokenizer, weights, caplog):
    models = [frozen(fresh(weights)) for _ in range(2)]
    for model in models:
        job = trainer(tmp_path, tokenizer, model, rows(23), **SETTINGS, eval_strategy="epoch")
        if model is models[1]:
            known = job.data_collator
            job.data_collator = lambda batch, known=known: known([{**row, "targets": row["targets"]} for row in batch])
        with caplog.at_level("INFO", logger="hf_multitask"):
            job.train()
    assert_equal(models[1], models[0])
    assert "The encoder is frozen, but reads every text in every epoch: data_collator is your own" in caplog.text


@pytest.mark.parametrize("counted", ["all", "non_padding"])
def test_embeddings_are_counted_as_no_tokens_without_a_word(tmp_path, tokenizer, counted, caplog):
    job = trainer(tmp_path, tokenizer, frozen(tiny_bert()), include_num_input_tokens_seen=counted)
    job.train()
    assert job.state.num_input_tokens_seen == 0
    assert "number of tokens seen" not in caplog.text
