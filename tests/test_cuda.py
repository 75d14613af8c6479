"""What only a GPU can show; skipped without one. What a CPU can show is in test_packing.py and test_waiting.py."""

import pytest
import torch
from architectures import ARCHITECTURES, tiny_model, token_ids
from conftest import tiny_bert
from test_trainer import rows
from test_trainer import trainer as cpu_trainer
from transformers import TrainerCallback

from hf_multitask.modeling.packing import PACKABLE, PACKED_ATTENTION
from hf_multitask.modeling.performance import choose
from hf_multitask.training.compiled import compiled_layers
from hf_multitask.training.finite import FiniteLosses

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

NOT_UNDER_AUTOCAST = {"xmod"}
"""Architectures that fail there as they come from transformers: their adapters mix dtypes."""

LENGTHS = (7, 3, 12, 3, 1, 11, 20)
LABELS = {"topic": torch.tensor([0, 1, 2, 0, 1, -100, 2]), "tone": torch.tensor([0, 1, -100, 1, 0, 1, 1])}


def on_gpu(batch):
    return {name: tensor.cuda() for name, tensor in batch.items()}


def gradients(model, dtype):
    model.zero_grad()
    labels = on_gpu(LABELS)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        output = model(**on_gpu(token_ids(*LENGTHS)), labels=labels)
    output.loss.backward()
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("model_type", sorted(PACKABLE.intersection(ARCHITECTURES)))
def test_gradients_of_a_packed_batch_are_those_of_the_padded_one(model_type):
    model = tiny_model(model_type).cuda()
    dtypes = [torch.float32] if model_type in NOT_UNDER_AUTOCAST else [torch.float32, torch.bfloat16]
    exact, *rounded = (gradients(model, dtype) for dtype in dtypes)
    model.set_attn_implementation(PACKED_ATTENTION)
    packed, *packed_rounded = (gradients(model, dtype) for dtype in dtypes)
    assert (packed - exact).norm() <= 2e-5 * exact.norm()
    for in_bf16, padded_in_bf16 in zip(packed_rounded, rounded, strict=True):
        assert (in_bf16 - exact).norm() <= 1.5 * (padded_in_bf16 - exact).norm()


def test_attention_is_by_the_flash_kernel_of_torch_in_bfloat16():
    model = tiny_model("bert").cuda()
    model.set_attn_implementation(PACKED_ATTENTION)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        gradients(model, torch.bfloat16)
    assert "aten::_flash_attention_forward" in {event.key for event in profile.key_averages()}


def test_attention_weights_are_dropped_with_the_configured_probability():
    model = tiny_model("bert", attention_probs_dropout_prob=0.0).cuda().bfloat16().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    batch = on_gpu(token_ids(*LENGTHS))
    assert torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)
    for layer in model.backbone.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    assert not torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)


def test_compiled_layers_compute_the_same_and_are_as_before_afterwards():
    model = tiny_model("bert").cuda()
    model.set_attn_implementation(PACKED_ATTENTION)
    exact, rounded = gradients(model, torch.float32), gradients(model, torch.bfloat16)
    with compiled_layers(model):
        compiled = gradients(model, torch.bfloat16)
    assert (compiled - exact).norm() <= 1.5 * (rounded - exact).norm()
    assert torch.equal(gradients(model, torch.float32), exact)


class NoWaiting(TrainerCallback):
    """From the third step to the last but one, whatever makes the host wait for the GPU is an error."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 2:
            torch.cuda.set_sync_debug_mode("error")

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == state.max_steps - 1:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("arguments", [{}, {"bf16": True}, {"bf16": True, "max_grad_norm": 1.0}])
def test_the_host_does_not_wait_for_the_gpu_between_two_lines_of_the_log(tmp_path, tokenizer, arguments):
    """Where batches are packed: transformers looks into the mask of a padded one."""
    made = cpu_trainer(
        tmp_path,
        tokenizer,
        data=rows(64),
        use_cpu=False,
        logging_steps=100,
        per_device_train_batch_size=8,
        **arguments,
    )
    made.add_callback(NoWaiting())
    try:
        made.train()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert made.state.global_step == 8


def test_training_packed_learns_what_training_padded_learns(tmp_path, tokenizer):
    torch.manual_seed(0)
    start = tiny_bert().state_dict()
    found = []
    for packing in ("on", "off"):
        model = tiny_bert()
        model.load_state_dict(start)
        made = cpu_trainer(
            tmp_path, tokenizer, model, rows(64), use_cpu=False, packing=packing, per_device_train_batch_size=8
        )
        made.train()
        found.append([line["loss"] for line in made.state.log_history if "loss" in line])
    assert len(found[0]) == 8
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_loss_that_is_no_number_is_told_with_the_next_micro_batch():
    from hf_multitask import Task

    losses = FiniteLosses([Task(name="topic", labels=("a", "b"))])
    good, bad = torch.zeros((), device="cuda"), torch.full((), float("nan"), device="cuda")
    logits, labels = {"topic": torch.full((2, 2), float("nan")).cuda()}, {"topic": torch.tensor([0, 1]).cuda()}
    losses.add({"topic": bad}, logits, labels, ["a/1", "a/2"], 3)
    with pytest.raises(FloatingPointError, match="Step 3: .* in the rows a/1, a/2"):
        losses.add({"topic": good}, logits, labels, ["a/3", "a/4"], 4)
    losses.add({"topic": bad}, logits, labels, ["a/5", "a/6"], 5)
    with pytest.raises(FloatingPointError, match="Step 5: .* in the rows a/5, a/6"):
        losses.check()


def test_bfloat16_is_chosen_where_the_gpu_has_it():
    assert choose("auto", "cuda").bf16 == torch.cuda.is_bf16_supported(including_emulation=False)
    assert not choose("exact", "cuda").bf16
