"""The command line tells its commands, and how a wrong one is wrong."""

import contextlib
import subprocess
import sys

import pytest
from test_command_predict import HERE, refused

from hf_multitask.__main__ import COMMANDS, main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the command must be one of train, evaluate, predict, embed, export, info, found none"),
        (("predit",), "found predit"),
        (("predict", "folder"), "the following arguments are required: INPUT, OUTPUT"),
        (("predict", "a", "b", "c", "--topk", "3"), "unrecognized arguments: --topk 3"),
        (("predict", "a", "b", "c", "--top_k", "0"), "must be a whole number and at least 1, found 0"),
        (("embed", "a", "b", "c", "--batch_size", "many"), "must be a whole number and at least 1, found many"),
    ],
)
def test_wrong_words_end_with_the_usage_and_code_2(capsys, words, message):
    found = refused(capsys, *words, code=2)
    assert message in found
    assert "usage: " in found


def test_help_names_every_command(capsys):
    main(["--help"])
    told = capsys.readouterr().out
    assert all(f"\n  {command} " in told for command in COMMANDS)


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "embed", "info"])
def test_every_command_has_help(capsys, command):
    with contextlib.suppress(SystemExit):  # argparse's own, with code 0
        main([command, "--help"])
    assert f"hf_multitask {command}" in capsys.readouterr().out


def test_train_passes_its_words_on(capsys):
    assert "The configuration nothing.yaml must be a readable UTF-8 file" in refused(capsys, "train", "nothing.yaml")


@pytest.mark.parametrize("words", [("info", "nothing"), ("export", "nothing", "out")])
def test_what_is_not_shared_is_done_by_the_first_of_several_processes_alone(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "1")
    main(words)
    assert not any(capsys.readouterr())
    monkeypatch.setenv("RANK", "0")
    assert refused(capsys, *words), "it does look for the checkpoint"


def test_an_installed_package_has_the_command():
    text = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.scripts]\nhf-multitask = "{main.__module__}:{main.__name__}"\n' in text


@pytest.mark.slow
def test_an_error_is_one_line_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "hf_multitask", "predict", str(tmp_path), "rows.csv", "out.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: A checkpoint must have a config.json")
    assert done.stderr.count("\n") == 1
