"""The code of a card runs as it stands, against a saved model."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import tiny_bert
from records import TASKS, record

from hf_multitask.publishing.model_card import render_model_card

KINDS = sorted({task.problem_type for task in TASKS})


def block(run, what):
    """The block of Python in the run's card that has `what` in it."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", render_model_card(run), re.DOTALL) if what in code)
    return found


def tasks_of(kind):
    return [task for task in TASKS if task.problem_type == kind]


@pytest.fixture
def folder(tmp_path, tokenizer):
    """Saves a tiny model with some tasks and its tokenizer, and tells where."""

    def save(tasks):
        tiny_bert(tasks=tasks).save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


def execute(code, folder, placeholder="..."):
    exec(code.replace(f'"{placeholder}"', repr(str(folder))), {})


def test_the_code_for_tensors_runs_for_every_kind_of_task(folder, capsys):
    execute(block(record(), "AutoModel"), folder(TASKS))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [task.name for task in TASKS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_for_tensors_shows_what_its_kinds_of_task_need_and_no_more(kind):
    code = block(record(tasks=tasks_of(kind)), "AutoModel")
    assert ("model.probabilities(" in code) == (kind not in ("regression", "similarity"))
    assert ("in the units" in code) == (kind == "regression")
    assert ("pair_input_ids" in code) == (kind == "similarity")
    compile(code, "card", "exec")


@pytest.mark.parametrize("tasks", [TASKS, *([task] for task in TASKS)], ids=lambda tasks: tasks[0].name)
def test_the_code_for_answers_runs(folder, capsys, tasks):
    saved = folder(tasks)
    pairs = [task.name for task in tasks if not task.has_head]
    execute(block(record(tasks=tasks, pair_tasks=pairs), "pipeline("), saved)
    answered = [task.name for task in tasks if task.has_head] or pairs  # a pair is shown where all tasks need one
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == answered


@pytest.mark.slow
def test_the_code_for_embeddings_runs_in_a_process_of_its_own(folder, tmp_path):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers opens the folder here")
    code = block(record(), "SentenceTransformer").replace('"..."', repr(str(folder(TASKS))))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("(2, 16) ")


@pytest.mark.slow
def test_the_command_and_the_code_for_onnx_run(folder, tmp_path, capsys):
    saved, run = folder(TASKS[:2]), record(tasks=TASKS[:2], pair_tasks=[])
    command = re.search(r"`python (-m hf_multitask export .*?)`", render_model_card(run))[1]
    words = [{"DIR": str(saved), "OUT": str(tmp_path / "onnx")}.get(word, word) for word in shlex.split(command)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    execute(block(run, "OnnxMultiTask"), tmp_path / "onnx", "OUT")
    told = capsys.readouterr().out
    assert all(task.name in told for task in TASKS[:2])


def test_adapters_alone_have_the_code_that_puts_them_on_the_encoder_and_no_other():
    text = render_model_card(record(adapters=True))
    assert "PeftModel.from_pretrained" in text
    for absent in ("import pipeline", "SentenceTransformer", "Onnx", "AutoModel."):
        assert absent not in text
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(code, "card", "exec")
