"""A run that is told to compare itself trains single-task models behind it, and says so in its card."""

import csv
import fnmatch
import json

import pytest
from conftest import WORDS

from hf_multitask.commands.run import set_up
from hf_multitask.commands.train import train
from hf_multitask.training.staging import KEPT_HERE
from hf_multitask.transfer import workbench

LABELS = {"topic": ("News", "Opinion", "Fun"), "mood": ("bad", "good")}


@pytest.fixture
def words(tmp_path, backbone_folder, monkeypatch):
    """A command line for a run on two datasets, with other values for some of its settings."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, labels in LABELS.items():
        (tmp_path / name).mkdir()
        for split, count in (("train", 24), ("test", 12)):
            with (tmp_path / name / f"{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["text", name])
                for i in range(count):
                    text = " ".join(WORDS[(i * 5 + k) % len(WORDS)] for k in range(2 + i % 5))
                    writer.writerow([text, labels[i % len(labels)]])

    def write(*flags, training=(), **values):
        arguments = {
            "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 8,
            "learning_rate": 3e-3,
            "num_train_epochs": 1,
            "save_strategy": "epoch",
            "use_cpu": True,
            "disable_tqdm": True,
            "report_to": "none",
        }
        config = {
            "backbone": backbone_folder,
            "datasets": {name: {"path": name, "text": "text", "targets": {name: name}} for name in LABELS},
            "compare_single_task": True,
            "compare_seeds": 1,
            "training": arguments | dict(training),
        }
        (tmp_path / "config.yaml").write_text(json.dumps(config | values))
        return [str(tmp_path / "config.yaml"), *flags]

    return write


def test_a_comparison_is_told_on_the_terminal_and_in_the_card_and_goes_on_where_it_was_killed(
    words, tmp_path, capsys, monkeypatch
):
    class Killed(BaseException):
        pass

    trained = []

    class Trainer(workbench.MultiTaskTrainer):
        def train(self, *args, **kwargs):
            trained.append(tuple(task.name for task in self.model.config.tasks))
            if len(trained) == 2 and "killed" not in trained:
                trained.append("killed")
                raise Killed
            return super().train(*args, **kwargs)

    monkeypatch.setattr(workbench, "MultiTaskTrainer", Trainer)
    with pytest.raises(Killed):
        train(words())
    card = tmp_path / "out" / "README.md"
    assert "### Does sharing help?" not in card.read_text()  # but there is a card
    train(words("--resume_from_checkpoint"))
    assert trained == [("topic",), ("mood",), "killed", ("mood",)]
    told = capsys.readouterr().out
    assert "Cannot be told apart" in told
    text = card.read_text()
    assert "### Does sharing help?" in text
    assert "the mean of 1 seed." in text
    assert "(figures/transfer.png)" in text
    assert "| training" in text.partition("### Does sharing help?")[2]
    assert {path.suffix for path in (tmp_path / "out" / "transfer").rglob("*")} == {".json", ".npz"}
    numbers = [json.loads(path.read_text())["numbers"] for path in (tmp_path / "out" / "transfer").glob("*.json")]
    assert all(found["training"] > 0 for found in numbers)
    assert not list((tmp_path / "out").glob("checkpoint-*/transfer"))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
def test_a_model_with_adapters_is_compared_with_others_that_have_them(words, tmp_path):
    train(words(lora={"rank": 2}))
    found = [json.loads(path.read_text()) for path in (tmp_path / "out" / "transfer").glob("*.json")]
    shared, *single = sorted((told["numbers"]["parameters"], told["tasks"]) for told in found)[::-1]
    assert shared[1] == ["topic", "mood"]
    assert [tasks for _, tasks in single] == [["topic"], ["mood"]]
    heads = {"topic": 3 * 17, "mood": 2 * 17}
    assert {shared[0] - sum(heads.values())} == {count - heads[tasks[0]] for count, tasks in single}


def test_what_compared_models_answered_is_not_uploaded():
    for path in ("transfer/topic_0_abc.npz", "transfer/topic_0_abc.json"):
        assert any(fnmatch.fnmatch(path, pattern) for pattern in KEPT_HERE)
    assert not any(fnmatch.fnmatch("figures/transfer.png", pattern) for pattern in KEPT_HERE)


def test_a_comparison_that_fails_leaves_the_run_whole_and_ends_with_the_reason(words, tmp_path, monkeypatch):
    def fail(run):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr("hf_multitask.commands.train.compare", fail)
    with pytest.raises(SystemExit, match="error: CUDA out of memory."):
        train(words())
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert (tmp_path / "out" / "README.md").is_file()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasets": {"mood": {"path": "mood/train.csv", "text": "text", "targets": {"mood": "mood"}}}}, "found none"),
        (
            {
                "datasets": {"mood": {"path": "mood", "text": "text", "targets": {"mood": "mood"}, "validation": 0.25}},
                "training": {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"},
            },
            "found 'steps'",
        ),
        (
            {"mixing": {"strategy": "weights", "weights": {"topic": 1, "mood": 0}}},
            "found no examples of 'mood' in the shared run",
        ),
    ],
    ids=["nothing to score", "evaluations by steps", "a task that is not trained on"],
)
def test_what_cannot_be_compared_is_refused_before_training(words, values, message):
    with pytest.raises(ValueError, match=f"compare.*{message}"):
        set_up(words(**values), None)
