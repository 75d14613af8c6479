"""A scorer is one function from columns to columns, in a process, in `datasets`, pandas, Arrow and Ray."""

import inspect
import math
import pickle
import secrets
import shutil

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import make_tokenizer, tiny_bert
from datasets import Dataset, Features
from records import TASKS
from transformers import set_seed

from hf_multitask import MultiTaskModel, MultiTaskScorer
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.modeling.task import Task

SEVERAL = Task(name="affect", problem_type="regression", labels=("joy", "fear"))
WORDS = Task(name="parts", problem_type="token_classification", labels=("a", "b"))
BATCH = {"id": [1, 2, 3, 4], "text": ["good film", "bad", None, " "], "second": ["song", "vote", "win", "lost"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    set_seed(0)  # weights that find an entity in what is asked below, whichever tests ran before
    model = tiny_bert(tasks=[*TASKS, SEVERAL, WORDS], initializer_range=0.5)
    model.tokenizer = make_tokenizer()
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def scorer(checkpoint):
    return MultiTaskScorer(checkpoint, text_pair="second", embeddings=True, device="cpu")


@pytest.mark.parametrize("top_k", [1, 2, None])
def test_the_columns_hold_the_answers_of_the_pipeline(checkpoint, top_k):
    found = MultiTaskScorer(checkpoint, text_pair="second", top_k=top_k, device="cpu")(BATCH)
    assert {name: found[name] for name in BATCH} == BATCH
    model = MultiTaskModel.from_pretrained(checkpoint)
    pipe = MultiTaskPipeline(model=model, tokenizer=model.tokenizer, device="cpu")
    pairs = list(zip(BATCH["text"], BATCH["second"], strict=True))
    expected = [*pipe(pairs[:2], top_k=top_k), None, None]
    for task in model.config.tasks:
        names = ["entities"] if task.reads_tokens else [*(["label"] if task.labels else []), "score"]
        for name in names:
            column = found.pop(f"{task.name}_{name}")
            for value, answer in zip(column, expected, strict=True):
                told = None if answer is None else answer[task.name]
                if isinstance(told, list) and name != "entities":
                    told = [part[name] for part in told]
                elif isinstance(told, dict):
                    told = told[name]
                assert value == told
    assert found.keys() == BATCH.keys()


@pytest.mark.parametrize("top_k", [1, 2, None])
def test_the_types_of_the_columns_are_those_of_the_answers(checkpoint, top_k):
    scorer = MultiTaskScorer(checkpoint, text_pair="second", top_k=top_k, embeddings=True, device="cpu")
    types = scorer.column_types()
    answers = scorer.answer([("good film , council vote", "song")])
    assert list(types) == list(answers)
    for name, kind in types.items():
        assert pa.array(answers[name]).type == kind, name


def test_embeddings_are_those_of_encode(scorer, checkpoint):
    found = scorer(BATCH)["embedding"]
    assert found[2] is None
    np.testing.assert_allclose(found[0], MultiTaskModel.from_pretrained(checkpoint).encode("good film"), atol=1e-6)


def test_numpy_columns_have_numpy_answers_with_nan_where_there_is_none(scorer):
    lists = scorer(BATCH)
    arrays = scorer({name: np.array(column, dtype=object) for name, column in BATCH.items()})
    assert arrays["embedding"].shape == (4, 16)
    assert arrays["embedding"].dtype == np.float32
    assert arrays["topic_score"].dtype == np.float64
    assert arrays["topic_label"].tolist() == lists["topic_label"]
    assert arrays["topic_score"].tolist()[:2] == lists["topic_score"][:2]
    assert all(math.isnan(score) for score in arrays["topic_score"][2:])
    assert arrays["affect_score"].tolist() == lists["affect_score"]


def test_embeddings_are_a_matrix_even_where_no_text_has_one(scorer):
    found = scorer({"text": np.array([None, ""], dtype=object), "second": np.array(["song", "vote"], dtype=object)})
    assert found["embedding"].shape == (2, 16)
    assert np.isnan(found["embedding"]).all()


@pytest.mark.parametrize("row", [{"text": "good"}, {"text": None}, {"text": ["good"], "id": 3}])
def test_a_single_row_is_refused_and_not_read_letter_by_letter(checkpoint, row):
    with pytest.raises(ValueError, match=r"must be given columns, found one value each in .* Pass batched=True"):
        MultiTaskScorer(checkpoint, device="cpu")(row)


def test_the_types_of_columns_let_a_first_batch_of_a_data_set_have_no_text(checkpoint):
    rows = Dataset.from_dict({"text": [None, None, "good", "bad"]})
    scorer = MultiTaskScorer(checkpoint, embeddings=True, device="cpu")
    features = Features(rows.features | Features.from_arrow_schema(pa.schema(scorer.column_types())))
    found = rows.map(scorer, batched=True, batch_size=2, writer_batch_size=2, features=features)
    assert found["topic_label"][:2] == [None, None]
    assert len(found["embedding"][2]) == 16


@pytest.mark.parametrize("nothing", [pd.NA, pd.NaT, np.float32("nan")])
def test_what_pandas_has_for_nothing_is_no_text(checkpoint, nothing):
    found = MultiTaskScorer(checkpoint, device="cpu")({"text": np.array(["good", nothing], dtype=object)})
    assert found["topic_label"][1] is None


def test_single_texts_have_the_answers_that_need_no_pair(checkpoint):
    found = MultiTaskScorer(checkpoint, device="cpu")({"text": ["good"]})
    assert "alike_score" not in found
    assert "topic_label" in found


def test_a_list_of_words_is_a_text(checkpoint):
    words = [["good film", "council"], ["bad", "vote"], []]
    joined = [" ".join(row) for row in words]
    for kind in (list, tuple, np.array):
        scorer = MultiTaskScorer(checkpoint, embeddings=True, device="cpu")
        found, expected = scorer({"text": [kind(row) for row in words]}), scorer({"text": joined})
        assert found["mood_score"] == expected["mood_score"]
        assert [part["word"] for part in found["parts_entities"][0]] == words[0]
        assert found["parts_entities"][2] is found["embedding"][2] is None
        np.testing.assert_array_equal(found["embedding"][0], expected["embedding"][0])


def test_no_rows_have_no_answers(scorer):
    empty = scorer({name: [] for name in BATCH})
    assert set(empty) == {*BATCH, *scorer.column_types()}
    assert not any(len(column) for column in empty.values())


def test_tasks_are_chosen_and_embeddings_stand_alone(checkpoint):
    assert MultiTaskScorer(checkpoint, tasks=["mood"]).column_types().keys() == {"mood_label", "mood_score"}
    assert MultiTaskScorer(checkpoint, tasks=(), embeddings=True).column_types() == {
        "embedding": pa.list_(pa.float32())
    }


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_scorer_travels_without_its_model(scorer, library, called):
    expected = scorer(BATCH) if called else None
    sent = library.dumps(scorer)
    assert len(sent) < 2000
    received = library.loads(sent)(BATCH)
    assert received["topic_label"] == (expected or scorer(BATCH))["topic_label"]


@pytest.mark.parametrize(
    ("options", "batch", "message"),
    [
        ({"text": "texts"}, BATCH, r"The columns with texts must exist, found no \['texts'\]"),
        ({}, {**BATCH, "mood_score": [1] * 4}, r"must not be there already, found \['mood_score'\]"),
        ({"tasks": ["nothing"]}, BATCH, "tasks must name some of the model's tasks"),
        ({"tasks": ["alike"]}, BATCH, r"The tasks \['alike'\] compare two texts, found one column of texts, 'text'"),
        ({}, {"text": ["good", 3]}, "A text must be a string"),
    ],
)
def test_what_cannot_be_scored_is_refused(checkpoint, options, batch, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskScorer(checkpoint, device="cpu", **options)(batch)


def test_it_maps_a_data_set(scorer, checkpoint):
    rows = Dataset.from_dict(BATCH)
    mapped = rows.map(scorer, batched=True, batch_size=3)
    expected = scorer(BATCH)
    for name in ("id", "topic_label", "flags_label", "affect_score"):
        assert mapped[name][:] == expected[name]
    assert mapped["embedding"][0] == pytest.approx(expected["embedding"][0], abs=1e-6)
    assert mapped["embedding"][3] is None
    again = Dataset.from_dict(BATCH).map(scorer, batched=True, batch_size=3)
    assert again._fingerprint == mapped._fingerprint, "a scorer that was called is the same scorer"


def test_answers_that_were_cached_are_not_those_of_a_later_model_in_the_folder(tmp_path, checkpoint):
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    scorer = MultiTaskScorer(str(folder), device="cpu")

    def key():
        return Dataset.from_dict({"text": ["good film"]}).map(scorer, batched=True)._fingerprint

    first = key()
    model = MultiTaskModel.from_pretrained(folder)
    torch.nn.init.zeros_(model.heads["topic"].weight)
    model.save_pretrained(folder)
    assert key() == first, "the model that was loaded still answers"
    scorer = pickle.loads(pickle.dumps(scorer))
    assert key() != first


def test_a_scorer_can_be_sent_from_where_its_folder_is_not_seen(tmp_path):
    sent = pickle.loads(pickle.dumps(MultiTaskScorer(str(tmp_path / "elsewhere"))))
    with pytest.raises(OSError):
        sent({"text": ["good"]})


def adapters(scorer, arrow_schema):
    """The two functions for Spark, as the docstring of the class has them."""
    text = inspect.getdoc(MultiTaskScorer)
    start, end = text.index("    def answer_pandas"), text.index("    frame.mapInPandas")
    names = {"scorer": scorer, "arrow_schema": arrow_schema, "pa": pa, "pd": pd}
    exec(inspect.cleandoc(text[start:end]), names)
    return names["answer_pandas"], names["answer_arrow"]


def test_the_functions_for_spark_stream_pandas_frames_and_arrow_batches(scorer):
    types = {"id": pa.int64(), "text": pa.string(), "second": pa.string(), **scorer.column_types()}
    answer_pandas, answer_arrow = adapters(scorer, pa.schema(list(types.items())))
    expected = scorer(BATCH)
    frame = pd.DataFrame(BATCH)
    frames = list(answer_pandas(iter([frame[:3], frame[3:]])))
    assert [len(found) for found in frames] == [3, 1]
    labels = [label if isinstance(label, str) else None for label in pd.concat(frames)["topic_label"]]
    assert labels == expected["topic_label"]
    batch = pa.RecordBatch.from_pydict(BATCH)
    tables = pa.Table.from_batches(list(answer_arrow(iter([batch[:3], batch[3:]]))))
    assert tables["topic_label"].to_pylist() == expected["topic_label"]
    assert tables["places_entities"].to_pylist() == expected["places_entities"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # of Ray's own defaults
def test_ray_data_maps_it_in_an_actor(checkpoint, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex())  # else Ray writes one into the home folder
    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        rows = ray.data.from_items([{"id": i, "text": t} for i, t in enumerate(["good film", "bad", "song vote"] * 20)])
        mapped = rows.map_batches(
            MultiTaskScorer,
            fn_constructor_args=(checkpoint,),
            fn_constructor_kwargs={"embeddings": True},
            concurrency=1,
            batch_size=16,
        )
        found = sorted(mapped.take_all(), key=lambda row: row["id"])
    finally:
        ray.shutdown()
    expected = MultiTaskScorer(checkpoint, embeddings=True)({"text": [row["text"] for row in found]})
    assert [row["id"] for row in found] == list(range(60))
    for name in ("topic_label", "flags_label"):
        assert [row[name] if isinstance(row[name], str) else list(row[name]) for row in found] == expected[name]
    assert [row["topic_score"] for row in found] == pytest.approx(expected["topic_score"], abs=1e-5)
    np.testing.assert_allclose([row["embedding"] for row in found], expected["embedding"], atol=1e-5)
