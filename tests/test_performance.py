"""How the machine is to compute: chosen safely, measured, and put back."""

import logging
import threading
import time

import pytest
import torch
from architectures import tiny_model, token_ids
from torch.utils._python_dispatch import TorchDispatchMode

from hf_multitask.modeling import performance
from hf_multitask.modeling.inference import serving
from hf_multitask.modeling.matmul import default_matmul
from hf_multitask.modeling.packing import PACKED_ATTENTION
from hf_multitask.modeling.performance import Choices, Measured, choose, computing, onednn_matmul, probe
from hf_multitask.modeling.pipeline_multitask import MultiTaskPipeline
from hf_multitask.modeling.processor import Processor, from_capabilities, processor
from hf_multitask.training.arguments import MultiTaskTrainingArguments
from hf_multitask.training.computing import check_computing, fast

FAST = Measured(threads=2, matmul_gain=2.2, matmul_error=3e-7, bf16_gain=2.0)
"""What a processor with AVX-512 and bfloat16 gives."""

AMD = Processor(idle_units=True, bf16=True)
"""Such a processor."""


@pytest.mark.parametrize(
    "setting", [lambda: torch.autocast("cpu", torch.bfloat16), lambda: torch.device("meta")], ids=["autocast", "device"]
)
def test_what_the_caller_has_set_does_not_count_for_what_is_measured(monkeypatch, setting):
    kinds = []

    def timed(compute):
        result = compute()
        kinds.append((result.dtype, result.device.type))
        return result, 1.0

    monkeypatch.setattr(performance, "timed", timed)
    with setting():
        probe.__wrapped__(1)
    assert kinds == [(torch.float32, "cpu")] * 2 + [(torch.bfloat16, "cpu")]


def test_one_thread_at_a_time_measures(monkeypatch):
    inside, most = [], []

    def timed(compute):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return compute(), 1.0

    monkeypatch.setattr(performance, "timed", timed)
    probe.cache_clear()
    threads = [threading.Thread(target=probe, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probe.cache_clear()
    assert len(most) == 6
    assert max(most) == 1


@pytest.fixture
def measured(monkeypatch):
    """Makes a probe find something, on a processor."""

    def set_(found, chip=AMD):
        performance._choose.cache_clear()
        monkeypatch.setattr(performance, "processor", lambda: chip)
        monkeypatch.setattr(performance, "probe", lambda threads: found)

    yield set_
    performance._choose.cache_clear()


def matmul_setting():
    return torch.backends.mkldnn.matmul.fp32_precision


def test_the_probe_times_three_ways_to_multiply_and_compares_two():
    found = probe(torch.get_num_threads())
    assert found.matmul_gain > 0
    assert found.bf16_gain > 0
    assert found.matmul_error < 1e-2


def test_exact_takes_the_way_that_uses_the_whole_processor_and_is_as_accurate(measured):
    measured(FAST)
    assert choose("exact", "cpu")[:3] == (True, False, False)


def test_exact_never_takes_a_way_that_rounds(measured):
    measured(FAST._replace(matmul_error=2e-3))
    assert choose("exact", "cpu")[:3] == (False, False, False)


@pytest.mark.parametrize("gain", [0.2, 1.0, 1.1, 5.0])
def test_what_changes_a_number_does_not_depend_on_what_was_measured(gain, measured, monkeypatch):
    monkeypatch.setattr(performance, "dropout_gain", lambda threads: gain)
    performance._with_dropout.cache_clear()
    slow = FAST._replace(matmul_gain=gain, bf16_gain=gain)
    for chip in (AMD, Processor(), Processor(serial_dropout=False)):
        measured(slow, chip)
        performance._with_dropout.cache_clear()
        found = choose("auto", "cpu", training=True)
        assert (found.onednn, found.bf16, found.dropout) == chip
    performance._with_dropout.cache_clear()


def test_auto_takes_bfloat16_where_the_processor_has_it(measured):
    measured(FAST)
    assert choose("auto", "cpu")[:3] == (True, True, False)
    measured(FAST, AMD._replace(bf16=False))
    assert choose("auto", "cpu")[:3] == (True, False, False)


AVX512 = dict.fromkeys(["avx2", "avx512_f", "avx512_bw", "avx512_vl", "avx512_dq"], True)


@pytest.mark.parametrize(
    ("capabilities", "has_mkl", "expected"),
    [
        ({**AVX512, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, True, (True, True, True)),
        ({**AVX512, "avx512_bf16": False, "amx_bf16": False, "cpu_name": "AMD EPYC"}, True, (True, False, True)),
        ({**AVX512, "avx512_vl": False, "cpu_name": "AMD EPYC"}, True, (False, False, True)),
        ({**AVX512, "amx_bf16": True, "cpu_name": "Intel Xeon Platinum 8488C"}, True, (False, True, False)),
        ({**AVX512, "cpu_name": "Intel Xeon Platinum 8488C"}, False, (False, False, True)),
        ({**AVX512, "cpu_name": "AMD EPYC"}, False, (False, False, True)),
        (AVX512, True, (False, False, True)),
        ({"avx2": True, "avx512_f": False, "cpu_name": "AMD EPYC"}, True, (False, False, True)),
        ({"neon": True, "bf16": True, "architecture": "aarch64"}, False, (False, True, True)),
        ({}, True, (False, False, True)),
    ],
)
def test_what_is_used_of_a_processor(capabilities, has_mkl, expected):
    assert from_capabilities(capabilities, has_mkl, has_onednn=True) == expected
    assert from_capabilities(capabilities, has_mkl, has_onednn=False) == (False, False, expected[2])


def test_of_a_processor_that_torch_does_not_tell_of_nothing_is_used(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert processor.__wrapped__() == Processor()


def test_off_and_other_devices_measure_nothing(monkeypatch):
    performance._choose.cache_clear()
    monkeypatch.setattr(performance, "probe", None)
    assert choose("off", "cpu") == choose("exact", "cuda") == choose("auto", "mps") == Choices()


def test_what_was_chosen_and_why_is_said_once(measured, monkeypatch, caplog):
    measured(FAST)
    monkeypatch.setattr(performance, "memory_gain", lambda: 12.0)
    with caplog.at_level(logging.INFO):
        choose("auto", "cpu")
        choose("auto", "cpu")
    assert [record.getMessage() for record in caplog.records] == [
        "performance: auto, float32 products by oneDNN: on 2 threads oneDNN is 2.20x as fast, relative difference "
        "3e-07",
        "performance: auto, freed memory is kept: it is filled 12.0x as fast as new memory",
        "performance: auto, bfloat16, which the processor has: products in bfloat16 are 2.00x as fast as in float32",
    ]


def test_freed_memory_is_kept_only_where_that_is_faster(measured, monkeypatch):
    measured(FAST)
    for gain, expected in ((12.0, True), (1.0, False)):
        performance._choose.cache_clear()
        monkeypatch.setattr(performance, "memory_gain", lambda gain=gain: gain)
        assert choose("exact", "cpu").memory is expected


@pytest.mark.parametrize("use", [MultiTaskTrainingArguments, tiny_model("bert").encode])
def test_an_unknown_word_is_refused(use, tmp_path):
    with pytest.raises(ValueError, match=r"performance must be one of \['exact', 'auto', 'off'\], found 'fast'"):
        use(str(tmp_path), performance="fast")


def test_the_switch_is_put_back_also_behind_an_error():
    assert matmul_setting() == "none"
    seen = []

    def compute():
        with computing(Choices(onednn=True), "cpu"):
            seen.append(matmul_setting())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        compute()
    assert [*seen, matmul_setting()] == ["bf16", "none"]


def test_the_last_thread_that_leaves_puts_the_switch_back_whatever_the_others_do_meanwhile():
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def first():
        with onednn_matmul():
            entered.set()
            leave.wait(10)
        left.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(10)
    with onednn_matmul(), default_matmul():
        assert matmul_setting() == "bf16", "the other thread multiplies by it"
        leave.set()
        assert left.wait(10)
    thread.join()
    assert matmul_setting() == "none"
    with onednn_matmul():
        with onednn_matmul(), default_matmul():
            assert matmul_setting() == "none", "one thread, though inside twice"
        assert matmul_setting() == "bf16"
    assert matmul_setting() == "none"


def test_tf32_that_is_refused_is_not_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_multitask.training.arguments.choose", lambda *args, **kwargs: Choices(tf32=True))
    assert MultiTaskTrainingArguments(str(tmp_path), use_cpu=True).choices.tf32
    assert not MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, tf32=False).choices.tf32


def test_what_somebody_chose_stays_chosen():
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"
    try:
        with onednn_matmul():
            assert matmul_setting() == "ieee"
        assert matmul_setting() == "ieee"
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"


def test_bfloat16_is_chosen_before_the_precision_is_read(measured, tmp_path):
    measured(FAST)
    args = MultiTaskTrainingArguments(str(tmp_path), performance="auto", use_cpu=True)
    assert args.bf16
    assert args.mixed_precision == "bf16"
    assert not MultiTaskTrainingArguments(str(tmp_path), use_cpu=True).bf16
    assert MultiTaskTrainingArguments(str(tmp_path), use_cpu=True).mixed_precision == "no"


def test_bfloat16_where_it_is_slow_is_warned_of(measured, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("hf_multitask.training.computing.probe", lambda threads: FAST._replace(bf16_gain=0.05))
    args = MultiTaskTrainingArguments(str(tmp_path), bf16=True, use_cpu=True)
    check_computing(tiny_model("bert"), args)
    assert "0.05 times as fast" in caplog.text


def test_serving_in_bfloat16_is_near_and_serving_exactly_is_the_same(measured):
    measured(FAST)
    model, batch = tiny_model("bert"), token_ids(7, 3, 12)
    with torch.no_grad():
        expected = model(**batch).sentence_embedding
    with serving(model, "exact"):
        exact = model(**batch).sentence_embedding
    with serving(model, "auto"):
        rounded = model(**batch).sentence_embedding
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-6)
    assert torch.cosine_similarity(rounded.float(), expected).min() > 0.999
    assert not torch.equal(rounded.float(), exact)


class CastsToBfloat16(TorchDispatchMode):
    """Counts the casts of tensors that have the shape of a weight."""

    def __init__(self, weight):
        super().__init__()
        self.shape, self.count = weight.shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.to, torch.ops.aten._to_copy):
            self.count += args[0].shape == self.shape and found.dtype == torch.bfloat16
        return found


@pytest.mark.parametrize("use", ["encode", "pipeline"])
def test_weights_are_cast_to_bfloat16_once_for_all_batches_of_a_list(use, measured, tokenizer):
    measured(FAST)
    model = tiny_model("bert")
    model.tokenizer = tokenizer
    weight = model.backbone.encoder.layer[0].intermediate.dense.weight
    texts = ["a b", "b c d", "a", "c d"]
    with CastsToBfloat16(weight) as casts:
        if use == "encode":
            model.encode(texts, batch_size=1, performance="auto")
        else:
            MultiTaskPipeline(model, tokenizer, performance="auto")(texts, batch_size=1)
    assert casts.count == model.backbone.config.num_hidden_layers


def test_serving_packs_from_then_on_and_off_does_not():
    model = tiny_model("bert")
    with serving(model, "off"):
        pass
    assert model.config.text_config._attn_implementation == "sdpa"
    with serving(model):
        pass
    assert model.config.text_config._attn_implementation == PACKED_ATTENTION


def test_a_checkpoint_saved_while_packed_opens_as_any_other(tmp_path):
    model = tiny_model("bert")
    with serving(model):
        model.save_pretrained(tmp_path)
    assert PACKED_ATTENTION not in (tmp_path / "config.json").read_text()
    assert type(model).from_pretrained(tmp_path).config.text_config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, True), ({"packing": "on"}, True), ({"packing": "off"}, False), ({"performance": "off"}, False)],
)
def test_training_packs_as_it_is_told_and_leaves_the_model_as_it_was(arguments, expected, tmp_path):
    model = tiny_model("bert")
    with fast(model, MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **arguments)):
        assert (model.config.text_config._attn_implementation == PACKED_ATTENTION) == expected
    assert model.config.text_config._attn_implementation == "sdpa"


def test_packing_that_cannot_be_is_refused_if_asked_for_and_told_if_not(tmp_path, caplog):
    model = tiny_model("mpnet")
    with pytest.raises(ValueError, match="packing must be 'auto' or 'off' here, found 'on': the architecture 'mpnet'"):
        check_computing(model, MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, packing="on"))
    with caplog.at_level(logging.INFO):
        check_computing(model, MultiTaskTrainingArguments(str(tmp_path), use_cpu=True))
    assert "Batches are read with their padding: the architecture 'mpnet'" in caplog.text


@pytest.mark.parametrize("arguments", [{"packing": "off"}, {"performance": "off"}])
def test_training_without_packing_pads_also_after_serving_and_leaves_it_as_it_was(tmp_path, arguments):
    model = tiny_model("bert")
    with serving(model):
        pass
    with fast(model, MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, **arguments)):
        assert model.config.text_config._attn_implementation == "sdpa"
    assert model.config.text_config._attn_implementation == PACKED_ATTENTION


def test_what_was_measured_holds_for_its_number_of_threads(measured, monkeypatch):
    measured(FAST)
    monkeypatch.setattr(performance, "probe", lambda threads: FAST._replace(threads=threads))
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert f"on {threads} threads oneDNN is 2.20x as fast" in choose("exact", "cpu").reasons[0]
