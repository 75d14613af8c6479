"""A configuration means what it says, or is refused by a message that says where, what and what to do."""

import pytest

from hf_multitask import Head, Task
from hf_multitask.settings.mixing_settings import MixingSettings
from hf_multitask.settings.run_settings import RunSettings, TaskSettings
from hf_multitask.settings.yaml_file import parse_yaml, read_yaml

NEWS = {"path": "news.csv", "text": "text", "targets": {"topic": "topic"}}


def settings(**values) -> RunSettings:
    return RunSettings.from_dict({"backbone": "x", "datasets": {"news": NEWS}, **values})


def news(**values) -> dict:
    return {"news": {**NEWS, **values}}


def refusal(**values) -> str:
    """The message that refuses the configuration, in the one form: what must hold, what was found, what to do."""
    with pytest.raises(ValueError) as error:
        settings(**values)
    message = str(error.value)
    must, found, _ = message.partition("found")
    assert " must " in must
    assert found
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("values", "where", "nearest"),
    [
        ({"poling": "mean"}, "configuration:", "'pooling'"),
        ({"datasets": news(txet="text")}, "datasets.news:", "'text'"),
        ({"datasets": news(targets={"topc": "topic"}), "tasks": {"topic": {}}}, "datasets.news.targets:", "'topic'"),
        ({"datasets": news(splits={"validaton": "dev"})}, "datasets.news.splits:", "'validation'"),
        ({"datasets": news(data_files={"trian": "a.csv"})}, "datasets.news.data_files:", "'train'"),
        ({"tasks": {"topic": {"label": ["a", "b"]}}}, "tasks.topic:", "'labels'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(values, where, nearest):
    message = refusal(**values)
    assert message.startswith(where)
    assert f"Did you mean {nearest}?" in message


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"backbone": 3}, "backbone must be str | None, found 3"),
        ({"pooling": ["mean"]}, "pooling must be str | None, found ['mean']"),
        ({"max_length": "many"}, "max_length must be int | None, found 'many'"),
        ({"max_length": True}, "max_length must be int | None, found True"),
        ({"sample_texts": "Good."}, "sample_texts must be list[str] | None, found 'Good.'"),
        ({"license": 3}, "license must be str | None, found 3"),
        ({"language": True}, "language must be str | list[str] | None, found True"),
        ({"tasks": {"topic": {"description": ["What"]}}}, "tasks.topic.description must be str, found ['What']"),
        ({"overwrite_output_dir": "yes"}, "overwrite_output_dir must be bool, found 'yes'"),
        ({"training": [1]}, "training must be a mapping from names to settings, found [1]"),
        ({"datasets": ["news"]}, "datasets must be a mapping from names to settings, found ['news']"),
        ({"datasets": {"news": "news.csv"}}, "datasets.news must be a mapping"),
        ({"datasets": {1: NEWS}}, "datasets: every name must be a string, found 1"),
        ({"datasets": news(path=3)}, "datasets.news.path must be str | None, found 3"),
        ({"datasets": news(text=[1, 2])}, "datasets.news.text must be str | list[str], found [1, 2]"),
        (
            {"datasets": news(targets=["topic"])},
            "datasets.news.targets must be dict[str, str | list[str]], found ['topic']",
        ),
        (
            {"datasets": news(targets={"topic": None})},
            "datasets.news.targets must be dict[str, str | list[str]], found",
        ),
        ({"datasets": news(data_files=3)}, "datasets.news.data_files must be str | list[str] | dict"),
        ({"tasks": ["topic"]}, "tasks must be a mapping from names to settings, found ['topic']"),
        ({"tasks": {"topic": 0}}, "tasks.topic must be a mapping from names to settings, found 0"),
        ({"tasks": {"topic": {"labels": "a"}}}, "tasks.topic.labels must be list[str | int] | None, found 'a'"),
        ({"tasks": {"topic": {"labels": [1.0, 2.0]}}}, "tasks.topic.labels must be list[str | int] | None, found [1.0"),
        (
            {"tasks": {"topic": {"labels": [True, False]}}},
            "tasks.topic.labels must be list[str | int] | None, found [True, False]. If true and false are names, ",
        ),
        ({"tasks": {"topic": {"loss_weight": "2"}}}, "tasks.topic.loss_weight must be float | int, found '2'"),
        ({"tasks": {"topic": {"problem_type": 1}}}, "tasks.topic.problem_type must be str | None, found 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_at_its_place(values, start):
    assert refusal(**values).startswith(start)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"pooling": "men"}, "pooling must be one of ['mean', 'cls', 'max', 'last'], found 'men'"),
        ({"max_length": 2}, "max_length must be at least 3 tokens, found 2"),
        ({"datasets": {}}, "datasets: there must be at least one, found none"),
        ({"datasets": {"news": {"path": "news.csv", "targets": {"topic": "topic"}}}}, "found no ['text']"),
        ({"datasets": news(text=["a", "b", "c"])}, "datasets.news.text must be one column or two"),
        ({"datasets": news(targets={"topic": "text"})}, "topic must be no column of text, found 'text'. Name the"),
        ({"datasets": news(targets={})}, "datasets.news.targets: there must be at least one task"),
        ({"datasets": news(splits={"train": "a"}, data_files="a.csv")}, "one of splits and data_files must"),
        ({"tasks": {"topic": {}, "mood": {}}}, "Every task must have targets in a dataset, found none for ['mood']"),
        ({"tasks": {"topic": {"labels": ["a", "a"]}}}, "its labels must all be different, found ['a']"),
        ({"tasks": {"topic": {"labels": [1, "1"]}}}, "its labels must all be different, found ['1']"),
        ({"tasks": {"topic": {"loss_weight": -1}}}, "loss_weight must be a finite number >= 0, found -1"),
        ({"tasks": {"topic": {"loss_weight": 0}}}, "At least one task must have a loss_weight above 0"),
        ({"tasks": {"topic": {"problem_type": "ranking"}}}, "problem_type must be one of"),
        ({"datasets": news(targets={"a.b": "x"})}, "a task's name must be a non-empty string without dots"),
        ({"datasets": news(max_rows=0)}, "datasets.news.max_rows must be at least 1, found 0"),
        ({"datasets": news(validation=0.0)}, "must be shares above 0, and together below 1, found {'validation': 0.0}"),
        ({"datasets": news(validation=0.5, test=0.5)}, "must be shares above 0, and together below 1, found"),
        (
            {"datasets": news(targets={"topic": []})},
            "datasets.news.targets.topic must be a column, or a list of differ",
        ),
        (
            {"datasets": news(targets={"topic": ["a", "a"]})},
            "targets.topic must be a column, or a list of different ones",
        ),
        ({"compare_seeds": 0}, "compare_seeds must be at least 1, found 0"),
        ({"compare_seeds": 2}, "compare_seeds must be left out without compare_single_task, found 2"),
        ({"compare_pairs": True}, "compare_pairs must be left out without compare_single_task, found true"),
        (
            {"compare_single_task": True, "backbone": None, "from_checkpoint": "old"},
            "compare_single_task must be left out where from_checkpoint is given, found true",
        ),
        (
            {
                "compare_single_task": True,
                "datasets": news(streaming=True),
                "tasks": {"topic": {"problem_type": "single_label_classification", "labels": ["a", "b"]}},
            },
            "compare_single_task must be left out where datasets are streamed, found true and the streamed datasets "
            "['news']",
        ),
        ({"invalid_rows": "drop"}, "invalid_rows must be one of ['error', 'skip'], found 'drop'"),
        ({"license": "Apache License, Version 2.0"}, "license must be an SPDX identifier"),
        ({"language": "English"}, "language must be a code of ISO 639, or a list of them, found 'English'"),
        ({"language": ["en", "pt-br"]}, "language must be a code of ISO 639, or a list of them, found 'pt-br'"),
        ({"mixing": "random"}, "mixing.strategy must be one of"),
        ({"mixing": {"strategy": "weights", "weights": {"olds": 1}}}, "mixing.weights: every key must be known"),
        ({"tasks": {"topic": {"class_weights": {True: 2.0}}}}, "If true and false are names, write them in quotes"),
        ({"tasks": {"topic": {"class_weights": "equal"}}}, "tasks.topic.class_weights must be 'balanced', a list or"),
        ({"tasks": {"topic": {"labels": ["a", "b"], "class_weights": [1]}}}, "class_weights must be a list of 2"),
        ({"tasks": {"topic": {"labels": [1, 2], "class_weights": {3: 1}}}}, "class_weights must name labels"),
        ({"tasks": {"topic": {"head": {"depth": 3}}}}, "its keys must be among ['hidden', 'dropout'], found ['depth']"),
        ({"tasks": {"topic": {"score_range": [0, 5]}}}, "problem_type must be given beside score_range, found none"),
        (
            {"datasets": news(targets={"topic": ["a", "b"]}), "tasks": {"topic": {"problem_type": "ordinal"}}},
            "datasets.news.targets.topic must be one column for the problem_type 'ordinal', found ['a', 'b']",
        ),
        (
            {"tasks": {"topic": {"problem_type": "similarity"}}},
            "datasets.news.targets.topic: the problem_type 'similarity' must have 2 text columns, found ['text']",
        ),
        (
            {"datasets": news(text=["a", "b"]), "tasks": {"topic": {"problem_type": "token_classification"}}},
            "the problem_type 'token_classification' must have 1 text column, found ['a', 'b']",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(values, part):
    assert part in refusal(**values)


def test_all_settings_of_a_task_are_kept():
    values = {
        "problem_type": "ordinal",
        "labels": [1, 2],
        "class_weights": {2: 3},
        "label_smoothing": 0.1,
        "head": {"hidden": [8], "dropout": 0.1},
        "metrics": ["f1_macro"],
        "primary_metric": {"f1": 2},
        "description": "How many stars.",
    }
    task = Task.parse(settings(tasks={"topic": values}).tasks["topic"].described("topic", "ordinal", ["1", "2"]))
    assert task == Task(
        name="topic",
        problem_type="ordinal",
        labels=("1", "2"),
        class_weights=(1, 3),
        label_smoothing=0.1,
        head=Head(hidden=(8,), dropout=0.1),
        metrics=("f1_macro",),
        primary_metric="f1:2",
        description="How many stars.",
    )


@pytest.mark.parametrize(
    "task",
    [
        {"class_weights": [1, 2, 3]},
        {"class_weights": {"a": 2}},
        {"class_weights": "balanced"},
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification", "labels": ["a"]},
    ],
)
def test_what_only_the_data_will_tell_is_not_refused_early(task):
    assert settings(tasks={"topic": task}).tasks["topic"] == TaskSettings(**task)


@pytest.mark.parametrize(
    ("language", "codes"), [(None, []), ("en", ["en"]), ("no", ["no"]), (["en", "deu"], ["en", "deu"])]
)
def test_one_language_or_several_are_a_list_of_codes(language, codes):
    assert settings(language=language, license="Apache-2.0").languages == codes


def test_a_path_that_is_no_file_or_folder_is_a_hub_id(tmp_path):
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "news").touch()
    dataset = settings(datasets=news(path="someone/news")).datasets["news"]
    assert dataset.hub_id(tmp_path) is None
    assert dataset.hub_id(tmp_path / "someone") == "someone/news"
    assert settings(datasets={"news": {"text": "a", "targets": {"b": "b"}}}).datasets["news"].hub_id(tmp_path) is None


def test_mixing_is_a_strategy_or_its_settings():
    named = settings(mixing="uniform")
    assert named.mixing == settings(mixing={"strategy": "uniform"}).mixing == MixingSettings(strategy="uniform")
    assert settings().mixing == MixingSettings()


def test_both_forms_of_a_dataset_have_a_weight():
    pairs = {"path": "x", "text": ["a", "b"], "targets": {"mood": "mood", "alike": "score"}}
    values = {"datasets": {"pairs": pairs}, "tasks": {"mood": {}, "alike": {"problem_type": "similarity"}}}
    weights = {"pairs": 1, "pairs:similarity": 2}
    assert settings(**values, mixing={"strategy": "weights", "weights": weights}).mixing.weights == weights
    with pytest.raises(
        ValueError, match=r"must have a weight for every dataset, found none for \['pairs:similarity'\]"
    ):
        settings(**values, mixing={"strategy": "weights", "weights": {"pairs": 1}})


def test_a_missing_backbone_is_named():
    with pytest.raises(ValueError, match=r"One of backbone and from_checkpoint must be given, found neither"):
        RunSettings.from_dict({"datasets": {"news": NEWS}})


def test_tasks_left_out_are_those_of_the_datasets():
    both = settings(datasets={"a": NEWS, "b": {**NEWS, "targets": {"mood": "x", "topic": "y"}}})
    assert list(both.tasks) == ["topic", "mood"]


@pytest.mark.parametrize("key", ["tasks", "training", "max_length"])
def test_a_key_with_nothing_after_it_is_left_out(key):
    assert settings(**{key: None}) == settings()


def test_an_argument_of_training_with_nothing_after_it_is_left_out():
    assert settings(training={"seed": None, "max_steps": None, "num_train_epochs": 2}).training == {
        "num_train_epochs": 2
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("2.5", 2.5),
        ("-.5", -0.5),
        ("1e5", 100000.0),
        ("7", 7),
        ("-7", -7),
        ("[yes, no, on, off]", ["yes", "no", "on", "off"]),
        ("[true, False]", [True, False]),
        ("[null, ~]", [None, None]),
        ("[01, 1:30, 2020-01-01, 1_000]", ["01", "1:30", "2020-01-01", "1_000"]),
        ("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
    ],
)
def test_yaml_reads_a_scalar_as_people_mean_it(text, value):
    assert repr(parse_yaml(text, "x")) == repr(value)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "x:\n  a: 1\n  a: 1", "\n\n{a: 1, 'a': 2}"])
def test_a_duplicated_yaml_key_is_refused_with_its_line(text):
    with pytest.raises(ValueError, match=r"run\.yaml, line 3: .*must be valid YAML, found: the key 'a' a second time"):
        parse_yaml(text, "run.yaml")


@pytest.mark.parametrize(
    "text", ["a: [1", "a:\n\tb: 1", "? [a]\n: 1", "a: *b", "a: !!python/name:os.system", "a: \x01"]
)
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(
        ValueError, match=r"(?s)run\.yaml.*: the configuration must be valid YAML, found: .*Correct it\."
    ):
        parse_yaml(text, "run.yaml")


def test_a_configuration_file_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "run.yaml") == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"- 1", b"words"])
def test_a_configuration_file_without_a_mapping_is_refused(tmp_path, content):
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.yaml: the configuration must be a mapping, found"):
        read_yaml(tmp_path / "run.yaml")


@pytest.mark.parametrize("content", [None, b"a: \xff"])
def test_an_unreadable_configuration_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"The configuration .*run\.yaml must be a readable UTF-8 file, found: .*Check"
    ):
        read_yaml(tmp_path / "run.yaml")
