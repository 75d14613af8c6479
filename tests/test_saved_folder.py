"""What lies in a folder where a model is saved: nothing of a user's is lost, and nothing spoils the model."""

import logging

import pytest
import torch
from conftest import TASKS, make_tokenizer, tiny_bert
from test_trainer import trainer
from transformers import AutoModel

from hf_multitask import MultiTaskModel
from hf_multitask.modeling import saved_folder
from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training.adapters import add_lora, merge

CODE = "def loss(): ...\n"


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[2, 3, 4]])).logits["topic"]


@pytest.mark.parametrize("save", ["model", "configuration", "trainer"])
def test_code_of_a_user_is_not_replaced_by_the_models(tmp_path, tokenizer, save):
    (tmp_path / "losses.py").write_text(CODE)
    (tmp_path / "notes.py").write_text(CODE)
    model = tiny_bert()
    begin = {
        "model": lambda: model.save_pretrained(tmp_path),
        "configuration": lambda: model.config.save_pretrained(tmp_path),
        "trainer": lambda: trainer(tmp_path, tokenizer, model).train(),
    }[save]
    with pytest.raises(ValueError, match=r"must have no other code .*, found \['losses.py'\]"):
        begin()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses.py", "notes.py"]
    assert (tmp_path / "losses.py").read_text() == CODE


def test_code_of_an_earlier_save_is_replaced(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    (tmp_path / "losses.py").write_text("# of an earlier release\n")
    tiny_bert().save_pretrained(tmp_path)
    assert "earlier release" not in (tmp_path / "losses.py").read_text()


def test_code_that_a_save_left_which_was_cut_off_is_no_users(tmp_path):
    tiny_bert().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    tiny_bert().save_pretrained(tmp_path)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks
@pytest.mark.parametrize("how", [MultiTaskModel, AutoModel])
def test_a_whole_model_is_not_spoilt_by_adapters_that_lay_there(tmp_path, caplog, how):
    adapted = add_lora(tiny_bert(), LoraSettings())
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    adapted.save_pretrained(tmp_path)
    before = (tmp_path / "adapter_model.safetensors").read_bytes()
    merged = merge(adapted)
    with caplog.at_level(logging.WARNING):
        merged.save_pretrained(tmp_path)
    assert f"They were moved to {tmp_path / 'adapters'}" in caplog.text
    assert (tmp_path / "adapters" / "adapter_model.safetensors").read_bytes() == before
    torch.testing.assert_close(logits(how.from_pretrained(tmp_path)), logits(merged))


def test_adapters_are_put_where_none_are(tmp_path):
    for number in range(3):
        (tmp_path / "adapter_config.json").write_text(str(number))
        saved_folder.put_adapters_aside(tmp_path)
    for number, name in enumerate(("adapters", "adapters-2", "adapters-3")):
        assert (tmp_path / name / "adapter_config.json").read_text() == str(number)


@pytest.mark.parametrize("place", [".", "onnx"])
def test_a_graph_of_the_model_before_is_warned_about(tmp_path, caplog, place):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / saved_folder.EXPORT).write_text("{}")
    tiny_bert().save_pretrained(tmp_path)
    assert f"The ONNX graph in {tmp_path / place} is of the model before. Export it anew" in caplog.text


@pytest.mark.parametrize(("spoil", "part"), [("length", "length"), ("case", "normalizer"), ("split", "pre tokenizer")])
def test_a_tokenizer_that_reads_texts_otherwise_is_warned_about(tmp_path, caplog, spoil, part):
    model = tiny_bert(tasks=TASKS)
    model.tokenizer = make_tokenizer()
    model.save_pretrained(tmp_path / "new")
    other = make_tokenizer()
    if spoil == "length":
        other.model_max_length = 4
    elif spoil == "case":
        from tokenizers.normalizers import Lowercase

        other.backend_tokenizer.normalizer = Lowercase()
    else:
        from tokenizers.pre_tokenizers import WhitespaceSplit

        other.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    other.save_pretrained(tmp_path / "old")
    MultiTaskModel.from_pretrained(tmp_path / "new").save_pretrained(tmp_path / "old")
    assert f"must read texts as this model's does, found another {part}, as of another model" in caplog.text


def test_the_same_tokenizer_is_silence(tmp_path, caplog):
    model = tiny_bert(tasks=TASKS)
    model.tokenizer = make_tokenizer()
    for _ in range(2):
        model.save_pretrained(tmp_path / "new")
        model = MultiTaskModel.from_pretrained(tmp_path / "new")
    model.save_pretrained(tmp_path / "old")
    MultiTaskModel.from_pretrained(tmp_path / "new").save_pretrained(tmp_path / "old")
    assert not caplog.records
