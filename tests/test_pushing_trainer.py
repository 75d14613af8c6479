"""What the Trainer uploads, and when: complete copies, with cards that tell the results so far."""

import json
from pathlib import Path

import pytest
from architectures import tiny_model
from conftest import full_disk, make_tokenizer, tiny_bert
from huggingface_hub import ModelCard
from test_trainer import rows, trainer
from transformers import Trainer, TrainerCallback

from hf_multitask import MultiTaskConfig, MultiTaskModel
from hf_multitask.modeling import hub
from hf_multitask.modeling.hub import MARK
from hf_multitask.settings.lora_settings import LoraSettings
from hf_multitask.training import pushing_trainer, staging
from hf_multitask.training.adapters import add_lora
from hf_multitask.training.checkpoints import what_is_missing
from hf_multitask.training.staging import remove_staged, stage_checkpoint, stage_folder

pytestmark = pytest.mark.filterwarnings("ignore:Cannot (enable|disable) progress bars")


class Hub:
    """Takes what is uploaded, in place of `upload_folder`; answers with the errors that it is given first."""

    def __init__(self):
        self.errors = []
        self.uploads = []

    def __call__(
        self, *, repo_id, folder_path, commit_message, path_in_repo, ignore_patterns, delete_patterns, **others
    ):
        if self.errors:
            raise self.errors.pop(0)
        folder = Path(folder_path)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.uploads.append((commit_message, path_in_repo, files, ignore_patterns, delete_patterns))
        return "uploaded"

    def titles(self):
        return [(title, place) for title, place, *_ in self.uploads]


@pytest.fixture
def uploads(monkeypatch):
    found = Hub()
    monkeypatch.setattr(pushing_trainer, "upload_folder", found)
    monkeypatch.setattr(pushing_trainer, "_has_own_card", lambda **_: False)
    monkeypatch.setattr(hub, "WAITS", (0.0,))

    def init_hf_repo(job, token=None, private=None):
        job.hub_model_id, job.push_in_progress = "someone/model", None

    monkeypatch.setattr(Trainer, "init_hf_repo", init_hf_repo)
    return found


def pushing(folder, tokenizer, model=None, **arguments):
    """A trainer of 8 steps that saves, evaluates and pushes at the fourth and the last."""
    values = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "push_to_hub": True,
        "hub_always_push": True,
    }
    return trainer(folder, tokenizer, model, rows(), **values | arguments)


FIRST, LAST = "Training in progress, step 4", "Training in progress, step 8"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("end", []),
        ("every_save", [(FIRST, None), (LAST, None)]),
        (
            "checkpoint",
            [
                (FIRST, None),
                (f"{FIRST}, checkpoint", "last-checkpoint"),
                (LAST, None),
                (f"{LAST}, checkpoint", "last-checkpoint"),
            ],
        ),
        (
            "all_checkpoints",
            [
                (FIRST, None),
                (f"{FIRST}, checkpoint", "checkpoint-4"),
                (LAST, None),
                (f"{LAST}, checkpoint", "checkpoint-8"),
            ],
        ),
    ],
)
def test_a_strategy_says_what_is_pushed_during_training(tmp_path, tokenizer, uploads, strategy, expected):
    pushing(tmp_path, tokenizer, hub_strategy=strategy).train()
    assert uploads.titles() == expected


def test_a_push_of_a_checkpoint_is_its_model_and_no_state_of_the_training(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "events").write_text("curves")
    (tmp_path / "skipped_rows.csv").write_text("rows of the user")
    job.train()
    _, _, files, *_ = uploads.uploads[0]
    checkpoint = {path.name: path.read_bytes() for path in (tmp_path / "checkpoint-4").iterdir() if path.is_file()}
    state = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "complete.json", "data_order.json"}
    state |= {"parameter_groups.json"}
    assert files.keys() == (checkpoint.keys() - state) | {"README.md", "runs/events"}
    assert all(files[name] == content for name, content in checkpoint.items() if name in files)


def test_a_pushed_checkpoint_can_be_resumed_from(tmp_path, tokenizer, uploads):
    pushing(tmp_path / "a", tokenizer, hub_strategy="checkpoint").train()
    for name, content in uploads.uploads[1][2].items():
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).write_bytes(content)
    assert what_is_missing(tmp_path / "b") is None


def test_nothing_of_a_push_stays_in_the_runs_folder(tmp_path, tokenizer, uploads):
    pushing(tmp_path, tokenizer).train()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}


def test_the_card_of_a_checkpoint_tells_the_results_at_its_step(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer)
    job.train()
    log = [line for line in job.state.log_history if "eval_loss" in line]
    assert [line["step"] for line in log] == [4, 8]
    for (_, _, files, *_), line in zip(uploads.uploads, log, strict=True):
        text = files["README.md"].decode()
        assert f"this is step {line['step']} of 8, with the scores of step {line['step']}." in text
        found = {(r.task_name, r.metric_type): r.metric_value for r in ModelCard(text).data.eval_results}
        assert {task for task, _ in found} == {"topic", "sentiment"}
        for (task, metric), value in found.items():
            assert value == pytest.approx(line[f"eval_{task}_{metric}"], abs=5e-5)


def test_a_card_before_the_first_evaluation_tells_no_scores(tmp_path, tokenizer, uploads):
    pushing(tmp_path, tokenizer, eval_strategy="no").train()
    text = uploads.uploads[0][2]["README.md"].decode()
    assert "this is step 4 of 8." in text
    assert not ModelCard(text).data.eval_results


def test_the_last_push_tells_the_results_of_the_best_weights_where_those_are_loaded(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer, load_best_model_at_end=True, metric_for_best_model="eval_loss")
    job.train()
    assert "best checkpoint by the validation metric" not in uploads.uploads[-1][2]["README.md"].decode()
    job.state.best_global_step = 4
    last = next(line for line in job.state.log_history if line["step"] == 8 and "eval_loss" in line)
    last["eval_topic_accuracy"] = 0.987654
    job.state.log_history += [{"step": 8, "test_loss": 1.0, "test_topic_accuracy": 0.123456}]
    job.push_to_hub()
    text = (tmp_path / "README.md").read_text()
    assert "under way" not in text
    assert "The best checkpoint by the validation metric `eval_loss`" in text
    assert "0.9877" not in text
    assert "0.1235" in text


def test_what_a_trainer_writes_for_a_card_is_renewed_and_what_somebody_wrote_is_kept(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer)
    readme = tmp_path / "README.md"
    job.create_model_card()
    before = readme.read_text()
    job.train()
    job.create_model_card(license="mit", tags="mine", language="en", finetuned_from="someone/bert", model_name="ours")
    after = ModelCard(readme.read_text())
    assert not ModelCard(before).data.eval_results
    assert {result.task_name for result in after.data.eval_results} == {"topic", "sentiment"}
    assert (after.data.license, after.data.language, after.data.base_model) == ("mit", "en", "someone/bert")
    assert "mine" in after.data.tags
    assert after.data.model_name == "ours"
    readme.write_text(readme.read_text().replace(hub.MARK, "").replace("One text encoder", "My text encoder"))
    job.push_to_hub()
    assert "My text encoder" in uploads.uploads[-1][2]["README.md"].decode()


def test_somebodys_card_is_pushed_with_checkpoints_too(tmp_path, tokenizer, uploads):
    (tmp_path / "README.md").write_text("mine")
    pushing(tmp_path, tokenizer).train()
    assert uploads.uploads[0][2]["README.md"] == b"mine"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks
def test_a_push_of_adapters_has_our_card_and_says_how_to_put_them_on_their_encoder(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer, add_lora(tiny_bert(), LoraSettings()))
    job.train()
    job.push_to_hub()
    for _, _, files, _, stale in uploads.uploads:
        assert {"adapter_model.safetensors", "adapter_config.json", "config.json"} <= files.keys()
        assert "PeftModel.from_pretrained" in files["README.md"].decode()
        assert "model.safetensors" in stale
    assert not (tmp_path / "checkpoint-4" / "README.md").exists()


def test_the_last_push_leaves_out_checkpoints_rows_and_comparisons(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer, hub_strategy="end")
    job.train()
    assert job.push_to_hub(commit_message="Done") == "uploaded"
    ((title, place, files, left_out, stale),) = uploads.uploads
    assert (title, place) == ("Done", None)
    assert left_out == ["_*", "checkpoint-*", "skipped_rows.csv", "transfer", "transfer/*"]
    assert {"adapter_config.json", "model-*-of-*.safetensors"} <= set(stale)
    assert "model.safetensors" in files


def test_a_push_in_the_background_is_a_copy(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer, hub_strategy="end")
    job.train()
    (tmp_path / "skipped_rows.csv").write_text("rows of the user")
    assert job.push_to_hub(blocking=False).result() == "uploaded"
    files = uploads.uploads[0][2]
    assert "model.safetensors" in files
    assert not [name for name in files if name.startswith(("checkpoint-", "_", "skipped"))]
    assert not list(tmp_path.glob("_push-*"))


def test_a_push_that_fails_is_warned_about_and_training_goes_on(tmp_path, tokenizer, uploads, caplog):
    uploads.errors = [PermissionError("403 Forbidden"), RuntimeError("a bug somewhere")]
    job = pushing(tmp_path, tokenizer, num_train_epochs=3)
    job.train()
    assert job.state.global_step == 12
    assert uploads.titles() == [("Training in progress, step 12", None)]
    assert f"found: 403 Forbidden. Training goes on, and {tmp_path / 'checkpoint-4'} is complete." in caplog.text
    assert "a bug somewhere" in caplog.text
    assert not list(tmp_path.glob("_push-*"))


def test_without_room_for_a_copy_training_goes_on(tmp_path, tokenizer, uploads, caplog, monkeypatch):
    monkeypatch.setattr(staging.os, "link", full_disk)
    monkeypatch.setattr(staging.shutil, "copy2", full_disk)
    job = pushing(tmp_path, tokenizer)
    job.train()
    assert job.state.global_step == 8
    assert not uploads.uploads
    assert "checkpoint-4 is not pushed, found: [Errno 28] No space left on device" in caplog.text
    assert not list(tmp_path.glob("_push-*"))


def test_a_last_push_that_fails_tells_how_to_push_later(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path / "a run", tokenizer, hub_strategy="end")
    job.train()
    uploads.errors = [PermissionError("403 Forbidden")]
    with pytest.raises(OSError, match="^The Hub must take what is pushed, found: 403 Forbidden. The run is saved in "):
        job.push_to_hub()
    assert (tmp_path / "a run" / "model.safetensors").exists()
    assert (tmp_path / "a run" / "README.md").exists()


def test_while_a_push_runs_the_next_is_left_out_unless_all_are_wanted(tmp_path, tokenizer, uploads):
    class Running:
        def is_done(self):
            return False

        def wait_until_done(self):
            pass

    class Push(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            job.push_in_progress = Running()

    job = pushing(tmp_path, tokenizer, hub_always_push=False)
    job.add_callback(Push())
    job.train()
    assert not uploads.uploads


def test_the_copy_of_a_checkpoint_needs_no_room_and_outlives_it(tmp_path):
    checkpoint = tmp_path / "checkpoint-4"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_text("weights")
    staged = stage_checkpoint(checkpoint, ["model.safetensors"], "card", whole=True)
    copies = [staged / part / "model.safetensors" for part in ("model", "checkpoint")]
    assert all(copy.samefile(checkpoint / "model.safetensors") for copy in copies)
    (checkpoint / "model.safetensors").unlink()
    assert [copy.read_text() for copy in copies] == ["weights"] * 2
    assert (staged / "model" / "README.md").read_text() == "card"


def test_where_there_are_no_links_the_copy_is_one(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(staging.os, "link", refuse)
    checkpoint = tmp_path / "checkpoint-4"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_text("weights")
    staged = stage_checkpoint(checkpoint, ["model.safetensors"], "card", whole=False)
    assert (staged / "model" / "model.safetensors").read_text() == "weights"
    assert not (staged / "checkpoint").exists()


def test_what_a_killed_push_left_is_removed_when_training_begins_again(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer)
    (tmp_path / "_push-checkpoint-2" / "model").mkdir(parents=True)
    job.train()
    assert not list(tmp_path.glob("_push-*"))


def test_only_copies_are_removed(tmp_path):
    for name in ("_push-all", "checkpoint-4", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "file").write_text("kept")
    remove_staged(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "mine"}
    assert (stage_folder(tmp_path) / "mine" / "file").read_text() == "kept"


def test_after_training_the_model_has_the_card_of_its_results(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer, eval_strategy="epoch")
    job.train()
    assert {result.task_name for result in ModelCard(job.model.card).data.eval_results} == {"topic", "sentiment"}
    job.model.add_task({"name": "urgent", "labels": ["no", "yes"]})
    assert job.model.card == ""


def test_a_card_that_a_user_set_is_kept_by_training(tmp_path, tokenizer):
    job = trainer(tmp_path, tokenizer)
    job.model.card = "# mine\n"
    for _ in range(2):
        job.train()
        assert job.model.card == "# mine\n"


@pytest.mark.parametrize("text", ["", "# as of the run before\n"])
def test_a_card_of_ours_or_of_where_the_model_came_from_is_written_anew(tmp_path, tokenizer, text):
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "README.md").write_text(text)
    tiny_bert().save_pretrained(tmp_path / "before")
    model = MultiTaskModel.from_pretrained(tmp_path / "before")
    assert model.card == text
    job = trainer(tmp_path / "run", tokenizer, model)
    cards = []
    for epochs in (1, 2):
        job.args.num_train_epochs = epochs
        job.train()
        cards.append(model.card)
    assert MARK in cards[0]
    assert MARK in cards[1]
    assert cards[0] != cards[1]


def test_a_loaded_model_has_the_card_that_lies_beside_it(tmp_path, tokenizer):
    model = tiny_bert()
    model.save_pretrained(tmp_path)
    assert type(model).from_pretrained(tmp_path).card == ""
    (tmp_path / "README.md").write_text("# mine\n")
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.card == "# mine\n"
    loaded.card = "another"
    assert loaded.card == "another"


def test_pushed_arguments_hold_no_token(tmp_path, tokenizer, uploads):
    job = pushing(tmp_path, tokenizer, hub_token="hf_secret", hub_strategy="checkpoint")
    job.train()
    job.push_to_hub()
    for _, _, files, *_ in uploads.uploads:
        assert not [name for name, content in files.items() if b"hf_secret" in content]
    assert json.loads(job.args.to_json_string())["hub_token"] != "hf_secret"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks
def test_the_card_of_adapters_on_a_model_with_tasks_puts_them_on_that_model(tmp_path, tokenizer, uploads):
    from peft import PeftModel

    start = tiny_bert(initializer_range=0.5)
    start.save_pretrained(tmp_path / "start")
    adapted = add_lora(MultiTaskModel.from_pretrained(tmp_path / "start"), LoraSettings())
    job = pushing(tmp_path / "run", tokenizer, adapted)
    job.train()
    job.push_to_hub()
    card = uploads.uploads[-1][2]["README.md"].decode()
    assert 'MultiTaskModel.from_pretrained("start", config=config)' in card
    assert "from_backbone" not in card
    config = MultiTaskConfig.from_pretrained(tmp_path / "run")
    base = MultiTaskModel.from_pretrained(tmp_path / "start", config=config)
    inputs = tokenizer(["good film"], return_tensors="pt")
    expected = job.model.eval()(**inputs).logits
    for task, found in PeftModel.from_pretrained(base, tmp_path / "run").eval()(**inputs).logits.items():
        assert found.equal(expected[task])


def test_a_card_tells_no_length_that_nobody_reads_to(tmp_path, tokenizer, uploads):
    unlimited = make_tokenizer()
    unlimited.model_max_length = 10**30
    job = pushing(tmp_path, unlimited, tiny_model("modernbert"))
    job.create_model_card()
    assert "Reads at most" not in (tmp_path / "README.md").read_text()


def test_the_card_of_a_private_origin_is_read_with_the_token_that_opened_it(tmp_path, tokenizer, uploads, monkeypatch):
    pushing(tmp_path, tokenizer).save_model()
    model = MultiTaskModel.from_pretrained(tmp_path, token="hf_secret", local_files_only=True)
    asked = {}

    def cached_file(name, file, **where):
        asked.update(where)
        raise OSError

    monkeypatch.setattr(hub, "cached_file", cached_file)
    assert model.card == ""
    assert asked == {"token": "hf_secret", "local_files_only": True}


def test_an_encoder_of_a_local_folder_is_told_as_one_from_another_folder_too(tmp_path, tokenizer, uploads, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    backbone = tiny_bert().backbone
    backbone.save_pretrained(tmp_path / "mine" / "encoder")
    monkeypatch.chdir(tmp_path)
    model = MultiTaskModel.from_backbone("mine/encoder", tasks=tiny_bert().config.tasks)
    monkeypatch.chdir(tmp_path / "elsewhere")
    job = pushing(tmp_path / "run", tokenizer, model)
    job.create_model_card()
    assert ModelCard.load(tmp_path / "run" / "README.md").data.base_model is None
    job.save_model()
    assert "mine" not in (tmp_path / "run" / "config.json").read_text()
