"""Model cards: the committed one is whole, and a rendered one tells what the run was."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from hf_multitask import Task
from hf_multitask.publishing.model_card import render_model_card
from hf_multitask.publishing.run_record import RunRecord

CARDS = Path(__file__).parents[1] / "model_cards"


def record(**overrides):
    tasks = [Task(name="topic", labels=("a", "b")), Task(name="mood", labels=("n", "p"), loss_weight=0.5)]
    values = {
        "name": "run",
        "base_model": "someone/some-bert",
        "pooling": "mean",
        "max_length": 64,
        "tasks": tasks,
        "label_counts": {"train": {"topic": {"a": 3, "b": 4}, "mood": {"n": 1, "p": 0}}},
        "sizes": {"news": {"train": 7}},
        "sources": {"news": "news_folder"},
        "groups": [("layers.0", 10, 1e-5, 0.01), ("heads", 4, 1e-4, 0.0)],
        "arguments": {"seed": 42},
        "results": {"test": {"test_topic_accuracy": 0.75, "test_mood_accuracy": 0.5, "test_topic_loss": 0.4}},
        "samples": [(("a text",), {"topic": {"a": 0.9, "b": 0.1}, "mood": {"n": 0.3, "p": 0.7}})],
    }
    return RunRecord(**{**values, **overrides})


def test_the_committed_card_reports_both_tasks_of_the_sample_run():
    card = ModelCard.load(CARDS / "sample.md")
    scores = {(r.task_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert {task for task, _ in scores} == {"topic", "sentiment"}
    assert len(scores) == 6
    assert all(scores[task, "accuracy"] >= 0.85 for task in ("topic", "sentiment"))
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"


def test_a_card_holds_every_number_of_its_record():
    text = render_model_card(record(), CARDS / "template.md")
    for cell in (
        "0.7500",
        "0.5000",
        "| layers.0 |",
        "1e-05",
        "0.0001",
        "topic: a ",
        "mood: p ",
        "a 90.0%",
        "`seed`: 42",
    ):
        assert cell in text, cell


def test_a_task_keeps_its_own_scores_in_the_model_index():
    card = ModelCard(render_model_card(record(), CARDS / "template.md"))
    assert {(r.task_name, r.metric_value) for r in card.data.eval_results} == {("topic", 0.75), ("mood", 0.5)}


@pytest.mark.parametrize(("base_model", "link"), [("someone/some-bert", True), ("my-folder", False)])
def test_only_a_backbone_of_the_hub_is_linked(base_model, link):
    card = ModelCard(render_model_card(record(base_model=base_model), CARDS / "template.md"))
    assert ("huggingface.co/" + base_model in card.text) is link
    assert card.data.base_model == (base_model if link else None)


def test_a_run_without_any_evaluation_has_a_card_too():
    assert "How to load it" in render_model_card(record(results={}), CARDS / "template.md")
