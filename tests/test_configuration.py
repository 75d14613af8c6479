"""Configuration: what cannot be is refused, with what must hold, what was found and what to do."""

import json

import pytest
from conftest import TASKS, tiny_bert_config
from torch import nn
from transformers import AutoConfig, BertConfig, BertModel

from hf_multitask import MultiTaskConfig, MultiTaskModel, Task


def config(tasks=TASKS, **kwargs):
    return MultiTaskConfig(text_config=tiny_bert_config(), tasks=tasks, **kwargs)


def task(**overrides):
    return {"name": "topic", "labels": ["a", "b"], **overrides}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "at least one task, found none"),
        ([task(), task()], "name of its own, found \\['topic'\\]"),
        ([task(name="")], "non-empty string"),
        ([task(name="a.b")], "without dots"),
        ([task(labels=["a", "b", "a"])], "all be different, found \\['a'\\]"),
        ([task(labels=["a"])], "at least two labels, found \\['a'\\]"),
        ([task(labels="ab")], "must be a list of names, found 'ab'"),
        ([task(labels=["a", 1])], "must be a string, found 1 \\(int\\)"),
        ([task(loss_weight=-1.0)], "finite number >= 0, found -1.0"),
        ([task(loss_weight=float("nan"))], "finite number >= 0, found nan"),
        ([task(loss_weight=float("inf"))], "finite number >= 0, found inf"),
        ([task(loss_weight=True)], "finite number >= 0, found True"),
        ([task(loss_weight=0)], "loss_weight above 0"),
        ([task(problem_type="ranking")], "problem_type must be one of .*, found 'ranking'"),
        ([task(description=["What"])], "description must be a text, found \\['What'\\]"),
        ([task(color="red")], "keys must be among .*, found \\['color'\\]"),
        ([{"name": "topic"}], "at least two labels, found \\[\\]"),
        (["topic"], "must be described by a mapping"),
    ],
)
def test_an_impossible_task_is_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        config(tasks)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="must be one of .*'mean'.*, found 'median'"):
        config(pooling="median")


@pytest.mark.parametrize("text_config", [None, {"model_type": "no_such_model"}, {}])
def test_a_missing_or_unknown_backbone_is_refused(text_config):
    with pytest.raises(ValueError, match="must be the configuration of a backbone that transformers knows"):
        MultiTaskConfig(text_config=text_config, tasks=TASKS)


@pytest.mark.parametrize("name", [name for name in dir(nn.ModuleDict()) if not name.startswith("__")])
def test_every_name_that_a_module_dict_cannot_hold_is_refused_in_our_words(name):
    with pytest.raises(ValueError, match=f"Task '{name}': a task's name must be"):
        config([task(name=name)])


@pytest.mark.parametrize("name", ["gender_bias", "norm", "x_norm", "label", "a b", "naïve", "1", "loss", "heads"])
def test_an_unusual_but_possible_name_works(name):
    model = MultiTaskModel(config([task(name=name)]))
    assert list(model.heads) == [name]


def test_a_configuration_survives_json(tmp_path):
    tasks = [task(loss_weight=0.25), task(name="other", labels=["é", "ü"], description="Which?")]
    original = config(tasks, pooling="cls")
    original.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is MultiTaskConfig
    assert loaded.tasks == original.tasks
    assert loaded.tasks[0] == Task(name="topic", labels=("a", "b"), loss_weight=0.25)
    assert loaded.pooling == "cls"
    assert isinstance(loaded.text_config, BertConfig)
    assert loaded.text_config.hidden_size == 16


def test_a_configuration_takes_its_own_values_and_keeps_its_pipeline():
    config = MultiTaskConfig(text_config=tiny_bert_config(), tasks=TASKS)
    before = config.to_dict()
    config.update(before | {"custom_pipelines": {"multi-task": {}}})
    assert config.to_dict() == before
    assert list(config.custom_pipelines) == ["text-classification"]


def test_a_saved_configuration_holds_no_path_of_this_machine(backbone_folder, tmp_path):
    model = MultiTaskModel.from_backbone(backbone_folder, tasks=TASKS)
    model.config.save_pretrained(tmp_path)
    assert backbone_folder not in (tmp_path / "config.json").read_text()
    MultiTaskModel(model.config).save_pretrained(tmp_path)
    assert str(tmp_path) not in json.dumps(MultiTaskModel.from_pretrained(tmp_path).config.to_dict())


def test_a_backbone_from_the_hub_is_remembered_by_its_id(tmp_path):
    text_config = tiny_bert_config()
    text_config._name_or_path = "someone/some-bert"
    MultiTaskConfig(text_config=text_config, tasks=TASKS).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["text_config"]["_name_or_path"] == "someone/some-bert"


def test_a_saved_backbone_configuration_cannot_bring_code():
    text_config = tiny_bert_config().to_dict() | {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True}
    loaded = MultiTaskConfig(text_config=text_config, tasks=TASKS)
    assert not hasattr(loaded.text_config, "auto_map")
    assert not hasattr(loaded.text_config, "trust_remote_code")


def test_sharing_a_live_backbones_configuration_keeps_its_attention():
    backbone = BertModel(tiny_bert_config())
    before = backbone.config._attn_implementation
    shared = MultiTaskConfig(text_config=backbone.config, tasks=TASKS)
    assert before is not None
    assert shared.text_config is backbone.config
    assert backbone.config._attn_implementation == before == shared._attn_implementation
