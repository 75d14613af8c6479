"""The benchmarks: how samples are taken and judged, and that they run."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock, create_autospec

import pytest
from conftest import WORDS
from transformers import DistilBertConfig

from hf_multitask.modeling.packing import PACKED_ATTENTION

sys.path.insert(0, str(Path(__file__).parents[1] / "training_scripts"))
try:
    from benchmarks import bare_loop, gpu, graphs, memory, ours, sampling, stock, suite, tasks
    from benchmarks.chart import draw
    from benchmarks.contention import Contention, CpuTimes
    from benchmarks.corpus import sentences
    from benchmarks.floor import floor
    from benchmarks.markdown import markdown
    from benchmarks.overhead import Turns
    from benchmarks.sampling import Method, interleaved, measure
    from benchmarks.table import Bar, Table
    from benchmarks.variant import Samples, Skip, Variant
    from benchmarks.workload import Workload
finally:
    del sys.path[0]

QUIET, BUSY = Contention(0.0, 0.0), Contention(0.5, 0.0)


def times(wall=0.0, busy=0.0, stolen=0.0, own=0.0):
    return CpuTimes(wall, busy, stolen, own)


@pytest.fixture
def contended(monkeypatch):
    """Lets a test say what others do during each sample; and waits for nobody."""

    def says(*found):
        script = iter(found)
        monkeypatch.setattr(sampling, "contention_between", lambda before, after: next(script))

    monkeypatch.setattr(sampling, "await_idle", lambda patience: True)
    return says


def test_every_round_has_each_variant_once_in_the_opposite_order_of_the_round_before():
    assert list(interleaved(["a", "b", "c"], 3)) == [
        *((0, "a"), (0, "b"), (0, "c")),
        *((1, "c"), (1, "b"), (1, "a")),
        *((2, "a"), (2, "b"), (2, "c")),
    ]


def test_own_work_is_no_contention_and_the_work_of_others_is():
    own = Contention.between(times(), times(wall=2, busy=4, own=4), cores=2)
    assert own == QUIET
    assert not own.spoils
    others = Contention.between(times(), times(wall=2, busy=3, own=2), cores=2)
    assert others.others == pytest.approx(0.49)  # one core's second in two, less a tick for each of two cores
    assert others.spoils


def test_what_the_host_takes_spoils_a_sample():
    assert Contention.between(times(), times(wall=1, busy=1, own=1, stolen=0.3), cores=1).spoils


def test_one_tick_of_each_core_spoils_no_short_sample():
    assert not Contention.between(times(), times(wall=0.05, busy=0.07, own=0.05), cores=2).spoils


def test_the_clocks_are_read_from_the_counts_of_the_system(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 900 50 6 4 70 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    found = CpuTimes.now(stat)
    assert (found.busy, found.stolen) == pytest.approx((1.6, 0.7))
    assert CpuTimes.now(tmp_path / "nothing") is None


def test_a_disturbed_sample_is_taken_again_and_counted(contended):
    contended(BUSY, QUIET, QUIET)
    found, skipped = measure([Variant("a", lambda _: {"cost": 1.0})], Method(rounds=2, retries=1))
    assert skipped == {}
    assert sorted(found["a"].kept) == [0, 1]
    assert len(found["a"].spoiled) == 1


def test_retries_end_and_the_table_says_that_all_samples_were_disturbed(contended):
    contended(*[BUSY] * 4)
    variants = [Variant("a", lambda _: {"cost": 2.0})]
    found, skipped = measure(variants, Method(rounds=2, retries=1))
    assert (len(found["a"].kept), len(found["a"].spoiled), found["a"].median()) == (0, 4, 2.0)
    table = Table("name", "Title", "s", variants, found, skipped, scale=1)
    assert "0/4 (gave up: all disturbed)" in markdown(table)


def test_a_variant_is_warmed_up_before_it_is_measured(contended):
    contended(QUIET, QUIET)
    calls = []
    found, _ = measure([Variant("a", lambda _: calls.append(1))], Method(rounds=2))
    assert (len(calls), len(found["a"].kept)) == (3, 2)


def test_a_variant_that_cannot_be_or_breaks_is_a_line_and_ends_nothing(contended):
    contended(QUIET)

    def cannot(_):
        raise Skip("not installed")

    def breaks(_):
        raise KeyError("x")

    variants = [Variant("a", cannot), Variant("b", breaks), Variant("c", lambda _: None)]
    found, skipped = measure(variants, Method(rounds=1))
    assert list(found) == ["c"]
    assert skipped == {"a": "not installed", "b": "failed: KeyError: 'x'"}


def test_a_variant_that_breaks_in_a_later_round_is_a_line_and_ends_nothing(contended):
    contended(*[QUIET] * 4)
    calls = []

    def breaks(_):
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("broken")

    found, skipped = measure([Variant("a", breaks), Variant("b", lambda _: None)], Method(rounds=3))
    assert skipped == {"a": "failed: ValueError: broken"}
    assert {name: sorted(samples.kept) for name, samples in found.items()} == {"b": [0, 1, 2]}
    assert len(calls) == 3


def test_a_method_without_a_run_to_warm_up_counts_the_first(contended):
    contended(QUIET)
    calls = []
    found, _ = measure([Variant("a", lambda _: calls.append(1))], Method(rounds=1, is_warm=False))
    assert (len(calls), sorted(found["a"].kept)) == (1, [0])


def test_a_switch_that_a_variant_leaves_changed_is_set_back_and_told(contended):
    import torch

    contended(QUIET)
    threads = torch.get_num_threads()
    found, _ = measure([Variant("a", lambda _: torch.set_num_threads(threads + 1))], Method(rounds=1))
    assert torch.get_num_threads() == threads
    assert found["a"].left_changed == {"threads"}


def samples(*costs):
    return Samples({number: {"cost": cost} for number, cost in enumerate(costs)})


@pytest.mark.parametrize(
    ("kind", "ours", "value", "met"),
    [
        ("speed-up", 1.0, 4.0, "moonshot"),
        ("speed-up", 1.6, 2.5, "yes"),
        ("speed-up", 4.0, 1.0, "no"),
        ("cost", 8.4, 2.1, "yes"),
        ("cost", 12.0, 3.0, "no"),
        ("overhead", 0.0021, 2.1, "yes"),
    ],
)
def test_a_bar_is_met_as_its_kind_says(kind, ours, value, met):
    goals = {"speed-up": (2, 3), "cost": (2.5, 2), "overhead": (2.5, 2)}[kind]
    variants = [Variant(name, lambda _: None, amount=1) for name in ("a", "b")]
    table = Table(
        "n", "T", "s", variants, {"a": samples(ours), "b": samples(4.0)}, {}, [Bar("x", "a", "b", *goals, kind)]
    )
    [judged] = table.judged()
    assert judged["value"] == pytest.approx(value)
    assert judged["met"] == met


def test_what_is_added_may_be_less_than_nothing_and_is_told_as_noise_then(tmp_path):
    table = Table("n", "T", "ms", [Variant("a", lambda _: None)], {"a": samples(-0.002, -0.001, 0.003)}, {}, scale=1000)
    assert "lie 500 % apart" in markdown(table)
    draw(table, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size


def test_a_bar_without_a_peer_is_not_measured():
    table = Table("n", "T", "s", [], {"a": samples(1.0)}, {"b": "not installed"}, [Bar("x", "a", "b", 1, 2)])
    assert table.judged()[0]["met"] == "not measured"


def test_sentences_are_drawn_evenly_from_all_files_with_texts(tmp_path):
    for name, header in (("a", "text"), ("b", "sentence"), ("pairs", "sentence_a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text(
            f"label,{header}\n" + "".join(f"x,{name}{n}\n" for n in range(3)) + "x\n"
        )
    found = sentences(tmp_path, 8)
    assert sorted(text[0] for text in found) == ["a"] * 4 + ["b"] * 4
    assert found == sentences(tmp_path, 8)
    with pytest.raises(ValueError, match="--data must be a folder"):
        sentences(tmp_path / "pairs", 1)


def test_a_column_of_bars_is_not_called_ours_where_a_peer_is_judged():
    variants = [Variant(name, lambda _: None) for name in ("a peer", "a loop")]
    bars = [Bar("x", "a peer", "a loop", 1, 2)]
    table = Table("n", "T", "s", variants, {"a peer": samples(1.0), "a loop": samples(2.0)}, {}, bars)
    assert "| bar | of | against |" in markdown(table)
    assert "| x | a peer | a loop | 2x |" in markdown(table)


def test_a_process_measured_for_its_memory_exports_nothing(tmp_path, monkeypatch):
    workload = Workload([], "no encoder", tmp_path, exported=tmp_path / "graph")
    assert graphs.graph(workload) == tmp_path / "graph"
    commands = []
    done = subprocess.CompletedProcess([], 0, stdout='{"cost": 1.0}')
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command) or done)
    memory._alone(workload, "inference", "onnxruntime", tmp_path / "graph")
    assert suite.parser().parse_args(commands[0][2:]).exported == tmp_path / "graph"


def test_a_bare_loop_in_place_of_our_trainer_reads_packed_batches(tmp_path, backbone_folder):
    workload = Workload(["good film", "they never win again", "bad"], backbone_folder, tmp_path, batch_size=3)
    rows = ours.data(workload, workload.texts, 1)
    seen = []
    for arguments in ({}, ours.PLAIN):
        loop = bare_loop.in_place_of(ours.trainer(workload, rows, 1, **arguments), Method())
        config = loop.model.config.text_config
        before = config._attn_implementation
        loop.train(backward=lambda _, config=config: seen.append(config._attn_implementation))
        assert config._attn_implementation == before
    assert seen == [PACKED_ATTENTION, before]


def test_a_bare_loop_reads_every_other_batch_before_the_trainer_and_both_are_timed_alone(monkeypatch):
    now, order = [0.0], []

    def lasts(name, seconds):
        order.append(name)
        now[0] += seconds

    class Loop:
        def each(self, steps):
            for number in range(steps):
                yield lasts(f"bare {number}", 10.0 + number)

    monkeypatch.setattr(bare_loop, "in_place_of", lambda trainer, method: Loop())
    turns = Turns(None, Method(clock=lambda: now[0]), 5)
    for number in range(5):
        lasts(f"trainer {number}", 100.0 + number)
        turns.on_step_end()
    names = "trainer 0, bare 0, bare 1, trainer 1, trainer 2, bare 2, bare 3, trainer 3, trainer 4, bare 4"
    assert order == names.split(", ")
    assert turns.seconds == {"trainer": [101, 102, 103, 104], "bare": [11, 12, 13, 14]}


def test_the_median_of_first_and_of_second_readers_counts_equally(monkeypatch):
    monkeypatch.setattr(bare_loop, "in_place_of", lambda trainer, method: MagicMock())
    turns = Turns(None, Method(), 1)
    turns.seconds = {"trainer": [1.0, 5.0, 2.0, 9.0, 9.0], "bare": [4.0, 1.0]}
    assert turns.typical() == ((2.0 + 7.0) / 2, 2.5)


def test_a_short_epoch_of_the_peer_is_grouped_by_length_as_a_long_one(tmp_path, backbone_folder):
    texts = ["good", "they never win again"] * 8
    workload = Workload(texts, backbone_folder, tmp_path, batch_size=2)
    made = stock.trainer(workload, stock.data(workload, texts), **stock.GROUPED)
    for loader in (made.get_train_dataloader(), stock.bare_loop(workload, stock.data(workload, texts)).loader):
        assert all(batch["attention_mask"].all() for batch in loader)


@pytest.mark.slow
def test_the_cheapest_benchmarks_run_and_write_their_files(tmp_path, backbone_folder, capsys):
    output = tmp_path / "results"
    words = ["overhead", "data", "--quick", "--backbone", backbone_folder, "--output", str(output)]
    suite.main(words)
    names = {"floor", "overhead", "data"}
    written = {path.name for path in output.iterdir()}
    assert written == {"results.json"} | {f"{name}.{ending}" for name in names for ending in ("md", "png")}
    record = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert set(record["benchmarks"]) == names
    assert record["environment"]["versions"]["torch"]
    rows = {row["variant"] for name in names for row in record["benchmarks"][name]["rows"]}
    assert {"fp32 as shipped, square", "ours", "transformers' Trainer", "batches, ours", "mapping, ours"} <= rows
    with pytest.raises(SystemExit, match="must be a folder without results"):
        suite.main(words)


def test_the_benchmark_of_a_gpu_is_refused_on_a_cpu_before_anything_is_measured(tmp_path):
    with pytest.raises(SystemExit, match="The benchmark gpu must have --device cuda, found cpu"):
        suite.main(["floor", "gpu", "--quick", "--output", str(tmp_path / "results")])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "--rounds: must be a whole number of at least 1, found '0'"),
        (["--retries", "-1"], "--retries: must be a whole number of at least 0, found '-1'"),
        (["--batch_size", "x"], "--batch_size: must be a whole number of at least 1, found 'x'"),
        (["trainin"], "must be some of floor, training, .*, found 'trainin'"),
        (["--data", "nowhere"], "--data must be a folder with a train.csv"),
        (["--backbone", "./nowhere"], "found no folder ./nowhere"),
        (["--output", __file__], "--output must be a folder without results, found a file on the way to"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_argument_ends_in_a_sentence_before_anything_is_measured(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.setattr(suite, "measure_all", lambda workload, asked: pytest.fail("measured"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        suite.main(words)
    assert re.search(message, f"{ended.value} {capsys.readouterr().err}")


def test_an_encoder_is_measured_whatever_its_configuration_calls_its_parts(tmp_path):
    config = DistilBertConfig(vocab_size=50, dim=16, hidden_dim=64, n_layers=1, n_heads=2, dropout=0.3)
    workload = Workload(["a text"], "no encoder", tmp_path, quick=True, method=Method(is_trial=True))
    workload.config, workload.lengths = config, lambda texts: [4] * len(texts)
    assert floor(workload).conditions["of the encoder"] == (32 * 24, 16, 64)
    assert workload.conditions(["a text"], training=True)["dropout"] == 0.3


def test_a_step_has_the_tokens_of_its_batch_where_there_are_fewer_texts_than_a_sample_reads(tmp_path, backbone_folder):
    workload = Workload(WORDS[:3], backbone_folder, tmp_path, batch_size=4, quick=True)
    measured = {}

    def measure(variants, *_, **__):
        measured.update({variant.name: variant.tokens / variant.amount for variant in variants})
        return {}, {}

    workload.measure = measure
    tasks.tasks(workload)
    assert measured["2 tasks"] == pytest.approx(4 * 3)  # [CLS] word [SEP]
    assert measured["2 tasks, batches of 8"] == pytest.approx(8 * 3)


def test_the_tokens_of_a_sample_are_those_of_the_steps_that_count_and_cost_what_their_lengths_say(
    tmp_path, backbone_folder
):
    texts = [" ".join(WORDS[: 1 + number % 7]) for number in range(12)]
    workload = Workload(texts, backbone_folder, tmp_path, batch_size=4, ceilings={"fp32": 1e9})
    seen = []
    variant = tasks.step(workload, texts, "a", 2, 3, packing="off")
    trainer = variant.prepare()
    trainer.model.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(int(kwargs["attention_mask"].sum())), with_kwargs=True
    )
    variant.run(trainer)
    variant.inspect(trainer)
    assert variant.tokens == sum(seen[1:])
    variant.run, variant.prepare, variant.inspect = lambda _: {"cost": 2.0}, lambda: None, None
    workload.method = Method(is_trial=True)
    workload.measure([variant], WORDS[:1], training=True)
    share = 100 * variant.tokens * workload.flops_per_token(texts, training=True) / 2.0 / 1e9
    assert variant.facts["% of the ceiling"] == pytest.approx(share)


def test_the_benchmark_of_a_gpu_has_rows_of_ours_with_the_tokens_of_their_steps(tmp_path, backbone_folder, monkeypatch):
    small = {"TOKENS": (64, 128), "WARM": 1, "STEPS": 3, "OUR_WARM": 2, "OUR_STEPS": 5}
    for name, value in (small | {"WARM_SMALL": 1, "STEPS_SMALL": 2}).items():
        monkeypatch.setattr(gpu, name, value)
    quick = {name: create_autospec(getattr(gpu, name)) for name in ("compiled_layers", "graphed")}
    for name, stands_in in quick.items():
        stands_in.side_effect = lambda model: nullcontext()
        monkeypatch.setattr(gpu, name, stands_in)
    texts = [" ".join(WORDS[: 1 + number % 7]) for number in range(40)]
    table = gpu.gpu(Workload(texts, backbone_folder, tmp_path, method=Method(is_trial=True)))
    assert table.skipped == {}
    by_name = {variant.name: variant for variant in table.variants}
    assert [stands_in.call_count for stands_in in quick.values()] == 2 * [sum(gpu.QUICK in name for name in by_name)]
    assert 0.6 * 3 * 64 < by_name["ours, 0k"].amount <= 3 * 64
    assert all(variant.amount == variant.tokens for variant in table.variants)


def test_a_graph_that_cannot_be_made_is_told_with_the_reason(tmp_path, backbone_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "hf_multitask.exporting.onnx_export", None)
    with pytest.raises(Skip, match="no graph to read: .*hf_multitask.exporting.onnx_export"):
        graphs.graph(Workload(["a"], backbone_folder, tmp_path))


def test_all_benchmarks_are_those_that_the_device_can_run(tmp_path, monkeypatch):
    run = []

    def stands_in(name):
        def measured(workload):
            run.append(name)
            return Table(name, name, "s", [], {}, {})

        measured.__name__ = name
        return measured

    monkeypatch.setattr(suite, "BENCHMARKS", {name: stands_in(name) for name in suite.BENCHMARKS})
    monkeypatch.setattr(suite, "draw", lambda table, path: None)
    everything = list(suite.BENCHMARKS)
    suite.main(["--output", str(tmp_path / "results")])
    assert run == [name for name in everything if name != "gpu"]


def test_a_peers_batches_are_sorted_so_many_at_a_time_as_it_says():
    lengths = [3, 9, 1, 7, 5, 8, 2, 6] * 4
    orders = {many: [lengths[place] for place in stock._sampler({"length": lengths}, 2, many)] for many in (2, 16)}
    assert orders[16] == sorted(lengths, reverse=True)
    assert orders[2] != orders[16]
    assert sorted(orders[2]) == sorted(lengths)
