"""Darknet's .weights: what is read is what stands there, what is written is read by others, and nothing else is accepted."""

import random
import struct
import time
from types import SimpleNamespace

import numpy as np
import pytest

from generated import Network
from generated.weights import Header, WeightsError, read_weights, write_weights

CONVOLUTION = ("convolution", 4, 3, {"padding": 1, "bias": False})
LAYERS = [
    CONVOLUTION, "batch_norm_darknet", "leaky", ("max_pooling", {"size": 2, "stride": 2}),
    ("convolution", 2, 1), ("shortcut", {"from": -1}), "batch_norm", "leaky",
    ("local", 3, 3), "relu",
    "flatten", ("dense", 5, {"bias": False}), "batch_norm", "logistic", ("dense", 2),
]  # fmt: skip
# As Darknet would count them: sections, and for each that has numbers their shapes in the order of the file.
SHAPES = {
    0: [(4,), (4,), (4,), (4,), (4, 3, 3, 3)],  # biases, scales, means, variances, weights
    2: [(2,), (2, 4, 1, 1)],
    4: [(2,), (2,), (2,)],  # [batchnorm]: no biases
    5: [(3, 2, 2), (2, 2, 3, 2, 3, 3)],  # each place's own
    6: [(5,), (5, 12), (5,), (5,), (5,)],  # [connected]: the weights come before the scales
    7: [(2,), (2, 5)],
}
SECTIONS = 8


def network(seed: int = 0, layers=LAYERS, **how) -> Network:
    """With a [batchnorm] as Darknet has it after it is read: its biases are zero."""
    return Network(layers, inputs=how.pop("inputs", (3, 8, 8)), random_state=seed, **how)


def drawn(seed: int = 0) -> dict[int, list[np.ndarray]]:
    """Numbers for every section, none of them below zero."""
    generator = np.random.default_rng(seed)
    return {n: [generator.random(s).astype("<f4") for s in shapes] for n, shapes in SHAPES.items()}


def content(numbers: dict[int, list[np.ndarray]], head: bytes = struct.pack("<iiiQ", 0, 2, 0, 640)) -> bytes:
    return head + b"".join(a.tobytes() for arrays in numbers.values() for a in arrays)


def kept(one: Network) -> list[np.ndarray]:
    return [a.copy() for d in (*one.parameters, *one.states) for a in d.values()]


def unchanged(one: Network, before: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(kept(one), before, strict=True))


def test_every_number_goes_where_darknet_has_it(tmp_path):
    one, numbers, path = network(), drawn(), tmp_path / "all.weights"
    one.parameters[6]["beta"][:] = 3
    path.write_bytes(content(numbers))
    assert read_weights(one, path) == Header(0, 2, 0, 640)
    p, s = one.parameters, one.states
    places = {
        0: [p[1]["beta"], p[1]["gamma"], s[1]["mean"], s[1]["variance"], p[0]["w"]],
        2: [p[4]["b"], p[4]["w"]],
        4: [p[6]["gamma"], s[6]["mean"], s[6]["variance"]],
        5: [p[8]["b"], p[8]["w"]],
        6: [p[12]["beta"], p[11]["w"], p[12]["gamma"], s[12]["mean"], s[12]["variance"]],
        7: [p[14]["b"], p[14]["w"]],
    }
    for number, arrays in places.items():
        for array, wanted in zip(arrays, numbers[number], strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert not p[6]["beta"].any()  # which the file has no place for
    write_weights(one, tmp_path / "again.weights", seen=640)
    assert (tmp_path / "again.weights").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("head", "header"),
    [
        (struct.pack("<iiii", 0, 1, 0, 7), Header(0, 1, 0, 7)),
        (struct.pack("<iiiQ", 0, 2, 5, 1 << 40), Header(0, 2, 5, 1 << 40)),
        (struct.pack("<iiiQ", 1, 0, 0, 7), Header(1, 0, 0, 7)),
    ],
)
def test_samples_seen_are_of_four_bytes_before_version_0_2(tmp_path, head, header):
    path, one, other = tmp_path / "a.weights", network(0), network(1)
    path.write_bytes(content(drawn(), head))
    assert read_weights(one, path) == header
    path.write_bytes(content(drawn()))
    read_weights(other, path)
    assert unchanged(one, kept(other))


def test_transposed_connected_weights_are_turned_and_no_others(tmp_path):
    path, one, numbers = tmp_path / "a.weights", network(), drawn()
    turned = {n: [a.T.copy() if n in (6, 7) and a.ndim == 2 else a for a in arrays] for n, arrays in numbers.items()}
    path.write_bytes(content(turned, struct.pack("<iiii", 0, 1001, 0, 7)))
    assert read_weights(one, path).transposed
    np.testing.assert_array_equal(one.parameters[11]["w"], numbers[6][1])
    np.testing.assert_array_equal(one.parameters[0]["w"], numbers[0][4])


def test_a_dense_layer_of_a_convolutional_section_lies_as_a_convolution(tmp_path):
    layers = ["global_average_pooling", ("dense", 4, {"bias": False}), "batch_norm", "leaky"]
    places = [SimpleNamespace(name=n, first=a, last=b) for n, a, b in (("avgpool", 0, 1), ("convolutional", 1, 4))]
    path, one = tmp_path / "a.weights", network(0, layers)
    values = np.arange(28, dtype="<f4")
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 0, 0) + values.tobytes())
    read_weights(one, path, sections=places)
    np.testing.assert_array_equal(one.parameters[1]["w"].reshape(-1), values[16:])
    read_weights(one, path)  # as it looks, connected
    np.testing.assert_array_equal(one.parameters[1]["w"].reshape(-1), values[4:16])
    np.testing.assert_array_equal(one.states[2]["variance"], values[24:])


def test_groups_lie_one_after_the_other(tmp_path):
    path = tmp_path / "a.weights"
    grouped = network(0, [("grouped_convolution", 6, 3, {"groups": 3})])
    depthwise = network(0, [("depthwise_convolution", 3)])
    for one, shapes in ((grouped, ((6,), (6, 1, 3, 3))), (depthwise, ((3,), (3, 1, 3, 3)))):
        b, w = (np.random.default_rng(0).random(shape).astype("<f4") for shape in shapes)
        path.write_bytes(struct.pack("<iiiQ", 0, 2, 0, 0) + b.tobytes() + w.tobytes())
        read_weights(one, path)
        np.testing.assert_array_equal(one.parameters[0]["w"].reshape(shapes[1]), w)
        np.testing.assert_array_equal(one.parameters[0]["b"].reshape(-1), b)


def test_double_precision_keeps_what_the_file_holds(tmp_path):
    one, path = network(dtype="float64"), tmp_path / "a.weights"
    path.write_bytes(content(drawn()))
    read_weights(one, path)
    write_weights(one, tmp_path / "b.weights", seen=640)
    assert (tmp_path / "b.weights").read_bytes() == path.read_bytes()


# Parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", range(1, SECTIONS + 1))
def test_a_cutoff_reads_the_first_sections_and_leaves_the_others(tmp_path, cutoff):
    one, whole, path, before = network(), network(1), tmp_path / "a.weights", kept(network())
    numbers = drawn()
    path.write_bytes(content({n: a for n, a in numbers.items() if n < cutoff}))
    read_weights(one, path, cutoff=cutoff)
    (tmp_path / "b.weights").write_bytes(content(numbers))
    read_weights(whole, tmp_path / "b.weights")
    part = network()
    read_weights(part, tmp_path / "b.weights", cutoff=cutoff)  # of the whole file as well
    assert unchanged(part, kept(one))
    same = [np.array_equal(a, b) for a, b in zip(kept(one), kept(whole), strict=True)]
    old = [np.array_equal(a, b) for a, b in zip(kept(one), before, strict=True)]
    assert all(a or b for a, b in zip(same, old, strict=True)) and all(same) == (cutoff == SECTIONS)
    write_weights(one, tmp_path / "c.weights", 640, cutoff)
    assert (tmp_path / "c.weights").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("cutoff", [0, -1, SECTIONS + 1, True, 2.0])
def test_a_cutoff_that_is_no_number_of_sections_is_refused(tmp_path, cutoff):
    (tmp_path / "a.weights").write_bytes(content(drawn()))
    with pytest.raises(WeightsError, match="cutoff must be how many sections count, 1 to 8, not"):
        read_weights(network(), tmp_path / "a.weights", cutoff=cutoff)


# Refused --------------------------------------------------------------------------------------------------------------


def refused(tmp_path, data: bytes, said: str, layers=LAYERS, **how) -> None:
    one, path = network(5, layers), tmp_path / "bad.weights"
    before = kept(one)
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=said) as raised:
        read_weights(one, path, **how)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
    assert unchanged(one, before)


def test_a_file_too_short_or_too_long_says_where(tmp_path):
    whole = content(drawn())
    first = sum(int(np.prod(shape)) for shape in SHAPES[0])
    for data, said in (
        (
            whole[:-4],
            r"section 7, \[connected\] \(layer 15 of the network\), after 9 of its 10 weights; 1 of 460 values",
        ),
        (whole[:-1], r"after 9 of its 10 weights; 1 of 460 values are missing"),
        (
            whole[: 20 + 4 * 9],
            r"section 0, \[convolutional\] \(layers 1 to 3 of the network\), after 1 of its 4 means; 451",
        ),
        (whole[: 20 + 4 * first], r"section 2, \[convolutional\] \(layer 5 .*after 0 of its 2 biases \(cutoff=2 reads"),
        (whole[:20], "too short for the network: it ends in section 0"),
        (
            whole + bytes(8),
            r"too long for the network: it has 2 values more than the 460 that section 7, \[connected\]",
        ),
        (whole + bytes(3), "it has 0 values and 3 bytes more than the 460"),
    ):
        refused(tmp_path, data, said)
    refused(tmp_path, whole[: 20 + 4 * first - 4], r"section 0.*after 107 of its 108 weights; 1 of 124", cutoff=1)


@pytest.mark.parametrize(
    ("number", "part", "value", "said"),
    [
        (0, 4, np.nan, r"section 0, \[convolutional\].*its weights have nan at place 3 of 108; all must be finite"),
        (4, 1, np.inf, r"section 4, \[batchnorm\] \(layers 7 to 8.*its means have inf at place 1 of 2"),
        (6, 4, -1e-9, r"section 6, \[connected\].*variances have -1e-09 at place 3 of 5; none can be below 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path, number, part, value, said):
    numbers = drawn()
    numbers[number][part].flat[min(3, numbers[number][part].size - 1)] = value
    refused(tmp_path, content(numbers), said)


def test_a_header_that_is_none_of_darknets_is_refused(tmp_path):
    body = content(drawn())[20:]
    for head, said in (
        (b"", "0 bytes are there; the header alone is 16"),
        (struct.pack("<iii", 0, 1, 0), "12 bytes are there"),
        (struct.pack("<iiii", 0, 2, 0, 0), "it ends in its header: 16 bytes are there, of 20 in version 0.2.0"),
    ):
        refused(tmp_path, head, said)
    for head, said in (
        (b"PK\3\4" + bytes(16), "not a file of weights: it begins with version 67324752.0.0"),
        (struct.pack("<iiiQ", -1, 2, 0, 0), "it begins with version -1.2.0"),
        (struct.pack("<iiiQ", 0, 2, 0, (1 << 64) - 1), "it says that -1 samples were seen"),
        (struct.pack("<iiii", 0, 1, 0, -7), "it says that -7 samples were seen"),
    ):
        refused(tmp_path, head + body, said)
    with pytest.raises(OSError):
        read_weights(network(), tmp_path)
    with pytest.raises(FileNotFoundError):
        read_weights(network(), tmp_path / "none.weights")


def test_what_a_file_has_no_place_for_is_refused(tmp_path):
    path = tmp_path / "a.weights"
    one = network()
    one.parameters[6]["beta"][0] = 1
    with pytest.raises(WeightsError, match=r"section 4, \[batchnorm\].*no place for its shifts, and they are not 0"):
        write_weights(one, path)
    one = network()
    one.parameters[14]["w"][0, 0] = np.inf
    with pytest.raises(WeightsError, match=r"section 7, \[connected\].*its weights are not all finite"):
        write_weights(one, path)
    one = network(dtype="float64")
    one.parameters[14]["w"][0, 0] = 1e300
    with pytest.raises(WeightsError, match="not all finite numbers of four bytes"):
        write_weights(one, path)
    for seen in (-1, 1 << 63, 1.5, True):
        with pytest.raises(WeightsError, match="seen must be a whole number"):
            write_weights(network(), path, seen)
    assert not path.exists() and list(tmp_path.iterdir()) == []
    plain = [("dense", 2, {"bias": False})]
    refused(tmp_path, struct.pack("<iiiQ4f", 0, 2, 0, 0, 0, 0.5, 1, 1), "too short", plain)
    values = np.ones(2 + 2 * 192, "<f4")
    refused(tmp_path, struct.pack("<iiiQ", 0, 2, 0, 0) + values.tobytes(), "its biases have 1 at place 0 of 2", plain)


def test_a_file_stays_as_it_was_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.weights"
    write_weights(network(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        write_weights(network(1), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.weights"]


def test_damaged_files_are_refused_within_a_second(tmp_path):
    """Cut anywhere, bytes changed, huge numbers in the header: an error or, where the numbers can be, those numbers."""
    chance, whole, one = random.Random(0), content(drawn()), network(5)
    before, path, accepted = kept(one), tmp_path / "a.weights", 0
    damaged = [whole[: chance.randrange(len(whole))] for _ in range(60)]
    damaged += [whole[:n] for n in range(24)]
    damaged += [chance.randbytes(chance.choice([0, 5, 20, 100, len(whole)])) for _ in range(60)]
    huge = (2**31 - 1, -(2**31), 1000, 1001, 2001, 0x7F7F7F7F)
    damaged += [struct.pack("<iii", a, b, c) + whole[12:] for a in huge for b in (0, *huge) for c in (0, *huge)]
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 4, 40])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        damaged.append(bytes(data))
    for data in damaged:
        path.write_bytes(data)
        began = time.perf_counter()
        try:
            read_weights(one, path)
        except WeightsError as error:
            assert unchanged(one, before) and str(path) in str(error)
        else:
            accepted += 1
            assert len(data) in (len(whole), len(whole) - 4) and all(np.isfinite(a).all() for a in kept(one))
            before = kept(one)
        assert time.perf_counter() - began < 1
    assert accepted < 100
