"""Every parameter of every architecture has its depth, and so its learning rate, however the model is wrapped."""

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from architectures import ARCHITECTURES, TASKS, tiny_config, tiny_model, token_ids
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from transformers import BartConfig, BartModel, BertConfig

from hf_multitask import MultiTaskConfig, MultiTaskModel
from hf_multitask.training.depth import num_layers, parameter_depths
from hf_multitask.training.layerwise import check_partition, layerwise_parameter_groups, named_groups

# DeBERTa's modules in transformers 5.17 are compiled by torch.jit when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

LAYER, TOP = "layer", "top"

BERT = {"embeddings": 0, "encoder.layer": LAYER, "pooler": TOP}
LLAMA = {"embed_tokens": 0, "layers": LAYER, "norm": TOP}
MODERN_BERT = {"embeddings": 0, "layers": LAYER, "final_norm": TOP}
T5 = {"shared": 0, "encoder.block": LAYER, "encoder.final_layer_norm": TOP}
XLM_LISTS = dict.fromkeys(["attentions", "layer_norm1", "ffns", "layer_norm2"], LAYER)
XLM = {"embeddings": 0, "position_embeddings": 0, "layer_norm_emb": 0} | XLM_LISTS

PLACES: dict[str, dict[str, str | int]] = {
    "albert": {
        "embeddings": 0,
        "encoder.embedding_hidden_mapping_in": 0,
        "encoder.albert_layer_groups": LAYER,
        "pooler": TOP,
    },
    "bert": BERT,
    "big_bird": BERT,
    "camembert": BERT,
    "convbert": {"embeddings": 0, "embeddings_project": 0, "encoder.layer": LAYER},
    "data2vec-text": BERT,
    "deberta": {"embeddings": 0, "encoder.layer": LAYER, "encoder.rel_embeddings": 0},
    "deberta-v2": {
        "embeddings": 0,
        "encoder.layer": LAYER,
        "encoder.rel_embeddings": 0,
        "encoder.LayerNorm": 0,
        "encoder.conv": 1,
    },
    "distilbert": {"embeddings": 0, "transformer.layer": LAYER},
    "electra": {"embeddings": 0, "embeddings_project": 0, "encoder.layer": LAYER},
    "ernie": BERT,
    "esm": BERT | {"encoder.emb_layer_norm_after": TOP, "contact_head": TOP},
    "eurobert": LLAMA,
    "flaubert": XLM,
    "fnet": BERT,
    "gemma2": LLAMA,
    "gemma3_text": LLAMA,
    "gpt2": {"wte": 0, "wpe": 0, "h": LAYER, "ln_f": TOP},
    "gpt_neox": {"embed_in": 0, "layers": LAYER, "final_layer_norm": TOP},
    "gte": {"embeddings": 0, "layers": LAYER},
    "ibert": BERT,
    "jina_embeddings_v3": {"embeddings": 0, "layers": LAYER, "pooler": TOP},
    "layoutlm": BERT,
    "lfm2": {"embed_tokens": 0, "layers": LAYER, "embedding_norm": TOP},
    "llama": LLAMA,
    "longformer": BERT,
    "luke": BERT | {"entity_embeddings": 0},
    "mamba": {"embeddings": 0, "layers": LAYER, "norm_f": TOP},
    "megatron-bert": BERT | {"encoder.ln": TOP},
    "mistral": LLAMA,
    "mobilebert": BERT,
    "modernbert": MODERN_BERT,
    "modernbert-decoder": MODERN_BERT,
    "mpnet": BERT | {"encoder.relative_attention_bias": 0},
    "mt5": T5,
    "nomic_bert": {"embeddings": 0, "layers": LAYER},
    "opt": {
        "decoder.embed_tokens": 0,
        "decoder.embed_positions": 0,
        "decoder.layers": LAYER,
        "decoder.final_layer_norm": TOP,
    },
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "rembert": BERT | {"encoder.embedding_hidden_mapping_in": 0},
    "roberta": BERT,
    "roberta-prelayernorm": BERT | {"LayerNorm": TOP},
    "roformer": {"embeddings": 0, "embeddings_project": 0, "encoder.embed_positions": 0, "encoder.layer": LAYER},
    "squeezebert": {"embeddings": 0, "encoder.layers": LAYER, "pooler": TOP},
    "t5": T5,
    "umt5": T5,
    "xlm": XLM,
    "xlm-roberta": BERT,
    "xlm-roberta-xl": BERT | {"encoder.LayerNorm": TOP},
    "xlnet": {"word_embedding": 0, "mask_emb": 0, "layer": LAYER},
    "xmod": BERT,
}
"""Per `model_type`, the depth of each module of the backbone; `LAYER` is i + 1 for its i-th item, `TOP` is L + 1."""

USED_LATE: dict[str, set[str]] = {
    "deberta": {"encoder.rel_embeddings.weight"},  # an embedding table that each layer reads after its first projection
}
"""Parameters that a forward pass reads for the first time after some that sit higher."""

INSERTED = r"\b(_orig_mod|module|_checkpoint_wrapped_module|base_model\.model|modules_to_save\.default)\."
"""Components that wrappers add to the names of parameters."""

WRAPPED = ["bert", "deberta-v2"]  # DeBERTa-v2 is the one whose depths need names, which wrappers change


def expected_depths(backbone: nn.Module, places: dict[str, str | int], count: int) -> dict[str, int]:
    """Depth by name, each name claimed by exactly one prefix of `places`."""
    depths = {}
    for name, _ in backbone.named_parameters():
        [prefix] = [prefix for prefix in places if f"{name}.".startswith(f"{prefix}.")]
        place = places[prefix]
        index = name.removeprefix(f"{prefix}.").split(".")[0]
        depths[name] = int(index) + 1 if place == LAYER else count + 1 if place == TOP else int(place)
    return depths


class FirstUses(TorchFunctionMode):
    """Records the parameters that functions of torch are given, in the order of their first use."""

    def __init__(self) -> None:
        super().__init__()
        self.parameters: dict[int, nn.Parameter] = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") not in ("__get__", "size", "dim"):  # which look at a parameter's form only
            for value in tree_leaves((args, kwargs)):
                if isinstance(value, nn.Parameter):
                    self.parameters.setdefault(id(value), value)
        return func(*args, **(kwargs or {}))


def rates(model: nn.Module) -> dict[str, tuple[str, float, float]]:
    """Group, learning rate and weight decay of each trainable parameter, by the name it has without wrappers."""
    groups = layerwise_parameter_groups(model, weight_decay=0.01)
    of = {id(p): (group["name"], group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    return {re.sub(INSERTED, "", name): of[id(p)] for name, p in model.named_parameters() if p.requires_grad}


@pytest.fixture
def process_group() -> Iterator[None]:
    """A process group of one, on the CPU."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def bert_base() -> MultiTaskModel:
    """BERT base without storage, its unused pooler trainable so that the group above the last layer is there."""
    with torch.device("meta"):
        model = MultiTaskModel(MultiTaskConfig(text_config=BertConfig(), tasks=TASKS))
    return model.requires_grad_(True)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_parameter_has_the_depth_of_its_module(model_type: str) -> None:
    backbone = tiny_model(model_type).backbone
    count = 1 if model_type == "albert" else 3  # ALBERT's layers share their parameters
    depths = parameter_depths(backbone)
    assert num_layers(backbone) == count
    assert {name: depths[id(p)] for name, p in backbone.named_parameters()} == expected_depths(
        backbone, PLACES[model_type], count
    )


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_forward_pass_uses_parameters_in_the_order_of_their_depth(model_type: str) -> None:
    backbone = tiny_model(model_type).backbone
    depths = parameter_depths(backbone)
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    with FirstUses() as uses, torch.no_grad():
        backbone(**token_ids(9, 5))
    late = USED_LATE.get(model_type, set())
    used = [(depths[i], names[i]) for i in uses.parameters if i in names and names[i] not in late]
    assert used == sorted(used, key=lambda use: use[0])
    assert {depth for depth, _ in used} >= set(range(num_layers(backbone) + 1))


def test_every_architecture_has_its_places_and_every_place_is_needed() -> None:
    assert set(ARCHITECTURES) <= set(PLACES)
    for model_type in ARCHITECTURES:
        names = [name for name, _ in tiny_model(model_type).backbone.named_parameters()]
        for prefix in PLACES[model_type]:
            assert any(f"{name}.".startswith(f"{prefix}.") for name in names), (model_type, prefix)


def test_norm_of_embeddings_registered_after_the_stack_has_depth_zero() -> None:
    backbone = BartModel(BartConfig(vocab_size=60, d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=8))
    depths = parameter_depths(backbone)
    assert depths[id(backbone.encoder.layernorm_embedding.weight)] == 0
    assert depths[id(backbone.encoder.layers[1].fc1.weight)] == 2
    assert depths[id(backbone.decoder.layers[0].fc1.weight)] == 3


@pytest.mark.parametrize(
    ("group", "rate"),
    [
        ("embeddings", 1e-6),
        ("layers.0", 1e-5 * 0.95**11),
        ("layers.5", 1e-5 * 0.95**6),
        ("layers.11", 1e-5),
        ("top", 1e-5),
        ("heads", 1e-4),
    ],
)
def test_bert_base_has_the_rate_of_the_formula(bert_base: MultiTaskModel, group: str, rate: float) -> None:
    found = {group["name"]: group["lr"] for group in layerwise_parameter_groups(bert_base)}
    assert found[group] == pytest.approx(rate, rel=1e-12)


def test_bert_base_has_the_rates_of_the_specification(bert_base: MultiTaskModel) -> None:
    found = {group["name"]: f"{group['lr']:.4g}" for group in layerwise_parameter_groups(bert_base)}
    assert [found[f"layers.{index}"] for index in (0, 5, 11)] == ["5.688e-06", "7.351e-06", "1e-05"]
    assert [found[name] for name in ("embeddings", "top", "heads")] == ["1e-06", "1e-05", "0.0001"]
    assert len(found) == 12 + 3


def test_last_layer_is_the_first_group(bert_base: MultiTaskModel) -> None:
    names = list(dict.fromkeys(group["name"] for group in layerwise_parameter_groups(bert_base)))
    assert names == [*(f"layers.{index}" for index in reversed(range(12))), "top", "embeddings", "heads"]


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_trainable_parameter_is_in_exactly_one_group(model_type: str) -> None:
    model = tiny_model(model_type)
    grouped = [id(p) for group in layerwise_parameter_groups(model) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_parameter_is_in_exactly_one_named_group(model_type: str) -> None:
    model = tiny_model(model_type)
    grouped = [id(p) for parameters in named_groups(model).values() for p in parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def _checkpointed(model: nn.Module) -> nn.Module:
    layers = model.backbone.encoder.layer
    layers[0], layers[1] = checkpoint_wrapper(layers[0]), checkpoint_wrapper(layers[1])
    model.backbone.encoder = checkpoint_wrapper(model.backbone.encoder)
    return model


def _compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def _compiled_inside(model: nn.Module) -> nn.Module:
    model.backbone = torch.compile(model.backbone, backend="eager")
    return model


@pytest.mark.parametrize("model_type", WRAPPED)
@pytest.mark.parametrize("wrap", [_compiled, _compiled_inside, _checkpointed])
def test_wrapped_model_has_the_same_rates(model_type: str, wrap: Callable[[nn.Module], nn.Module]) -> None:
    expected = rates(tiny_model(model_type))
    assert rates(wrap(tiny_model(model_type))) == expected


@pytest.mark.parametrize("model_type", WRAPPED)
def test_distributed_data_parallel_has_the_same_rates(model_type: str, process_group: None) -> None:
    model = tiny_model(model_type)
    assert rates(DistributedDataParallel(model)) == rates(model)


@pytest.mark.parametrize("model_type", WRAPPED)
def test_fully_sharded_model_has_the_same_rates(model_type: str, process_group: None) -> None:
    model = tiny_model(model_type)
    expected = rates(model)
    mesh = init_device_mesh("cpu", (1,))
    for layer in model.backbone.encoder.layer:
        fully_shard(layer, mesh=mesh)
    assert rates(fully_shard(model, mesh=mesh)) == expected


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize(
    ("model_type", "target_modules"), [("bert", ["query"]), ("deberta-v2", ["query_proj", "conv.conv"])]
)
def test_adapters_have_the_rate_of_their_layer(model_type: str, target_modules: list[str]) -> None:
    plain = rates(tiny_model(model_type))
    adapter = LoraConfig(r=2, target_modules=target_modules, modules_to_save=["heads.topic", "heads.tone"])
    found = rates(get_peft_model(tiny_model(model_type), adapter))
    adapted = {name: rate for name, rate in found.items() if "lora_" in name}
    assert len(adapted) >= 2 * 3
    for name, rate in adapted.items():
        assert rate == plain[re.sub(r"lora_[AB]\.default\.", "", name)]
    assert {name: rate for name, rate in found.items() if name not in adapted} == {
        name: rate for name, rate in plain.items() if name.startswith("heads.")
    }


def test_frozen_parameters_are_in_no_group() -> None:
    model = tiny_model("bert")
    model.backbone.embeddings.requires_grad_(False)
    assert "embeddings" not in {group["name"] for group in layerwise_parameter_groups(model)}


def test_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="At least one parameter must be trainable"):
        layerwise_parameter_groups(tiny_model("bert").requires_grad_(False))


def test_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="child called 'backbone'"):
        layerwise_parameter_groups(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda a, b, other: [[a, b], [b]], r"1 in two groups \(shapes \[\(2, 3\)\]\)"),
        (lambda a, b, other: [[a]], r"1 in no group \(shapes \[\(2, 3\)\]\)"),
        (lambda a, b, other: [[a, b], [other]], r"1 not of the model \(shapes \[\(5,\)\]\)"),
    ],
    ids=["twice", "missing", "foreign"],
)
def test_groups_that_are_no_partition_are_refused(groups: Callable, message: str) -> None:
    a, b, other = (nn.Parameter(torch.zeros(shape)) for shape in ((4,), (2, 3), (5,)))
    with pytest.raises(ValueError, match=message):
        check_partition([a, b], groups(a, b, other))


def test_groups_that_are_a_partition_are_accepted() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    check_partition([a, b], [[b], [], [a]])


@pytest.mark.parametrize("name", ["gender_bias", "x_norm", "norm"])
def test_name_of_a_task_does_not_spare_its_head_from_weight_decay(name: str) -> None:
    found = rates(tiny_model("bert", tasks=[{"name": name, "labels": ["yes", "no"]}]))
    assert found[f"heads.{name}.weight"] == ("heads", 1e-4, 0.01)
    assert found[f"heads.{name}.bias"] == ("heads", 1e-4, 0.0)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_norms_and_biases_have_no_weight_decay(model_type: str) -> None:
    model = tiny_model(model_type)
    norms = {path for path, module in model.named_modules() if re.search("Norm$", type(module).__name__)}
    for name, (_, _, weight_decay) in rates(model).items():
        spared = name.rpartition(".")[0] in norms or name.endswith("bias")
        assert weight_decay == (0.0 if spared else 0.01), name


def test_tiny_configurations_have_no_dropout() -> None:
    for model_type in ARCHITECTURES:
        for key, value in vars(tiny_config(model_type)).items():
            assert "drop" not in key or not value or value is True, (model_type, key)
