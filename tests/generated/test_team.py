"""Threads that go through the phases of a program: together, alone, late, and for fewer shares than there are threads."""

import numba
import numpy as np
import pytest
from numba import njit, prange

import generated.network as network_module
from generated import Network, plan, program
from generated.layers.dense import DENSE
from generated.native import LINE
from generated.program import Call, Program, Stage, zeros
from generated.team import begins, completes, next_share, words


@njit
def phases(thread, threads, team, shares_of, done):
    """What a thread does in the phases of so many shares each: it counts them."""
    until = 0
    for phase, shares in enumerate(shares_of):
        until += shares
        share = thread if thread < shares else next_share(team, threads, phase, shares, until)
        while share >= 0:
            if begins(team, share, phase):
                done[phase, share] += 1
                completes(team, threads)
            share = next_share(team, threads, phase, shares, until)


@njit(parallel=True)
def together(threads, team, shares_of, done):
    for thread in prange(threads):
        phases(np.intp(thread), threads, team, shares_of, done)


def counted(shares_of, threads):
    """The arrays of a team: its words (and what keeps them), the counts of shares done."""
    array = zeros(words(threads), np.int64)
    return array, np.zeros((len(shares_of), threads), np.int64)


SHARES = np.array([3, 1, 1, 3, 2, 1, 3], np.int64)
EACH_ONCE = np.arange(3)[None, :] < SHARES[:, None]


@pytest.mark.parametrize("order", ([0, 1, 2], [2, 0, 1], [1, 2, 0]))
def test_a_thread_that_runs_alone_does_every_share_once_and_the_late_ones_nothing_more(order):
    array, done = counted(SHARES, 3)
    for thread in order:
        phases(thread, 3, array.ctypes.data, SHARES, done)
        np.testing.assert_array_equal(done, EACH_ONCE)


def test_threads_together_do_every_share_once():
    shares = np.tile(SHARES, 300)
    array, done = counted(shares, 3)
    together(3, array.ctypes.data, shares, done)
    np.testing.assert_array_equal(done, np.tile(EACH_ONCE, (300, 1)))


def test_the_numbers_of_a_team_lie_in_cache_lines_of_their_own():
    array = zeros(words(4), np.int64)
    assert array.ctypes.data % LINE == 0 and array.nbytes == 5 * LINE


def trained(monkeypatch, threads, alone=False):
    """The bits of a network after some steps whose stages are all shared out among so many threads, or one that does what
    they should do."""
    driver = program._driver(False)
    with monkeypatch.context() as patch:
        for least in ("PARALLEL_WORK", "SHARED_WORK", "ACROSS_WORK"):
            patch.setattr(plan, least, 0)
        patch.setattr(network_module, "get_num_threads", lambda: threads)
        patch.setattr(program, "get_num_threads", lambda: threads)
        if alone:
            patch.setattr(program, "_driver", lambda parallel: driver)
        layers = [("dense", 70), "relu", ("dense", 64), "softmax"]
        network = Network(layers, cost="softmax_cross_entropy", random_state=0)
        random = np.random.default_rng(0)
        X, Y = random.standard_normal((150, 300), dtype=np.float32), np.eye(64)[random.integers(0, 64, 150)]
        network.fit(X, Y, batch_size=64, epochs=3)
        return b"".join(array.tobytes() for layer in network.parameters for array in layer.values())


def test_networks_have_the_same_bits_with_threads_that_come_and_threads_that_do_not(monkeypatch):
    alone = trained(monkeypatch, 1)
    for threads in range(2, numba.config.NUMBA_NUM_THREADS + 1):
        assert trained(monkeypatch, threads) == alone
    for threads in (2, 3, 7):
        assert trained(monkeypatch, threads, alone=True) == alone


def test_dense_layers_across_their_units_give_the_bits_of_those_across_samples():
    random = np.random.default_rng(0)
    a, w, b, delta_z = (random.standard_normal(shape).astype(np.float32) for shape in ((9, 50), (50, 83), 83, (9, 83)))
    arrays = {"a": a, "w": w, "b": b, "delta_z": delta_z}
    for kernel in (DENSE.forward[0], DENSE.backward[1]):
        (result,) = kernel.writes
        found = []
        for own, grain in ((kernel, 4), (kernel.across, 1), (kernel.across, 32), (kernel.across, 100)):
            given = {name: arrays.get(name) for name in kernel.arrays}
            given[result] = np.zeros((9, 83 if result == "z" else 50), np.float32)
            Program([Stage([Call(own, given)], grain=grain)], np.float32).run()
            found.append(given[result])
        assert found[0].any()
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])
