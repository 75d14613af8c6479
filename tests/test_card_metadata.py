"""The head of a card: what the Hub parses of it, and in the form that it takes."""

import math
import re

import pytest
from huggingface_hub import ModelCard
from records import METRICS, TASKS, record

from hf_multitask import Task
from hf_multitask.publishing.model_card import render_model_card

HUB_ID = re.compile(r"^(?:[A-Za-z0-9_-]+/)?[A-Za-z0-9_.-]+$")
"""What the Hub demands of the type of a dataset in a model-index; it refuses to take a card with any other."""


def card_of(**overrides):
    return ModelCard(render_model_card(record(**overrides)))


def test_the_model_index_has_every_metric_of_the_test_split_under_the_hubs_task_types():
    index = card_of().data.eval_results
    scores = record().results["test"]
    assert {(r.task_name, r.metric_type, r.metric_name): r.metric_value for r in index} == {
        (name, metric.name, metric.title): scores[f"test_{name}_{metric.name}"]
        for name, metrics in METRICS.items()
        for metric in metrics
    }
    kinds = {"places": "token-classification", "alike": "sentence-similarity"}
    assert {(r.task_name, r.task_type) for r in index} == {
        (task.name, kinds.get(task.name, "text-classification")) for task in TASKS
    }
    assert {r.dataset_split for r in index} == {"test"}


def test_the_model_index_names_the_datasets_of_each_task_in_words_that_the_hub_takes():
    found = {r.task_name: (r.dataset_type, r.dataset_name) for r in card_of().data.eval_results}
    assert found["mood"] == ("someone/films", "films")
    assert found["topic"] == ("news_folder_someone_films", "news + films")
    assert all(HUB_ID.match(kind) for kind, _ in found.values())


@pytest.mark.parametrize("source", ["a folder (new)", "données.csv", "表", "a/b"])
def test_the_name_of_a_local_dataset_is_no_hub_id(source):
    run = record(sources={"news": source, "films": source}, hub_datasets=[], task_datasets={"topic": ["news"]})
    for result in ModelCard(render_model_card(run)).data.eval_results:
        assert HUB_ID.match(result.dataset_type)
        assert "/" not in result.dataset_type


def test_a_score_that_is_no_number_is_in_the_table_and_not_in_the_index():
    card = card_of(tasks=TASKS[:1], results={"test": {"test_topic_f1_macro": math.nan, "test_topic_accuracy": 0.5}})
    assert [r.metric_type for r in card.data.eval_results] == ["accuracy"]
    row = next(line for line in card.text.partition("## Results")[2].splitlines() if line.startswith("| topic"))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["nan [0.1825, 0.1832]", "0.5000 [0.1839, 0.1846]"]


def test_the_header_has_what_the_user_gave_and_nothing_that_nobody_gave():
    data = card_of().data
    assert (data.license, data.language, data.datasets) == ("apache-2.0", ["en", "no"], ["someone/films"])
    data = card_of(license=None, languages=[], hub_datasets=[]).data
    assert (data.license, data.language, data.datasets) == (None, None, None)


def test_the_header_says_how_the_folder_opens():
    data = card_of().data
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-classification")
    assert {"sentence-transformers", "sentence-similarity", "hf_multitask"} <= set(data.tags)
    assert "feature-extraction" not in data.tags, (
        "that pipeline reads the first output, which is the logits of all tasks"
    )
    data = card_of(adapters=True).data
    assert data.library_name == "peft"
    assert "lora" in data.tags
    assert "sentence-transformers" not in data.tags


@pytest.mark.parametrize(
    ("task", "tag"),
    [(TASKS[4], "token-classification"), (TASKS[5], "text-classification"), (TASKS[6], "sentence-similarity")],
)
def test_the_pipeline_tag_is_that_of_the_only_kind_of_task(task: Task, tag):
    assert card_of(tasks=[task]).data.pipeline_tag == tag


@pytest.mark.parametrize(
    ("base_model", "told", "linked"),
    [
        ("someone/some-bert", None, True),
        ("someone/some-bert", True, True),
        ("bert-base-uncased", True, True),
        ("bert", None, False),
        ("my-folder", False, False),
    ],
)
def test_only_a_backbone_of_the_hub_is_linked(base_model, told, linked):
    card = card_of(base_model=base_model, base_model_on_hub=told)
    assert (f"huggingface.co/{base_model}" in card.text) is linked
    assert card.data.base_model == (base_model if linked else None)
