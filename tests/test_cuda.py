"""What only a GPU can show; skipped without one. What a CPU can show is in test_packing.py and test_waiting.py."""

from contextlib import nullcontext

import pytest
import torch
from architectures import ARCHITECTURES, tiny_model, token_ids
from conftest import TASKS, tiny_bert
from test_short_texts import attend_each
from test_trainer import rows
from test_trainer import trainer as cpu_trainer
from transformers import TrainerCallback

from hf_multitask.modeling.packing import PACKABLE, PACKED_ATTENTION
from hf_multitask.modeling.performance import choose
from hf_multitask.training import compilation
from hf_multitask.training.compiled import compiled_layers
from hf_multitask.training.finite import FiniteLosses
from hf_multitask.training.graphed import graphed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

NOT_UNDER_AUTOCAST = {"xmod"}
"""Architectures that fail there as they come from transformers: their adapters mix dtypes."""

LENGTHS = (7, 3, 12, 3, 1, 11, 20)
LABELS = {"topic": torch.tensor([0, 1, 2, 0, 1, -100, 2]), "tone": torch.tensor([0, 1, -100, 1, 0, 1, 1])}


def on_gpu(batch):
    return {name: tensor.cuda() for name, tensor in batch.items()}


def gradients(model, dtype, lengths=LENGTHS, passes=1):
    model.zero_grad()
    labels = on_gpu(LABELS)
    for _ in range(passes):
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            output = model(**on_gpu(token_ids(*lengths)), labels=labels)
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


LONG = (150, 3, 12, 3, 1, 11, 20)
"""Lengths of texts of which one is too long to lie in a tile."""


def operators(model, dtype, lengths):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        gradients(model, dtype, lengths)
    return {event.key for event in profile.key_averages()}


def test_attention_is_by_the_flash_kernel_of_torch_in_bfloat16_where_a_text_is_long():
    model = tiny_model("bert", max_position_embeddings=160).cuda()
    model.set_attn_implementation(PACKED_ATTENTION)
    assert "aten::_flash_attention_forward" in operators(model, torch.bfloat16, LONG)
    assert "aten::_flash_attention_forward" not in operators(model, torch.bfloat16, LENGTHS)
    assert "aten::_flash_attention_forward" not in operators(model, torch.float32, LONG)


@pytest.mark.parametrize(
    ("model_type", "lengths"),
    [
        *(("bert", lengths) for lengths in (LENGTHS, LONG, (16, 17, 64, 63, 1, 32, 33))),
        *((name, lengths) for name in ("modernbert", "qwen3") for lengths in (LENGTHS, LONG)),
    ],
)
def test_gradients_of_long_and_short_texts_are_those_of_the_padded_batch(model_type, lengths):
    model = tiny_model(model_type, max_position_embeddings=160).cuda()
    exact, rounded = gradients(model, torch.float32, lengths), gradients(model, torch.bfloat16, lengths)
    model.set_attn_implementation(PACKED_ATTENTION)
    found = gradients(model, torch.bfloat16, lengths)
    assert (found - exact).norm() <= 2 * (rounded - exact).norm()  # either way of rounding may be the luckier one


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("size", [8, 32, 64])
def test_attention_in_tiles_is_as_exact_as_bfloat16_allows(is_causal, window, size):
    """Each way of masking alone, as padded batches with windows have gradients that are no numbers on a GPU."""
    from hf_multitask.modeling.short_texts import attend_short

    lengths = (7, 20, 16, 17, 40, 64, 33, 1, 63)
    tokens = [torch.randn(sum(lengths), 2, size).bfloat16().cuda() for _ in range(4)]
    starts = torch.tensor([0, *lengths]).cumsum(0).int().cuda()
    how = {"scaling": size**-0.5, "is_causal": is_causal, "window": window}
    given = [t.clone().requires_grad_() for t in tokens[:3]]
    found = attend_short(*given, starts, 64, dropout=0.0, **how)
    exact = [t.double().requires_grad_() for t in tokens[:3]]
    expected = attend_each(*exact, lengths, **how)
    pairs = zip(
        (found, *torch.autograd.grad(found, given, tokens[3])),
        (expected, *torch.autograd.grad(expected, exact, tokens[3].double())),
        strict=True,
    )
    for one, other in pairs:
        assert (one.double() - other).norm() <= 0.004 * other.norm()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_attention_weights_of_short_texts_are_dropped_at_the_rate_asked_for(rate):
    """The weights of 64 tokens that look alike are 1/64 or 0, scaled up."""
    from hf_multitask.modeling.short_texts import attend_short

    alike = torch.zeros(64 * 200, 2, 64, device="cuda", dtype=torch.bfloat16)
    values = torch.eye(64, device="cuda", dtype=torch.bfloat16).repeat(200, 1)[:, None].repeat(1, 2, 1)
    starts = torch.arange(0, 64 * 201, 64, device="cuda", dtype=torch.int32)
    how = {"dropout": rate, "scaling": 0.1, "is_causal": False, "window": None}
    weights = attend_short(alike, alike, values, starts, 64, **how).float() * 64
    dropped = (weights == 0).float().mean(dim=(0, 2))
    assert dropped.tolist() == pytest.approx([rate, rate], abs=5 * (rate * (1 - rate) / (64 * 64 * 200)) ** 0.5)
    torch.testing.assert_close(weights[weights > 0].mean(), torch.tensor(1 / (1 - rate)).cuda(), rtol=4e-3, atol=0)


def recorded(model, dtype=torch.bfloat16, **kwargs):
    """As `gradients`, after passes in which graphs are recorded, and how many there are."""
    for _ in range(3):
        found = gradients(model, dtype, **kwargs)
    return found, model.backbone.forward.count


def dropping(rate):
    """A model whose batches are packed and whose modules drop at this rate, which those of `tiny_model` do not."""
    model = tiny_model("bert").cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = rate
    return model


@pytest.mark.parametrize("lengths", [LENGTHS, LONG])
@pytest.mark.parametrize("model_type", ["bert", "roberta", "modernbert", "qwen3"])
def test_gradients_of_a_pass_in_a_graph_are_those_of_a_pass_without(model_type, lengths):
    model = tiny_model(model_type, max_position_embeddings=160).cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    exact, rounded = gradients(model, torch.float32, lengths), gradients(model, torch.bfloat16, lengths)
    with graphed(model):
        found, count = recorded(model, lengths=lengths)
    assert count == 1
    assert (found - exact).norm() <= 2 * (rounded - exact).norm()
    assert torch.equal(gradients(model, torch.float32, lengths), exact)


def test_gradients_of_several_passes_in_graphs_add_up():
    model = tiny_model("bert").cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    with graphed(model):
        once, _ = recorded(model)
        torch.testing.assert_close(gradients(model, torch.bfloat16, passes=3), 3 * once, rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:.*script_method")  # torch's own, on newer Pythons
@pytest.mark.parametrize("is_compiled", [False, True])
def test_masks_of_dropout_in_a_graph_are_new_in_every_pass_and_follow_the_seed(is_compiled):
    model = dropping(0.5)
    with compiled_layers(model) if is_compiled else nullcontext(), graphed(model):
        recorded(model)
        found = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            found.append([gradients(model, torch.bfloat16) for _ in range(2)])
    assert not torch.equal(*found[0])
    assert not torch.equal(found[0][0], found[2][0])
    for first, again in zip(*found[:2], strict=True):
        torch.testing.assert_close(first, again, rtol=1e-4, atol=1e-6)


def test_recording_draws_no_random_numbers():
    model = dropping(0.5)
    with graphed(model):
        gradients(model, torch.bfloat16)
        states = []
        for _ in range(2):
            torch.manual_seed(0)
            gradients(model, torch.bfloat16)
            states.append(torch.cuda.get_rng_state())
    assert torch.equal(*states)


def test_a_second_pass_before_the_way_back_of_the_first_is_made_without_a_graph():
    model = tiny_model("bert").cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    with graphed(model):
        once, _ = recorded(model)
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            losses = [model(**on_gpu(token_ids(*LENGTHS)), labels=on_gpu(LABELS)).loss for _ in range(2)]
        for loss in losses:
            loss.backward()
    both = torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(both, 2 * once, rtol=0.02, atol=1e-3 * float(once.abs().max()))


@pytest.mark.filterwarnings("ignore:.*script_method")  # torch's own, on newer Pythons
def test_compiled_layers_in_a_graph_compute_the_same():
    model = tiny_model("bert").cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    exact, rounded = gradients(model, torch.float32), gradients(model, torch.bfloat16)
    with compiled_layers(model), graphed(model):
        found, count = recorded(model)
    assert count == 1
    assert (found - exact).norm() <= 1.5 * (rounded - exact).norm()


def test_attention_weights_are_dropped_with_the_configured_probability():
    model = tiny_model("bert", attention_probs_dropout_prob=0.0).cuda().bfloat16().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    batch = on_gpu(token_ids(*LENGTHS))
    assert torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)
    for layer in model.backbone.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    assert not torch.equal(model(**batch).sentence_embedding, model(**batch).sentence_embedding)


@pytest.mark.filterwarnings("ignore:.*script_method")  # torch's own, on newer Pythons
def test_compiled_layers_compute_the_same_and_are_as_before_afterwards():
    model = tiny_model("bert").cuda().train()
    model.set_attn_implementation(PACKED_ATTENTION)
    exact, rounded = gradients(model, torch.float32), gradients(model, torch.bfloat16)
    with compiled_layers(model):
        compiled = gradients(model, torch.bfloat16)
    assert (compiled - exact).norm() <= 1.5 * (rounded - exact).norm()
    assert torch.equal(gradients(model, torch.float32), exact)


WEIGHTED = [{**TASKS[0], "class_weights": [1.0, 2.0, 0.5]}, {**TASKS[1], "loss_weight": 0.5}]


class NoWaiting(TrainerCallback):
    """From the third step to the last but one, whatever makes the host wait for the GPU is an error."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 2:
            torch.cuda.set_sync_debug_mode("error")

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == state.max_steps - 1:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("tasks", [TASKS, WEIGHTED], ids=["plain", "weighted"])
@pytest.mark.parametrize("arguments", [{}, {"bf16": True}, {"bf16": True, "max_grad_norm": 1.0}])
def test_the_host_does_not_wait_for_the_gpu_between_two_lines_of_the_log(tmp_path, tokenizer, tasks, arguments):
    """Where batches are packed: transformers looks into the mask of a padded one."""
    made = cpu_trainer(
        tmp_path,
        tokenizer,
        tiny_bert(tasks=tasks),
        rows(64),
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


@pytest.mark.filterwarnings("ignore:.*script_method")  # torch's own, on newer Pythons
def test_a_long_run_is_compiled_and_recorded_on_its_way(tmp_path, tokenizer, monkeypatch, caplog):
    monkeypatch.setattr(compilation, "LEAST", 0.0)
    monkeypatch.setattr(compilation, "WARM", 1)
    monkeypatch.setattr(compilation, "STEPS", 2)
    caplog.set_level("INFO", "hf_multitask")
    torch.manual_seed(0)
    start = tiny_bert().state_dict()
    found = []
    for performance in ("auto", "exact"):
        model = tiny_bert()
        model.load_state_dict(start)
        how = {"performance": performance, "bf16": True, "per_device_train_batch_size": 8, "eval_strategy": "epoch"}
        made = cpu_trainer(tmp_path, tokenizer, model, rows(64), use_cpu=False, **how)
        made.train()
        found.append([line["loss"] for line in made.state.log_history if "loss" in line])
        assert "forward" not in vars(model.backbone)
    assert len(found[0]) == 8
    assert found[0] == pytest.approx(found[1], rel=2e-2)
    assert caplog.text.count("was recorded in") >= 1
