"""The model: every logit always, exact losses, and nothing that padding can change."""

import pytest
import torch
from conftest import TASKS, tiny_bert
from transformers import AutoModel, BertModel

from hf_multitask import MultiTaskModel, MultiTaskOutput

LABELS = {"topic": torch.tensor([0, 2, -100]), "sentiment": torch.tensor([1, -100, -100])}


def inputs(length=6):
    mask_BL = torch.ones(3, length, dtype=torch.int64)
    mask_BL[1, 4:] = 0
    mask_BL[2, 2:] = 0
    return {"input_ids": torch.randint(4, 32, (3, length)), "attention_mask": mask_BL}


def test_a_forward_pass_returns_every_task_and_the_embedding(model):
    output = model(**inputs())
    assert isinstance(output, MultiTaskOutput)
    assert {name: values.shape for name, values in output.logits.items()} == {"topic": (3, 3), "sentiment": (3, 2)}
    assert output.sentence_embedding.shape == (3, 16)
    assert output.loss is None
    assert output.losses is None


def test_the_total_loss_is_the_sum_of_the_tasks_losses(model):
    output = model(**inputs(), labels=LABELS)
    torch.testing.assert_close(output.loss, output.losses["topic"] + output.losses["sentiment"])


def test_loss_weights_weigh_the_sum():
    model = tiny_bert(tasks=[{**TASKS[0], "loss_weight": 2.0}, {**TASKS[1], "loss_weight": 0.25}])
    output = model(**inputs(), labels=LABELS)
    torch.testing.assert_close(output.loss, 2 * output.losses["topic"] + 0.25 * output.losses["sentiment"])


def test_labels_for_some_of_the_tasks_are_enough(model):
    output = model(**inputs(), labels={"topic": LABELS["topic"]})
    assert list(output.losses) == ["topic"]


def test_a_batch_without_any_label_has_loss_zero(model):
    assert model(**inputs(), labels={"topic": torch.full((3,), -100)}).loss.item() == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(3), "must be a mapping from task to tensor, found Tensor"),
        ({"topik": LABELS["topic"]}, "must name the model's tasks .*, found \\['topik'\\]"),
    ],
)
def test_wrong_labels_are_refused(model, labels, message):
    with pytest.raises(ValueError, match=message):
        model(**inputs(), labels=labels)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_a_text_alone_and_in_a_padded_batch_has_the_same_logits(pooling):
    model = tiny_bert(pooling=pooling)
    batch = inputs()
    together = model(**batch).logits
    alone = model(input_ids=batch["input_ids"][1:2, :4]).logits
    for name in together:
        torch.testing.assert_close(together[name][1:2], alone[name], rtol=1e-5, atol=1e-6)


def test_padding_tokens_get_no_gradient(model):
    batch = inputs()
    embeds_BLD = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    output = model(inputs_embeds=embeds_BLD, attention_mask=batch["attention_mask"], labels=LABELS)
    output.loss.backward()
    padding = batch["attention_mask"] == 0
    assert torch.equal(embeds_BLD.grad[padding], torch.zeros(int(padding.sum()), 16))


def test_the_head_of_a_task_without_labels_gets_no_gradient(model):
    model(**inputs(), labels={**LABELS, "sentiment": torch.full((3,), -100)}).loss.backward()
    assert model.heads["sentiment"].weight.grad is None
    assert model.heads["topic"].weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_all_padding_row_survives_half_precision(dtype):
    model = tiny_bert().to(dtype)
    batch = inputs()
    batch["attention_mask"][2] = 0
    output = model(**batch)
    assert output.sentence_embedding.dtype == dtype
    assert all(values[:2].isfinite().all() for values in output.logits.values())
    assert output.sentence_embedding[2].abs().sum() == 0


def test_from_backbone_keeps_the_backbone_bit_for_bit(backbone_folder):
    model = MultiTaskModel.from_backbone(backbone_folder, tasks=TASKS)
    reference = BertModel.from_pretrained(backbone_folder).state_dict()
    found = model.backbone.state_dict()
    assert found.keys() == reference.keys()
    assert all(torch.equal(found[name], reference[name]) for name in reference)


def test_from_backbone_uses_the_padding_mask(backbone_folder):
    model = MultiTaskModel.from_backbone(backbone_folder, tasks=TASKS)
    reference = AutoModel.from_pretrained(backbone_folder)
    batch = inputs()
    hidden_BLD = reference(**batch).last_hidden_state
    output = model(**batch, output_hidden_states=True)
    assert torch.equal(output.hidden_states[-1], hidden_BLD)


def test_from_backbone_checks_the_tasks_before_it_loads_weights(tmp_path, backbone_folder):
    with pytest.raises(ValueError, match="at least two labels"):
        MultiTaskModel.from_backbone(backbone_folder, tasks=[{"name": "a", "labels": ["x"]}])


def test_from_backbone_tells_how_to_name_a_packaged_one():
    with pytest.raises(ValueError, match=r"Pass hf_multitask.resolve_backbone\('packaged:all-MiniLM-L6-v2'\)"):
        MultiTaskModel.from_backbone("packaged:all-MiniLM-L6-v2", tasks=TASKS)


def test_what_nothing_reads_is_frozen_in_a_new_and_in_a_loaded_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    for candidate in (model, MultiTaskModel.from_pretrained(tmp_path)):
        frozen = {name for name, parameter in candidate.named_parameters() if not parameter.requires_grad}
        assert frozen == {"backbone.pooler.dense.weight", "backbone.pooler.dense.bias"}


def test_a_save_and_a_load_keep_every_logit_bit_for_bit(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    batch = inputs()
    assert type(loaded) is MultiTaskModel
    assert all(
        torch.equal(loaded(**batch).logits[name], model(**batch).logits[name]) for name in ("topic", "sentiment")
    )


def test_an_added_task_leaves_the_others_bit_equal_and_is_saved(model, tmp_path):
    batch = inputs()
    before = model(**batch).logits
    model.add_task({"name": "urgent", "labels": ["no", "yes"]})
    after = model(**batch).logits
    assert list(after) == ["topic", "sentiment", "urgent"]
    assert all(torch.equal(after[name], before[name]) for name in before)
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModel.from_pretrained(tmp_path)(**batch).logits["urgent"], after["urgent"])


def test_an_added_head_starts_like_the_models_own(model):
    model.add_task({"name": "big", "labels": [str(index) for index in range(500)]})
    assert model.heads["big"].weight.std().item() == pytest.approx(model.config.text_config.initializer_range, rel=0.1)
    assert model.heads["big"].bias.abs().sum() == 0


def test_an_added_head_has_the_models_dtype(model):
    model.bfloat16().add_task({"name": "urgent", "labels": ["no", "yes"]})
    assert model.heads["urgent"].weight.dtype == torch.bfloat16


@pytest.mark.parametrize("training", [True, False])
def test_a_new_head_is_in_the_mode_of_its_model(model, training):
    model.train(training).add_task({"name": "urgent", "labels": ["no", "yes"], "head": {"dropout": 0.5}})
    assert {module.training for module in model.modules()} == {training}


def test_a_removed_task_leaves_the_others_bit_equal(model):
    batch = inputs()
    before = model(**batch).logits["sentiment"]
    model.remove_task("topic")
    after = model(**batch).logits
    assert list(after) == ["sentiment"]
    assert torch.equal(after["sentiment"], before)


def test_an_unknown_or_the_last_task_cannot_be_removed(model):
    with pytest.raises(ValueError, match="must be one of .*, found 'topik'"):
        model.remove_task("topik")
    model.remove_task("topic")
    with pytest.raises(ValueError, match="at least one task"):
        model.remove_task("sentiment")
    assert [task.name for task in model.config.tasks] == ["sentiment"]
    assert list(model.heads) == ["sentiment"]


def test_a_duplicate_task_cannot_be_added(model):
    with pytest.raises(ValueError, match="name of its own"):
        model.add_task(TASKS[0])
    assert list(model.heads) == ["topic", "sentiment"]


def test_resizing_the_vocabulary_survives_a_save(model, tmp_path):
    model.resize_token_embeddings(40)
    model.save_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path).get_input_embeddings().num_embeddings == 40


def test_the_return_value_can_be_a_tuple(model):
    loss, logits, *_ = model(**inputs(), labels=LABELS, return_dict=False)
    assert loss.ndim == 0
    assert list(logits) == ["topic", "sentiment"]


def test_attentions_and_hidden_states_come_when_asked_for():
    model = tiny_bert()
    model.set_attn_implementation("eager")
    output = model(**inputs(), output_attentions=True, output_hidden_states=True)
    assert len(output.attentions) == 2
    assert len(output.hidden_states) == 3


def test_attentions_and_hidden_states_may_be_asked_for_when_a_checkpoint_is_opened(model, tmp_path):
    model.save_pretrained(tmp_path)
    wanted = {"output_attentions": True, "output_hidden_states": True}
    loaded = MultiTaskModel.from_pretrained(tmp_path, attn_implementation="eager", **wanted)
    assert len(loaded(**inputs()).attentions) == 2
    assert len(loaded(**inputs()).hidden_states) == 3
    assert loaded(**inputs(), output_hidden_states=False).hidden_states is None


def test_the_token_embeddings_that_are_pooled_come_where_nothing_is_learned(model):
    batch = inputs()
    output, mask_BL1 = model(**batch), batch["attention_mask"][..., None]
    expected_BD = (output.last_hidden_state * mask_BL1).sum(1) / mask_BL1.sum(1)
    torch.testing.assert_close(output.sentence_embedding, expected_BD)
    assert model(**batch, labels=LABELS).last_hidden_state is None


def test_a_multi_task_checkpoint_is_no_backbone(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must be a bare encoder, found a multi-task model"):
        MultiTaskModel.from_backbone(str(tmp_path), tasks=TASKS)


def test_a_wrong_override_at_loading_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pooling must be one of"):
        MultiTaskModel.from_pretrained(tmp_path, pooling="median")


def test_tasks_can_be_told_otherwise_at_loading(model, tmp_path):
    model.save_pretrained(tmp_path)
    renamed = {"name": "topic", "labels": ["a", "b", "c"], "temperature": 2.0}
    loaded = MultiTaskModel.from_pretrained(tmp_path, tasks=[renamed])
    assert list(loaded.heads) == ["topic"]
    assert loaded.config.task("topic").temperature == 2
    assert torch.equal(loaded.heads["topic"].weight, model.heads["topic"].weight)
