"""The record of a run says of it what is so."""

import json

import pytest
import torch
import yaml
from conftest import WORDS

from hf_multitask.commands.description import describe_run
from hf_multitask.commands.machine import device_name
from hf_multitask.commands.run import set_up
from hf_multitask.publishing.run_record import Machine


@pytest.fixture
def describe(tmp_path, monkeypatch, backbone_folder):
    """Sets up a run with a dataset of texts and one of pairs, and describes it."""
    monkeypatch.chdir(tmp_path)
    rows = [{"text": WORDS[i], "second": WORDS[-i], "topic": "ab"[i % 2], "same": "ny"[i % 2]} for i in range(12)]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"path": str(tmp_path), "data_files": {"train": "train.jsonl", "validation": "validation.jsonl"}}
    config = {
        "backbone": backbone_folder,
        "datasets": {
            "texts": {**files, "text": "text", "targets": {"topic": "topic"}},
            "pairs": {**files, "text": ["text", "second"], "targets": {"same": "same"}},
        },
    }

    def described(training=None, **values):
        training = {"output_dir": "output", "use_cpu": True, "save_strategy": "epoch", **(training or {})}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({**config, **values, "training": training}, sort_keys=False))
        run = set_up([str(tmp_path / "run.yaml")], None)
        return run, describe_run(run)

    return described


def test_a_record_has_what_the_user_says_for_the_card(describe):
    tasks = {"topic": {"description": "What it is about."}, "same": None}
    _, record = describe(license="Apache-2.0", language="en", tasks=tasks)
    assert (record.license, record.languages) == ("apache-2.0", ["en"])
    assert [task.description for task in record.tasks] == ["What it is about.", ""]
    _, record = describe(license=None)
    assert (record.license, record.languages) == (None, [])


def test_a_record_has_the_size_of_the_model(describe):
    run, record = describe(training={"freeze": "embeddings"})
    assert record.embedding_size == 16
    assert record.parameters == sum(parameter.numel() for parameter in run.trainer.model.parameters())
    learnt = sum(parameter.numel() for parameter in run.trainer.model.parameters() if parameter.requires_grad)
    assert sum(size for _, size, _, _ in record.groups) == learnt < record.parameters


def test_a_record_has_where_each_task_learns_from(describe, tmp_path):
    _, record = describe()
    assert record.task_datasets == {"topic": ["texts"], "same": ["pairs"]}
    assert record.pair_tasks == ["same"]
    assert (record.sources["texts"], record.hub_datasets, record.streamed) == (tmp_path.name, [], [])
    assert record.base_model_on_hub is False


def test_a_record_has_the_machine(describe):
    _, record = describe()
    assert record.machine == Machine(1, device_name(torch.device("cpu")), "float32")
    _, record = describe(training={"bf16": True})
    assert record.machine is not None
    assert record.machine.precision == "bfloat16 mixed with float32"


def test_a_device_without_a_name_is_called_by_its_kind(monkeypatch):
    torch.set_num_threads(2)
    assert device_name(torch.device("cpu")) == "CPU (2 threads)"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Some GPU {device.index}")
    assert device_name(torch.device("cuda", 1)) == "Some GPU 1"
    assert device_name(torch.device("mps")) == "MPS"
