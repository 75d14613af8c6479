"""Tiny models and tokenizers, made in memory, and what the tests of several files need."""

import csv
import os
import shutil
import tempfile
from pathlib import Path

# Before anything imports transformers: no test may reach a hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_WAIT_POLICY"] = "passive"  # processes of several tests share the cores; one that spins stops others
# The code of checkpoints is imported from here; no test may leave some in, or find some in, the user's own cache.
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="hf_multitask-")
if shutil.which("nvidia-smi") is None:
    os.environ["TRITON_INTERPRET"] = "1"  # where there is no GPU, its kernels run on the CPU, slowly

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

from hf_multitask import MultiTaskConfig, MultiTaskModel

TASKS = [
    {"name": "topic", "labels": ["News", "Opinion", "Entertainment"]},
    {"name": "sentiment", "labels": ["Negative", "Positive"]},
]
WORDS = ["good", "bad", "film", "council", "vote", "song", "says", "they", "never", "again"]
WORDS += ["was", "great", "dull", "fire", "team", "win", "lost", "today"]


@pytest.fixture(autouse=True, scope="session")
def _no_code_is_left():
    yield
    shutil.rmtree(os.environ["HF_MODULES_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _seeded_session():
    set_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _seeded_module(_seeded_session):
    """Models that a module's tests share are the same ones, whatever ran before."""
    set_seed(0)


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    set_seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer with BERT's special tokens, for texts and pairs."""
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def tiny_bert_config(**overrides) -> BertConfig:
    values = {
        "vocab_size": 32,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**{**values, **overrides})


def tiny_bert(**overrides) -> MultiTaskModel:
    """A two-layer model with random weights and no dropout, for the tasks in `overrides` or the reference pair."""
    tasks = overrides.pop("tasks", TASKS)
    pooling = overrides.pop("pooling", "mean")
    config = MultiTaskConfig(text_config=tiny_bert_config(**overrides), tasks=tasks, pooling=pooling)
    return MultiTaskModel(config).eval()


@pytest.fixture
def model() -> MultiTaskModel:
    return tiny_bert()


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return tiny_bert().state_dict()


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory, tokenizer) -> str:
    """A saved bare encoder with its tokenizer, as one would get from the Hub."""
    set_seed(0)
    folder = str(tmp_path_factory.mktemp("backbone"))
    BertModel(tiny_bert_config()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> None:
    """`datasets` keeps nothing of a test that a later one could find."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def full_disk(*_, **__):
    """Stands in for a function that writes."""
    raise OSError(28, "No space left on device")
