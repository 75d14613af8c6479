"""A flag changes exactly the value it names, whatever the file says; an unknown one is refused."""

from pathlib import Path

import pytest

from hf_multitask.settings.command_line import apply_flags, parse_command_line

FILE = """\
backbone: x
pooling: mean
tasks:
  topic: {labels: [a, b], loss_weight: 1}
datasets:
  news: {path: news.csv, text: text, targets: {topic: topic}}
training:
  seed: 1
  learning_rate: 1e-5
"""
TRAINING_KEYS = ["seed", "learning_rate", "freeze", "bf16", "output_dir", "run_name"]


def flagged(*words: str) -> dict:
    """What `words` change in an empty configuration."""
    return apply_flags({}, words, TRAINING_KEYS)


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "run.yaml").write_text(FILE)
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (["--pooling", "cls"], {"pooling": "cls"}),
        (["--pooling=cls"], {"pooling": "cls"}),
        (["--learning_rate", "5e-5"], {"training": {"learning_rate": 5e-5}}),
        (["--learning-rate=5e-5"], {"training": {"learning_rate": 5e-5}}),
        (["--learning_rate", "-1"], {"training": {"learning_rate": -1}}),
        (["--training.seed", "7"], {"training": {"seed": 7}}),
        (["--tasks.topic.loss_weight", "2"], {"tasks": {"topic": {"loss_weight": 2}}}),
        (["--tasks.topic.labels", "yes", "no"], {"tasks": {"topic": {"labels": ["yes", "no"]}}}),
        (["--tasks.topic.labels", "[yes, no]"], {"tasks": {"topic": {"labels": ["yes", "no"]}}}),
        (["--freeze", "embeddings", "layers.0"], {"training": {"freeze": ["embeddings", "layers.0"]}}),
        (["--bf16"], {"training": {"bf16": True}}),
        (["--bf16", "--seed", "2"], {"training": {"bf16": True, "seed": 2}}),
        (["--overwrite-output-dir"], {"overwrite_output_dir": True}),
        (["--output_dir=a=b"], {"training": {"output_dir": "a=b"}}),
        (["--seed", "1", "--seed", "2"], {"training": {"seed": 2}}),
        (["--datasets.news.path", "my #1/set: a"], {"datasets": {"news": {"path": "my #1/set: a"}}}),
        (
            ["--tasks.topic.description", "Is it: #5 # really"],
            {"tasks": {"topic": {"description": "Is it: #5 # really"}}},
        ),
        (["--tasks.topic.labels", "C #", "C# #1"], {"tasks": {"topic": {"labels": ["C #", "C# #1"]}}}),
        (["--tasks.topic.labels", "['C #', b]"], {"tasks": {"topic": {"labels": ["C #", "b"]}}}),
        (["--datasets.news.revision", "null"], {"datasets": {"news": {"revision": None}}}),
        (["--datasets.news.targets.path", "[a, b]"], {"datasets": {"news": {"targets": {"path": ["a", "b"]}}}}),
    ],
)
def test_a_flag_sets_the_value_it_names(words, change):
    assert flagged(*words) == change


def test_a_flag_for_one_task_leaves_the_others_of_the_targets(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("backbone: x\ndatasets:\n  news: {path: a.csv, text: t, targets: {topic: x, mood: y}}\n")
    settings = parse_command_line([str(path), "--tasks.topic.loss_weight", "2"], None, TRAINING_KEYS)
    assert {name: task.loss_weight for name, task in settings.tasks.items()} == {"topic": 2, "mood": 1}


@pytest.mark.parametrize("flag", ["--datasets.news.targets.tone=y", "--datasets.news.targets={tone: y}"])
def test_a_flag_for_targets_names_the_tasks_where_the_file_has_none(tmp_path, flag):
    path = tmp_path / "run.yaml"
    path.write_text("backbone: x\ndatasets:\n  news: {path: a.csv, text: t, targets: {topic: x}}\n")
    settings = parse_command_line([str(path), flag, "--tasks.tone.loss_weight=2"], None, TRAINING_KEYS)
    assert settings.tasks.keys() == settings.datasets["news"].targets.keys()
    assert settings.tasks["tone"].loss_weight == 2


def test_a_flag_overrides_the_file_and_nothing_else(file):
    before = parse_command_line([str(file)], file, TRAINING_KEYS).to_dict()
    after = parse_command_line(
        [str(file), "--learning_rate", "3e-4", "--tasks.topic.loss_weight=2", "--pooling", "max"], file, TRAINING_KEYS
    ).to_dict()
    before["training"]["learning_rate"] = 3e-4
    before["tasks"]["topic"]["loss_weight"] = 2
    before["pooling"] = "max"
    assert after == before


def test_flags_leave_the_configuration_they_are_given_alone():
    config = {"training": {"seed": 1}}
    apply_flags(config, ["--seed", "2"], TRAINING_KEYS)
    assert config == {"training": {"seed": 1}}


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--lerning_rate", "learning_rate"), ("--poolign", "pooling"), ("--datasetss.news.path", "datasets")],
)
def test_an_unknown_flag_is_refused_with_the_nearest_known_one(flag, nearest):
    with pytest.raises(ValueError, match=f"command line: every key must be known, found .* Did you mean '{nearest}'"):
        flagged(flag, "1")


def test_an_unknown_key_below_a_dotted_flag_is_refused_with_the_nearest_known_one(file):
    with pytest.raises(ValueError, match=r"tasks\.topic: .*found 'loss_wieght'\. Did you mean 'loss_weight'"):
        parse_command_line([str(file), "--tasks.topic.loss_wieght", "2"], file, TRAINING_KEYS)


def test_a_flag_of_the_wrong_type_is_refused(file):
    with pytest.raises(ValueError, match=r"max_length must be int \| None, found 'long'"):
        parse_command_line([str(file), "--max_length", "long"], file, TRAINING_KEYS)


def test_a_value_that_is_no_yaml_is_refused_with_its_flag():
    with pytest.raises(ValueError, match=r"--pooling, line 1: .* must be valid YAML"):
        flagged("--pooling", "[cls")


def test_a_second_file_is_refused():
    with pytest.raises(ValueError, match=r"at most one configuration file, and then flags, found 'b\.yaml'\. Remove"):
        flagged("b.yaml", "--seed", "1")


def test_without_a_file_the_default_is_used(file):
    assert parse_command_line(["--seed", "5"], file, TRAINING_KEYS).training["seed"] == 5


def test_relative_datasets_are_looked_for_beside_the_file(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert parse_command_line(["run.yaml"], Path("other.yaml"), TRAINING_KEYS).folder == str(file.parent.resolve())


@pytest.mark.parametrize(
    "text", ["I love this #film", "Breaking: the dam holds", "[x] done", '"Quoted" said the man', "1e5"]
)
def test_free_text_is_taken_as_it_stands(text):
    assert flagged("--sample_texts", text) == {"sample_texts": [text]}
    assert flagged("--output_dir", text) == {"training": {"output_dir": text}}
