"""Darknet's `.cfg` grammar: which layers a section makes, what references mean, and that a mistake is one line naming it."""

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated import Network
from generated.configuration import RENAMED, SECTIONS, ConfigurationError, parse_configuration, read_configuration
from generated.definition import LAYERS

PLANES = "[net]\nheight=12\nwidth=10\nchannels=6\n"
ROW = "[net]\ninputs=7\n"


def layers_of(text: str, net: str = PLANES) -> list:
    """The entries of sections, without those of a [softmax] that ends them."""
    found = parse_configuration(f"{net}{text}\n[softmax]\n").layers
    assert found.pop() == "softmax"
    if found and found[-1] == "flatten":
        found.pop()
    return found


# What each section makes ----------------------------------------------------------------------------------------------

MAPPED = {
    "a convolution as Darknet's defaults have it": (
        "[convolutional]", [("convolution", 1, 1, {"stride": 1, "padding": 0}), "logistic"]
    ),
    "pad=1 pads by half the size": (
        "[convolutional]\nfilters=8\nsize=5\nstride=2\npad=1\npadding=9\nactivation=leaky",
        [("convolution", 8, 5, {"stride": 2, "padding": 2}), "leaky"],
    ),
    "padding pads by its value": (
        "[conv]\nfilters=8\nsize=3\npadding=2\nactivation=linear", [("convolution", 8, 3, {"stride": 1, "padding": 2})]
    ),
    "a normalised convolution": (
        "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=mish",
        [("convolution", 8, 3, {"stride": 1, "padding": 1, "bias": False}), "batch_norm", "mish"],
    ),
    "a convolution in groups": (
        "[convolutional]\nfilters=8\nsize=3\ngroups=2\nactivation=relu",
        [("grouped_convolution", 8, 3, {"groups": 2, "stride": 1, "padding": 0}), "relu"],
    ),
    "a group for each channel": (
        "[convolutional]\nfilters=6\nsize=3\ngroups=6\nactivation=relu",
        [("depthwise_convolution", 3, {"stride": 1, "padding": 0}), "relu"],
    ),
    "several filters for each channel": (
        "[convolutional]\nfilters=12\nsize=3\ngroups=6\nactivation=relu",
        [("grouped_convolution", 12, 3, {"groups": 6, "stride": 1, "padding": 0}), "relu"],
    ),
    "max pooling pads size - 1 in all, the smaller half first": (
        "[maxpool]\nsize=2\nstride=2", [("max_pooling", {"size": 2, "stride": 2, "padding": (0, 1, 0, 1)})]
    ),
    "max pooling of three": (
        "[maxpool]\nsize=3\nstride=1", [("max_pooling", {"size": 3, "stride": 1, "padding": (1, 1, 1, 1)})]
    ),
    "max pooling is as wide as its stride": (
        "[max]\nstride=4\npadding=0", [("max_pooling", {"size": 4, "stride": 4, "padding": (0, 0, 0, 0)})]
    ),
    "average pooling is of the whole plane": ("[avgpool]", ["global_average_pooling"]),
    "a convolution of single places is a dense layer": (
        "[avgpool]\n[convolutional]\nfilters=5\nsize=1\npad=1\nactivation=linear", ["global_average_pooling", ("dense", 5)]
    ),
    "a dense layer of planes": ("[connected]\noutput=5", ["flatten", ("dense", 5), "logistic"]),
    "a normalised dense layer": (
        "[conn]\noutput=5\nbatch_normalize=1\nactivation=hardtan",
        ["flatten", ("dense", 5, {"bias": False}), "batch_norm", "hardtanh"],
    ),
    "normalisation alone": ("[batchnorm]", ["batch_norm"]),
    "an activation alone": ("[activation]\nactivation=relu\n[activation]", ["relu", "linear"]),
    "dropout": ("[dropout]\nprobability=.25\n[dropout]", [("dropout", {"probability": 0.25}), ("dropout", {"probability": 0.5})]),
    "upsampling": ("[upsample]\n[upsample]\nstride=3", [("upsample", {"stride": 2}), ("upsample", {"stride": 3})]),
    "softmax inside": ("[softmax]", ["flatten", "softmax"]),
    "a logistic layer": ("[logistic]", ["flatten", "logistic"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MAPPED)
def test_a_section_makes_its_layers(case):
    text, expected = MAPPED[case]
    assert layers_of(text) == expected


def test_a_row_needs_no_flattening():
    assert layers_of("[connected]\noutput=3\nactivation=relu", ROW) == [("dense", 3), "relu"]


THREE = "[convolutional]\nfilters=4\nbatch_normalize=1\nactivation=leaky\n[maxpool]\nstride=1\n[convolutional]\nfilters=4\nactivation=linear\n"


@pytest.mark.parametrize(("layer", "entry"), [(0, 2), (1, 3), (2, 4), (-1, 4), (-2, 3), (-3, 2)])
def test_a_reference_means_the_last_entry_of_the_section_it_counts(layer, entry):
    shortcut = f"[shortcut]\nfrom={layer}\nactivation=relu"
    assert layers_of(THREE + shortcut)[-2:] == [("shortcut", {"from": entry}), "relu"]
    assert layers_of(f"{THREE}[route]\nlayers={layer}")[-1] == ("route", {"layers": [entry]})
    assert layers_of(f"{THREE}[route]\nlayers = {layer}, 0")[-1] == ("route", {"layers": [entry, 2]})


def test_a_shortcut_that_stays_linear_is_one_entry():
    assert layers_of(f"{THREE}[shortcut]\nfrom=-2")[-1] == ("shortcut", {"from": 3})


def test_a_route_adds_up_channels_and_may_take_a_group_of_them():
    text = f"{THREE}[route]\nlayers=-1,-3\ngroups=2\ngroup_id=1\n[convolutional]\nfilters=8\ngroups=4"
    *_, route, convolution, _ = layers_of(text)
    assert route == ("route", {"layers": [4, 2], "groups": 2, "group_id": 1})
    assert convolution[0] == "grouped_convolution"
    with pytest.raises(ConfigurationError, match="groups=3: must divide the 4 channels that come in and the 9 filters"):
        layers_of(text.replace("filters=8\ngroups=4", "filters=9\ngroups=3"))


def test_a_reference_to_what_dropout_changed_means_dropout():
    """In Darknet it works in place: the array of the layer before it is its own."""
    assert layers_of(f"{THREE}[dropout]\n[shortcut]\nfrom=-2")[-1] == ("shortcut", {"from": 5})
    assert layers_of(f"{THREE}[dropout]\n[shortcut]\nfrom=-3")[-1] == ("shortcut", {"from": 3})


def test_every_activation_of_darknet_is_known():
    darknet = "logistic loggy relu elu selu relie plse hardtan lhtan linear ramp leaky tanh stair"
    for name in darknet.split():
        expected = [] if name == "linear" else [RENAMED.get(name, name)]
        assert layers_of(f"[connected]\nactivation={name}", ROW) == [("dense", 1), *expected]
        assert not expected or expected[0] in LAYERS


COSTS = {
    "[softmax]": "softmax_cross_entropy",
    "[softmax]\n[cost]": "softmax_cross_entropy",
    "[softmax]\n[cost]\ntype=sse": "softmax_cross_entropy",
    "[softmax]\n[cost]\ntype=quadratic": "quadratic",
    "[logistic]": "logistic_cross_entropy",
    "[logistic]\n[cost]": "logistic_cross_entropy",
    "[connected]\n[cost]": "quadratic",
    "[softmax]\n[connected]\n[cost]": "quadratic",
    "[connected]\n[cost]\ntype=squared_error": "squared_error",
    "[connected]\n[cost]\ntype=logistic_cross_entropy": "logistic_cross_entropy",
}


@pytest.mark.parametrize("text", COSTS)
def test_the_last_sections_say_what_is_learned(text):
    assert parse_configuration(ROW + text).cost == COSTS[text]


# [net] ----------------------------------------------------------------------------------------------------------------


def test_net_says_how_to_train():
    found = parse_configuration(
        "[net]\ninputs=7\nbatch=128\nsubdivisions=8\nlearning_rate=.25\nmomentum=0.5\ndecay=5e-4\nmax_batches = 5000\n"
        "policy=constant\n[softmax]"
    )
    told = found.training
    assert (told.batch_size, told.learning_rate, told.momentum, told.weight_decay) == (128, 0.25, 0.5, 5e-4)
    assert (told.max_batches, told.rule, told.settings, found.warnings) == (5000, None, {}, [])


def test_net_has_darknets_defaults():
    told = parse_configuration("[network]\ninputs=7\n[soft]").training
    assert (told.batch_size, told.learning_rate, told.momentum, told.weight_decay, told.max_batches) == (
        1, 0.001, 0.9, 0.0001, 0,
    )  # fmt: skip


def test_adam_is_a_rule_with_settings_of_its_own():
    told = parse_configuration("[net]\ninputs=7\nadam=1\nB1=.8\n[softmax]").training
    assert (told.rule, told.momentum, told.settings) == ("adam", None, {"beta1": 0.8, "beta2": 0.999, "epsilon": 1e-7})


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        ("height=4\nwidth=5\nchannels=3", (3, 4, 5)),
        ("height=4\nwidth=5\nchannels=3\ninputs=60", (3, 4, 5)),
        ("inputs=60", (60,)),
    ],
)
def test_a_sample_is_planes_or_a_row(net, inputs):
    assert parse_configuration(f"[net]\n{net}\n[softmax]").inputs == inputs


# What does not count --------------------------------------------------------------------------------------------------


def test_spaces_comments_and_empty_lines_do_not_count():
    text = "# a net\n\n  [ net ]\n; old\ninputs = 7 # features\n\r\n\tlearning_rate\t= 1e-2;x\n[ softmax ]"
    found = parse_configuration(text)
    assert found.inputs == (7,) and found.training.learning_rate == 0.01 and found.layers == ["softmax"]


def test_keys_that_are_not_used_are_named_with_their_line():
    text = "[net]\ninputs=7\nhue=.1\n[connected]\noutptu=3\noutput=2\noutput=5\n[softmax]\n"
    found = parse_configuration(text, "my.cfg")
    assert found.layers[0] == ("dense", 2)
    assert found.warnings == [
        "my.cfg:3: [net] makes no use of hue",
        "my.cfg:7: [connected] has output already; the first one counts",
        "my.cfg:5: [connected] makes no use of outptu; is output meant?",
    ]
    (warning,) = parse_configuration("[net]\ninputs=7\npolicy=poly\n[softmax]", "my.cfg").warnings
    assert warning == "my.cfg:3: [net] makes no use of policy=poly; the learning rate is constant"


# What is refused ------------------------------------------------------------------------------------------------------

BAD = {
    "nothing": ("", r"my.cfg: no section: the first section must be \[net\]"),
    "only words": ("hello", r"my.cfg:1: 'hello' is neither \[section\] nor key=value"),
    "a key before any section": ("a=1", r"my.cfg:1: 'a=1' stands before any section"),
    "no [net]": ("[softmax]", r"my.cfg:1: \[softmax\]: the first section must be \[net\]"),
    "no layers": (ROW, r"my.cfg:1: no layers after \[net\]"),
    "no inputs": ("[net]\n[softmax]", r"my.cfg:1: \[net\]: must say what a sample is: add channels, height, width, or"),
    "half of the inputs": ("[net]\nwidth=3\nheight=3\n[softmax]", r"my.cfg:1: \[net\]: .*: add channels, or inputs"),
    "inputs that disagree": (f"{PLANES}inputs=7\n[softmax]", r"my.cfg:5: \[net\] inputs=7: .* are 6 x 12 x 10"),
    "an open bracket": (f"{ROW}[softmax", r"my.cfg:3: '\[softmax': a section is a name in brackets"),
    "a key without value": (f"{ROW}[softmax]\ngroups=", r"my.cfg:4: 'groups=' is neither"),
    "an unknown section": (f"{ROW}[attention]", r"my.cfg:3: there is no section \[attention\]; there are net, activation"),
    "a second [net]": (f"{ROW}[net]", r"my.cfg:3: there is no section \[net\]"),
    "no number": (f"{ROW}[connected]\noutput=ten", r"my.cfg:4: \[connected\] output=ten: must be a whole number, 1 to"),
    "half a unit": (f"{ROW}[connected]\noutput=2.5", r"my.cfg:4: \[connected\] output=2.5: must be a whole number"),
    "no units": (f"{ROW}[connected]\noutput=0", r"my.cfg:4: \[connected\] output=0: must be a whole number, 1 to"),
    "too many units": (f"{ROW}[connected]\noutput=9999999999", r"output=9999999999: must be a whole number, 1 to 2147483647"),
    "not a flag": (f"{ROW}[connected]\nbatch_normalize=2", r"batch_normalize=2: must be 0 or 1"),
    "an unknown activation": (f"{ROW}[connected]\nactivation=sigmoid", r"my.cfg:4: .* activation=sigmoid: must be one of elu"),
    "an infinite rate": ("[net]\ninputs=1\nlearning_rate=inf\n[softmax]", r"my.cfg:3: .*learning_rate=inf: must be a number, 0"),
    "a rate that is none": ("[net]\ninputs=1\nlearning_rate=nan\n[softmax]", r"learning_rate=nan: must be a number, 0 or"),
    "a negative momentum": ("[net]\ninputs=1\nmomentum=-1\n[softmax]", r"momentum=-1: must be a number, 0 or more"),
    "dropout of all": (f"{ROW}[dropout]\nprobability=1", r"probability=1: must be a number, 0 or more, less than 1"),
    "groups that do not divide": (
        f"{PLANES}[convolutional]\nfilters=8\ngroups=4",
        r"my.cfg:7: \[convolutional\] groups=4: must divide the 6 channels that come in and the 8 filters",
    ),
    "a convolution of a row": (f"{ROW}[convolutional]", r"my.cfg:3: \[convolutional\]: takes planes, and a row of values"),
    "pooling of a row": (f"{ROW}[maxpool]", r"my.cfg:3: \[maxpool\]: takes planes"),
    "a wide convolution of single places": (f"{PLANES}[avgpool]\n[conv]\nsize=3", r"my.cfg:6: \[conv\]: takes planes"),
    "a reference to a later layer": (
        f"{ROW}[connected]\n[shortcut]\nfrom=2", r"my.cfg:5: \[shortcut\] from=2: there is no earlier layer 2: this is layer 1"
    ),
    "a reference to itself": (f"{ROW}[connected]\n[shortcut]\nfrom=1", r"no earlier layer 1.*0 to 0, or -1 to -1"),
    "a reference too far back": (f"{ROW}[connected]\n[route]\nlayers=-1,-2", r"layers=-1,-2: there is no earlier layer -2"),
    "a reference of the first layer": (f"{ROW}[route]\nlayers=-1", r"this is layer 0; none comes before it"),
    "no reference": (f"{ROW}[connected]\n[shortcut]", r"my.cfg:4: \[shortcut\] has no from; it must be the number of a layer"),
    "no number in a list": (f"{ROW}[connected]\n[route]\nlayers=-1,", r"layers=-1,: must be the numbers of layers"),
    "a route of planes and a row": (f"{PLANES}[maxpool]\n[conn]\n[route]\nlayers=0,1", r"some of these layers give planes"),
    "a group that is not there": (f"{PLANES}[maxpool]\n[route]\nlayers=0\ngroups=2\ngroup_id=2", r"group_id=2: must be 0 to 1"),
    "groups that do not divide a route": (f"{PLANES}[maxpool]\n[route]\nlayers=0\ngroups=4", r"groups=4: must divide the"),
    "softmax in groups": (f"{ROW}[softmax]\ngroups=2", r"my.cfg:4: \[softmax\] groups=2: must be 1: anything else"),
    "a scaled upsampling": (f"{PLANES}[upsample]\nscale=.5", r"\[upsample\] scale=.5: must be 1"),
    "an unknown cost": (f"{ROW}[connected]\n[cost]\ntype=smooth", r"my.cfg:5: \[cost\] type=smooth: must be sse, or one of log"),
    "layers after the cost": (f"{ROW}[connected]\n[cost]\n[softmax]", r"my.cfg:5: \[softmax\] comes after \[cost\]"),
    "no cost": (f"{ROW}[connected]", r"my.cfg:3: \[connected\] is the last section; it must be \[softmax\], \[logistic\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_that_names_its_place(case):
    text, message = BAD[case]
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_configuration(text, "my.cfg")
    assert "\n" not in str(caught.value)


def test_what_a_network_refuses_is_told_with_the_line_of_its_section(monkeypatch):
    found = parse_configuration(
        f"{ROW}[connected]\noutput=3\nactivation=relu\n[connected]\noutput=2\n[softmax]", "my.cfg"
    )
    assert [found.places[number] for number in (0, 1, 2)] == [(3, "connected"), (3, "connected"), (6, "connected")]

    def refuse(self, *arguments, **options):
        raise ValueError("layer 3: too large")

    monkeypatch.setattr(Network, "__init__", refuse)
    with pytest.raises(ConfigurationError, match=r"^my.cfg:6: \[connected\] too large$"):
        found.network()


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "my.cfg"
    path.write_bytes(b"[net]\n\xff\xfe\0")
    with pytest.raises(ConfigurationError, match=r"my.cfg: not a text in UTF-8"):
        read_configuration(path)
    with pytest.raises(FileNotFoundError):
        read_configuration(tmp_path / "other.cfg")
    path.write_bytes("\ufeff[net]\r\ninputs=3\r\n[softmax]\r\n".encode())
    assert read_configuration(path).inputs == (3,)


# Any text -------------------------------------------------------------------------------------------------------------

KEYS = ["inputs", "height", "width", "channels", "x", *sorted({key for kind in SECTIONS.values() for key in kind.keys})]
VALUES = st.one_of(
    st.integers(-3, 9).map(str),
    st.sampled_from(["relu", "1e400", "-1,0", "9" * 5000, "nan", "sse"]),
    st.text(max_size=5),
)
LINES = st.one_of(
    st.sampled_from([f"[{name}]" for name in SECTIONS]),
    st.tuples(st.sampled_from(KEYS), VALUES).map("=".join),
    st.text(max_size=12),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=12), st.booleans())
def test_any_text_is_a_network_or_one_clear_error(lines, planes):
    text = (PLANES if planes else ROW) + "\n".join(lines)
    began = time.perf_counter()
    try:
        found = parse_configuration(text, "my.cfg")
    except ConfigurationError as error:
        assert re.match(r"my\.cfg(:\d+)?: ", str(error)) and "\n" not in str(error)
    else:
        assert len(found.layers) == len(found.places) > 0
    assert time.perf_counter() - began < 1


# Networks that trained with Darknet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "cifar", "darknet19", "resnet18"])
def test_published_classifiers_are_understood(name):
    folder = os.environ.get("BACKDERIVE_DATA")
    if not folder:
        pytest.skip("BACKDERIVE_DATA does not name the folder with Darknet's cfg files")
    path = Path(folder, "cfg", f"{name}.cfg")
    found = read_configuration(path)
    sections = re.findall(r"^\[(\w+)\]", path.read_text(), re.MULTILINE)
    assert found.cost == "softmax_cross_entropy"
    assert sum(entry[0] in ("convolution", "dense") for entry in found.layers) == sections.count("convolutional")
    assert all("makes no use of" in warning for warning in found.warnings)


def test_the_network_of_a_file_trains(tmp_path):
    path = tmp_path / "my.cfg"
    path.write_text(
        "[net]\ninputs=5\n[connected]\noutput=8\nactivation=tanh\n[connected]\noutput=2\nactivation=linear\n[softmax]"
    )
    network = read_configuration(path).network(random_state=3, dtype="float64")
    same = Network(
        [("dense", 8), "tanh", ("dense", 2), "softmax"], cost="softmax_cross_entropy", random_state=3, dtype="float64"
    )
    X = np.random.default_rng(0).standard_normal((40, 5))
    options = {"epochs": 2, "learning_rate": 0.1}
    assert (network.fit(X, X[:, 0] > 0, **options).outputs(X) == same.fit(X, X[:, 0] > 0, **options).outputs(X)).all()
