"""Tiny random models of every architecture whose depths and round trips the tests check."""

import re
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hf_multitask import MultiTaskConfig, MultiTaskModel
from hf_multitask.modeling.packing import PACKED_ATTENTION

COMMON = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
    "initializer_range": 0.2,  # at the usual 0.02 every text has nearly the same embedding
}
"""Arguments of every configuration."""

GROUPED_QUERY = {"num_key_value_heads": 1, "head_dim": 8}
WINDOWED = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
MODERN = {"cls_token_id": 1, "global_attn_every_n_layers": 2, "local_attention": 8}
T5 = {"d_kv": 8, "d_ff": 32, "relative_attention_num_buckets": 8}
DEBERTA = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16}
XLM = {"n_langs": 1, "mask_token_id": 3}

ENCODERS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 8},
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "camembert": {},
    "convbert": {"embedding_size": 8, "conv_kernel_size": 3},
    "data2vec-text": {},
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA | {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3},
    "distilbert": {"hidden_dim": 32},
    "electra": {"embedding_size": 8},
    "ernie": {},
    "esm": {"mask_token_id": 3, "position_embedding_type": "rotary", "emb_layer_norm_before": True},
    "eurobert": GROUPED_QUERY | {"mask_token_id": 3},
    "flaubert": XLM,
    "fnet": {},
    "gte": {},
    "ibert": {},
    "jina_embeddings_v3": {},
    "layoutlm": {"max_2d_position_embeddings": 8},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 8, "intra_bottleneck_size": 8, "num_feedforward_networks": 2},
    "modernbert": MODERN,
    "mpnet": {},
    "mt5": T5,
    "nomic_bert": {},
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": {},
    "roberta-prelayernorm": {},
    "roformer": {"embedding_size": 8},
    "squeezebert": {"embedding_size": 16, "q_groups": 1, "k_groups": 1, "v_groups": 1, "intermediate_groups": 1},
    "t5": T5,
    "umt5": T5,
    "xlm": XLM,
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "xlnet": {"d_head": 8, "d_inner": 32, "max_position_embeddings": None},
    "xmod": {"languages": ["en_XX", "de_DE"], "default_language": "en_XX"},
}
"""Per `model_type`, what its configuration needs beside `COMMON`; `None` leaves a common argument out."""

DECODERS: dict[str, dict[str, Any]] = {
    "gemma2": GROUPED_QUERY,
    "gemma3_text": GROUPED_QUERY | {"sliding_window": 4},
    "gpt2": {},
    "gpt_neox": {},
    "lfm2": {"num_key_value_heads": 1, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [1]},
    "llama": GROUPED_QUERY,
    "mamba": {"state_size": 4},
    "mistral": GROUPED_QUERY | {"sliding_window": 4},
    "modernbert-decoder": MODERN,
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 32},
    "qwen2": {"num_key_value_heads": 1} | WINDOWED,
    "qwen3": GROUPED_QUERY | WINDOWED,
}
"""The same for architectures whose tokens see only what stands before them: read by the last token."""

ARCHITECTURES = [name for name in sorted(ENCODERS | DECODERS) if name in CONFIG_MAPPING]
"""Every `model_type` of the tables that the installed transformers has (gte came after 5.17)."""

TASKS = [{"name": "topic", "labels": ["News", "Opinion", "Fiction"]}, {"name": "tone", "labels": ["calm", "angry"]}]


def tiny_config(model_type: str, **overrides: Any) -> PretrainedConfig:
    """A configuration with 3 layers of width 16 and without dropout."""
    values = COMMON | (ENCODERS | DECODERS)[model_type] | overrides
    config = AutoConfig.for_model(model_type, **{key: value for key, value in values.items() if value is not None})
    for key, value in vars(config).items():
        if re.search("drop", key) and isinstance(value, float):
            setattr(config, key, 0.0)
    return config


def tiny_model(model_type: str, tasks: Any = TASKS, **overrides: Any) -> MultiTaskModel:
    """A model with random weights (seed 0) in evaluation mode; decoders are read by their last token."""
    torch.manual_seed(0)
    pooling = "last" if model_type in DECODERS else "mean"
    config = MultiTaskConfig(text_config=tiny_config(model_type, **overrides), tasks=tasks, pooling=pooling)
    return MultiTaskModel(config).eval()


def packed_bert() -> MultiTaskModel:
    """A model in training mode that reads its texts one after the other, without padding."""
    model = tiny_model("bert").train()
    model.set_attn_implementation(PACKED_ATTENTION)
    return model


def token_ids(*lengths: int) -> dict[str, Tensor]:
    """Random tokens of texts of the given lengths, padded on the right, with their attention mask."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, COMMON["vocab_size"], (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids.masked_fill(~mask, COMMON["pad_token_id"]), "attention_mask": mask.long()}
