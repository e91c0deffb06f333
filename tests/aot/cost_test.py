"""The work of a whole program: loops count as often as they go round, and what the compiler says nothing of is told."""

import aot_texts
from aot_texts import entry

from prouter_jax.aot.cost import count_work
from prouter_jax.aot.hlo import count_runs, parse_module


def _work(text):
    module = parse_module(text)
    return count_work(module, count_runs(module))


def test_a_loop_counts_as_often_as_it_goes_round():
    work = _work(aot_texts.SCAN)
    size = 128 * 256
    # in a round: sine, multiply, add of the array, add of the counter and its comparison
    assert work.flops == 10 * (3 * size + 2)
    assert work.cycles == 10 * (3338 + 2373)
    # in and out once; beside that only counters of 512 bytes are read
    assert 2 * 4 * size <= work.hbm_bytes < 2 * 4 * size + 100 * 512
    assert work.uncosted == {}
    # all in HBM: in a round 2 arrays of the fusion, 2 of the sum over chips, 3 of the addition; 2 copies of 2 each
    slow = _work(aot_texts.SCAN.replace("S(1)", "")).hbm_bytes
    assert (10 * 7 + 2 * 2) * 4 * size <= slow < (10 * 7 + 2 * 2) * 4 * size + 100 * 512


def test_what_has_no_cycles_is_named_and_weighed():
    table = "%t = f32[1024,128]{1,0:T(8,128)} parameter(0)"
    sort = "%s = f32[1024,128]{1,0:T(8,128)S(1)} sort(%t), dimensions={0}, to_apply=%less"
    work = _work(entry(table, sort))
    assert work.uncosted == {"sort": 1}
    assert work.uncosted_bytes == 2 * 1024 * 128 * 4
    cholesky = '%s = f32[1024,128]{1,0:T(8,128)} custom-call(%t), custom_call_target="Cholesky"'
    assert _work(entry(table, cholesky)).uncosted == {"Cholesky": 1}
    memory = '%s = f32[1024,128]{1,0:T(8,128)} custom-call(%t), custom_call_target="AllocateBuffer"'
    assert _work(entry(table, memory)).uncosted == {}


def test_what_runs_on_a_sparse_core_is_weighed_once_and_its_minus_one_is_no_estimate():
    work = _work(aot_texts.SPARSE)
    assert (work.cycles, work.uncosted) == (0, {"scatter": 1})
    scatter = 2 * 512 + 2 * 4096 * 4  # 8 numbers in a tile of 128, twice, and two arrays of 4,096
    assert work.uncosted_bytes == scatter
    assert work.hbm_bytes == scatter + (1 + 8) * 256 * 4


def test_a_fusion_without_cycles_goes_by_what_is_in_it_and_no_collective_is_among_them():
    assert _work(aot_texts.ASYNC).uncosted == {}
    gather = aot_texts.SCAN.replace("sine(%param_0.9)", "gather(%param_0.9, %param_0.9)")
    assert _work(gather).uncosted == {}
    assert _work(gather.replace('"estimated_cycles":"3338"', "")).uncosted == {"gather": 10}
