"""Darknet's `.cfg` grammar: which layers a section makes, what references mean, and that a mistake is one line naming it."""

import os
import re
import resource
import shutil
import subprocess
import time
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated import Network
from generated.configuration import (
    NET_KEYS,
    Augmentation,
    Configuration,
    ConfigurationError,
    parse_configuration,
    read_configuration,
    write_configuration,
)
from generated.definition import HEADS, LAYERS, tensor
from generated.graph import Graph, entry_of
from generated.sections import KINDS, RENAMED

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
        [("convolution", 8, 3, {"stride": 1, "padding": 1, "bias": False}), "batch_norm_darknet", "mish"],
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
        ["flatten", ("dense", 5, {"bias": False}), "batch_norm_darknet", "hardtanh"],
    ),
    "normalisation alone": ("[batchnorm]", ["batch_norm_darknet"]),
    "an activation alone": ("[activation]\nactivation=relu\n[activation]", ["relu", "linear"]),
    "dropout": ("[dropout]\nprobability=.25\n[dropout]", [("dropout", {"probability": 0.25}), ("dropout", {"probability": 0.5})]),
    "upsampling": ("[upsample]\n[upsample]\nstride=3", [("upsample", {"stride": 2}), ("upsample", {"stride": 3})]),
    "softmax inside": ("[softmax]", ["flatten", "softmax"]),
    "a logistic layer": ("[logistic]", ["flatten", "logistic"]),
    "a locally connected layer": (
        "[local]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky",
        [("local", 4, 3, {"stride": 2, "padding": 1}), "leaky"],
    ),
    "a locally connected layer as Darknet's defaults have it": (
        "[local]", [("local", 1, 1, {"stride": 1, "padding": 0}), "logistic"]
    ),
    "places that become channels": (
        "[reorg]\nstride=2\n[conv]\nfilters=24\ngroups=24\nactivation=linear",
        [("reorg", {"stride": 2}), ("depthwise_convolution", 1, {"stride": 1, "padding": 0})],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MAPPED)
def test_a_section_makes_its_layers(case):
    text, expected = MAPPED[case]
    assert layers_of(text) == expected


def test_normalisation_may_be_that_of_other_darknets():
    text = f"{PLANES}[conv]\nbatch_normalize=1\nactivation=linear\n[batchnorm]\n[connected]\nbatch_normalize=1\n[cost]"
    found = parse_configuration(text, normalisation="batch_norm")
    assert found.normalisation == "batch_norm" and found.layers[1:3] == ["batch_norm", "batch_norm"]
    assert [entry for entry in found.layers if "norm" in entry] == ["batch_norm"] * 3
    with pytest.raises(
        ValueError, match="normalisation must be one of batch_norm_darknet, batch_norm, not 'layer_norm'"
    ):
        parse_configuration(text, normalisation="layer_norm")


YOLO = """[convolutional]
filters=14
activation=linear
[yolo]
mask=2,0
anchors = 10,14,  23,27,  37.5,58
classes=2
num=3
ignore_thresh=.7
jitter=.3
random=1
max=50
"""


def test_a_yolo_section_is_a_head_with_the_anchors_that_are_its_own():
    found = parse_configuration(PLANES + YOLO)
    settings = {
        "anchors": [(10, 14), (23, 27), (37.5, 58)], "mask": [2, 0], "ignore_threshold": 0.7, "truth_threshold": 1,
    }  # fmt: skip
    assert found.layers[1:] == [("yolo", 2, settings)]
    assert found.cost is None and found.is_detector and found.warnings == []
    assert found.augmentation == Augmentation(jitter=0.3, random=1, max_boxes=50)


def test_a_yolo_section_has_darknets_defaults():
    found = parse_configuration(f"{PLANES}[conv]\nfilters=25\n[yolo]\nanchors=3,4")
    assert found.layers[-1] == (
        "yolo", 20, {"anchors": [(3, 4)], "mask": [0], "ignore_threshold": 0.5, "truth_threshold": 1}
    )  # fmt: skip
    assert found.augmentation == Augmentation(jitter=0.2, random=0, max_boxes=90)
    assert parse_configuration(PLANES + YOLO.replace("mask=2,0\n", "").replace("14\n", "21\n", 1)).layers[-1][2]["mask"] == [
        0, 1, 2,
    ]  # fmt: skip


def test_what_the_last_head_says_of_the_pictures_counts_as_in_darknet():
    found = parse_configuration(f"{PLANES}{YOLO}[route]\nlayers=0\n{YOLO.replace('jitter=.3', 'jitter=.1')}", "my.cfg")
    assert found.augmentation.jitter == 0.1
    assert found.warnings == [
        "my.cfg:22: [yolo] makes no use of jitter of an earlier head; those of the last head count"
    ]


def test_a_region_section_is_the_head_of_yolov2():
    text = (
        "[conv]\nfilters=16\n[region]\nanchors=1.5,2,3,4\nnum=2\nclasses=3\ncoords=4\nsoftmax=1\nrescore=1\nthresh=.6"
    )
    found = parse_configuration(f"{PLANES}{text}\nobject_scale=5\nabsolute=1\nbias_match=1\njitter=.1")
    assert found.layers[-1] == (
        "region", 3,
        {
            "anchors": [(1.5, 2), (3, 4)], "coords": 4, "softmax": 1, "bias_match": 1, "rescore": 1, "absolute": 1,
            "thresh": 0.6, "coord_scale": 1, "object_scale": 5, "noobject_scale": 1, "class_scale": 1,
        },
    )  # fmt: skip
    assert found.cost is None and found.augmentation == Augmentation(jitter=0.1, max_boxes=30)


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
    assert layers_of(f"{THREE}[dropout]\n[dropout]\n[shortcut]\nfrom=-3")[-1] == ("shortcut", {"from": 6})


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
    assert (told.subdivisions, told.max_batches, told.settings, found.warnings) == (8, 5000, {}, [])
    assert told.rule == "momentum_darknet" and told.policy.rates(1, 3).tolist() == [0.25] * 3


def test_net_says_how_pictures_are_changed():
    text = "[net]\ninputs=7\nangle=7\naspect=.75\nsaturation=1.5\nexposure = 1.25\nhue=.1\nflip=0\n[softmax]"
    found = parse_configuration(text)
    assert found.augmentation == Augmentation(7, 0.75, 1.5, 1.25, 0.1, 0) and not found.warnings
    assert parse_configuration("[net]\ninputs=7\n[softmax]").augmentation == Augmentation(0, 1, 1, 1, 0, 1, 0.2, 0, 90)


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
    text = "[net]\ninputs=7\nmax_crop=9\n[connected]\noutptu=3\noutput=2\noutput=5\n[softmax]\n"
    found = parse_configuration(text, "my.cfg")
    assert found.layers[0] == ("dense", 2)
    assert found.warnings == [
        "my.cfg:3: [net] makes no use of max_crop",
        "my.cfg:7: [connected] has output already; the first one counts",
        "my.cfg:5: [connected] makes no use of outptu; is output meant?",
    ]
    (warning,) = parse_configuration(f"{ROW}[connected]", "my.cfg").warnings
    assert warning.startswith(
        "my.cfg:3: [connected] is the last section, and says nothing of what is learned; [softmax],"
    )


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
    "anchors that are not there": (f"{PLANES}{YOLO.replace('num=3', 'num=4')}", r"my.cfg:10: .* num=4 boxes need 8 numbers, a"),
    "no anchors": (f"{PLANES}[yolo]", r"my.cfg:5: \[yolo\] has no anchors; it must be width and height of each box, in pixels"),
    "an empty anchor": (f"{PLANES}{YOLO.replace('23,27', '23,0')}", r"my.cfg:10: .* a width or a height is 0; all must be"),
    "a mask beyond the anchors": (f"{PLANES}{YOLO.replace('2,0', '3,0')}", r"my.cfg:9: \[yolo\] mask=3,0: must name anchors, each"),
    "a mask that repeats": (f"{PLANES}{YOLO.replace('2,0', '1,1')}", r"my.cfg:9: \[yolo\] mask=1,1: .* numbers 0 to 2"),
    "filters that do not fit the classes": (
        f"{PLANES}{YOLO.replace('classes=2', 'classes=3')}",
        r"my.cfg:8: \[yolo\]: takes 2 \* \(5 \+ 3\) = 16 channels, and 14 come in; filters before it must be 16",
    ),
    "a head of a row": (f"{ROW}[yolo]\nanchors=1,2", r"my.cfg:3: \[yolo\]: takes planes"),
    "a region of other channels": (f"{PLANES}[region]\nanchors=1,2", r"my.cfg:5: \[region\]: takes 1 \* \(1 \+ 4 \+ 20\) = 25"),
    "a padding that Darknet computes wrongly": (f"{PLANES}[local]\nsize=5\npad=1", r"my.cfg:7: \[local\] pad=1: Darknet's own is"),
    "an unknown cost": (f"{ROW}[connected]\n[cost]\ntype=round", r"my.cfg:5: \[cost\] type=round: must be sse, or one of log"),
    "layers after the cost": (f"{ROW}[connected]\n[cost]\n[softmax]", r"my.cfg:5: \[softmax\] comes after \[cost\]"),
    "more than a file can have": (f"{ROW}[softmax]\n# {'x' * 2**20}", r"my.cfg: more than 1,048,576 characters: no network"),
    "more sections than a network has": (ROW + "[dropout]\n" * 1001, r"my.cfg:1002: more than 1,000 sections"),
    "more keys than a section has": (ROW + "\n".join(f"k{n}=1" for n in range(600)), r"my.cfg:502: \[net\] has more than 500"),
    "more layers than a route takes": (f"{ROW}[conn]\n[route]\nlayers={'0,' * 500}0", r"my.cfg:5: .* the numbers of layers, 500"),
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


# What is read, but not built ------------------------------------------------------------------------------------------

NOT_BUILT = {
    "softmax in groups": (f"{ROW}[softmax]\ngroups=2", "my.cfg:4: [softmax] groups=2: must be 1: anything else cannot be built"),
    "a tree of classes": (f"{ROW}[softmax]\ntree=9k.tree", "my.cfg:4: [softmax] tree=9k.tree: must not be given"),
    "a scaled upsampling": (f"{PLANES}[upsample]\nscale=.5\n[softmax]", "my.cfg:6: [upsample] scale=.5: must be 1"),
    "a gated unit": (f"{ROW}[gru]\noutput=4\n[softmax]", "my.cfg:3: [gru] is read and written, but cannot be built here"),
    "recurrent layers": (
        f"{PLANES}[crnn]\noutput_filters=4\n[lstm]\n[rnn]\noutput=2\nactivation=relu\nshortcut=1\n[softmax]",
        "my.cfg:5: [crnn] is read and written",
    ),
    "a crop": (
        f"{PLANES}[crop]\ncrop_height=8\ncrop_width=8\nflip=1\n[conv]\n[softmax]",
        "my.cfg:5: [crop] is read and written, but cannot be built here; give [net] the height and width that it crops to",
    ),
    "YOLOv1's head": (f"{PLANES}[connected]\noutput=9\n[detection]\nside=3\nclasses=3", "my.cfg:7: [detection] is read and"),
    "other planes": (
        f"{PLANES}[deconv]\nfilters=8\nstride=2\n[lrn]\nkappa=2\n[l2norm]\n[conv]\ngroups=4\nfilters=4\n[iseg]",
        "my.cfg:5: [deconv] is read and written",
    ),
    "another cost": (f"{ROW}[connected]\n[cost]\ntype=smooth", "my.cfg:5: [cost] type=smooth: type must be sse, or one of"),
    "binary weights": (f"{PLANES}[conv]\nxnor=1\n[softmax]", "my.cfg:6: [conv] xnor=1: must be 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_BUILT)
def test_what_cannot_be_built_is_read_and_written_and_refused_with_its_line_when_it_is_built(case):
    text, message = NOT_BUILT[case]
    found = parse_configuration(text, "my.cfg")
    with pytest.raises(ConfigurationError) as caught:
        found.network()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert_written_back(found)


# Written back ---------------------------------------------------------------------------------------------------------


def assert_written_back(found: Configuration) -> None:
    """A configuration's text states the same network and training, and its own text is that text."""
    again = parse_configuration(found.text(), found.path, found.normalisation)
    for name in ("layers", "cost", "inputs", "training", "augmentation", "kept"):
        assert getattr(again, name) == getattr(found, name), name
    assert [one.name for one in again.sections] == [one.name for one in found.sections]
    assert len(again.obstacles) == len(found.obstacles) and again.text() == found.text()


@pytest.mark.parametrize("case", MAPPED)
def test_every_section_is_written_back(case):
    assert_written_back(parse_configuration(f"{PLANES}{MAPPED[case][0]}\n[softmax]\n"))


@pytest.mark.parametrize("text", COSTS)
def test_every_cost_is_written_back(text):
    assert_written_back(parse_configuration(ROW + text))
    assert_written_back(parse_configuration(PLANES + text))


def test_references_and_what_dropout_changed_are_written_back():
    text = f"{THREE}[dropout]\n[dropout]\n[shortcut]\nfrom=-3\n[route]\nlayers=-1,0,3\n[shortcut]\nfrom=-2\nactivation=relu\n[cost]"
    found = parse_configuration(PLANES + text)
    assert_written_back(found)
    assert "[shortcut]\nfrom=-1\n" in found.text() and "[route]\nlayers=-1,-6,-2\n" in found.text()


def test_keys_that_are_not_used_are_written_back_as_they_were():
    text = f"{PLANES}max_crop=20\nadam=1\nB1=.5\n{YOLO}map=coco.map\nstopbackward=1"
    found = parse_configuration(text)
    assert_written_back(found)
    assert {"max_crop=20", "map=coco.map", "stopbackward=1", "B1=0.5", "random=1"} <= set(found.text().split("\n"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    found, path = parse_configuration(PLANES + YOLO), tmp_path / "my.cfg"
    write_configuration(found, path)
    assert read_configuration(path).layers == found.layers and list(tmp_path.iterdir()) == [path]
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_configuration(parse_configuration(f"{ROW}[softmax]"), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# Any text -------------------------------------------------------------------------------------------------------------

KEYS = ["x", *sorted({*NET_KEYS, *(key for kind in KINDS.values() for key in kind.keys)})]
VALUES = st.one_of(
    st.integers(-3, 9).map(str),
    st.sampled_from(["relu", "1e400", "-1,0", "9" * 5000, "nan", "sse", "2147483647", "1,2,3,4", "0.5", "١", "steps"]),
    st.text(max_size=5),
)
LINES = st.one_of(
    st.sampled_from([f"[{name}]" for name in KINDS]),
    st.tuples(st.sampled_from(KEYS), VALUES).map("=".join),
    st.text(max_size=12),
)


def read_or_refused(text: str) -> None:
    """A text is a network that can be written, and built or refused, or else one clear error; within a second."""
    began = time.process_time()
    try:
        found = parse_configuration(text, "my.cfg", "batch_norm")
    except ConfigurationError as error:
        assert_one_line(error)
    else:
        assert len(found.layers) == len(found.places) > 0
        assert all("\n" not in told for told in (*found.warnings, *found.obstacles))
        if time.process_time() - began < 0.5:
            assert_written_back(found)
        began = time.process_time()
        try:
            found.network(random_state=0)
        except ConfigurationError as error:
            assert_one_line(error)
    assert time.process_time() - began < 1


def assert_one_line(error: ConfigurationError) -> None:
    assert re.match(r"my\.cfg(:\d+)?: ", str(error)) and str(error).isprintable() and len(str(error)) < 700


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=12), st.booleans())
def test_any_text_is_a_network_or_one_clear_error(lines, planes):
    read_or_refused((PLANES if planes else ROW) + "\n".join(lines))


WHOLE = f"{PLANES}batch=4\npolicy=steps\nsteps=1,2\nscales=.5,.5\n{THREE}[shortcut]\nfrom=-3\n[maxpool]\nsize=2\nstride=2\n{YOLO}"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_file_that_is_cut_or_damaged_is_a_network_or_one_clear_error(data):
    begin = data.draw(st.integers(0, len(WHOLE)))
    middle = data.draw(st.one_of(st.text(max_size=8), st.just("2147483647"), st.just("9" * 30)))
    read_or_refused(WHOLE[:begin] + middle + WHOLE[data.draw(st.integers(begin, len(WHOLE))) :])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_one_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "my.cfg"
    path.write_bytes(b"[net]\n" + content)
    with pytest.raises(ConfigurationError, match="my.cfg"):
        read_configuration(path)


HUGE = {
    "filters": (f"{PLANES}[conv]\nfilters=2147483647\n[softmax]", r"my.cfg:5: \[conv\w*\] .*15,032,385,529 parameters; at most"),
    "units": (f"{ROW}[connected]\n[conn]\noutput=2147483647\n[softmax]", r"my.cfg:4: \[conn\w*\] .* parameters; at most"),
    "planes": (f"{PLANES}[upsample]\nstride=2147483647\n[softmax]", r"my.cfg:5: \[upsample\] .* units in a sample; at most"),
    "a window": (f"{PLANES}[conv]\nsize=2147483647\n[softmax]", r"my.cfg:5: \[conv\w*\] .* larger than its padded input"),
    "a border": (f"{PLANES}[conv]\npadding=2147483647\n[softmax]", r"my.cfg:5: \[conv\w*\] .* units in a sample; at most"),
    "a sample": ("[net]\ninputs=2147483647\n[softmax]", r"my.cfg:3: \[softmax\] .*2,147,483,647 units in a sample; at most"),
}  # fmt: skip


@pytest.mark.parametrize("case", HUGE)
def test_huge_sizes_are_refused_at_once_with_the_line_of_their_section(case):
    text, message = HUGE[case]
    began, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigurationError, match=message):
        parse_configuration(text, "my.cfg").network()
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 1 << 18  # KB


LONG = {
    "one line": "a" * 10_000_000, "one number": "[net]\ninputs=" + "9" * 10_000_000, "one list": "[net]\nsteps=" + "1," * 5_000_000,
    "sections": "[net]\n" + "[gru]\n" * 170_000, "keys": "[net]\n" + "".join(f"k{n}=1\n" for n in range(90_000)),
    "keys of many sections": ROW + ("[dropout]\n" + "".join(f"porbability{n}=1\n" for n in range(60))) * 900,
}  # fmt: skip


@pytest.mark.parametrize("case", LONG)
def test_long_texts_are_read_or_refused_at_once(case):
    read_or_refused(LONG[case])


# Networks that trained with Darknet -----------------------------------------------------------------------------------

SHARED = ["cifar", "darknet19", "resnet18", "tiny", "yolov3-tiny", "yolov3-voc", "yolov3"]
DEBIANS = Path("/usr/share/darknet/cfg")


def published(name: str) -> Path:
    folder = os.environ.get("BACKDERIVE_DATA")
    if not folder:
        pytest.skip("BACKDERIVE_DATA does not name the folder with Darknet's cfg files")
    return Path(folder, "cfg", f"{name}.cfg")


def counted_as_in_darknet(text: str) -> list[tuple[str, int]]:
    """The name and the number of values of each section in Darknet's ``.weights``, by Darknet's own rules, of plain files.

    Weights, biases, and with batch normalisation scales, means and variances; sizes as make_..._layer works them out.
    """
    sections: list[tuple[str, dict[str, str]]] = []
    for line in ("".join(line.split()) for line in text.splitlines()):
        if line[:1] == "[":
            sections.append((line.strip("[]"), {}))
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            sections[-1][1].setdefault(key, value)
    (_, net), *layers = sections
    c, h, w = (int(net.get(key, 0)) for key in ("channels", "height", "width"))
    shapes: list[tuple[int, int, int]] = []
    found = []
    for name, said in layers:
        size, stride = int(said.get("size", said.get("stride", 1))), int(said.get("stride", 1))
        filters, normalised, number = int(said.get("filters", 1)), int(said.get("batch_normalize", 0)), 0
        if name == "convolutional":
            pad = size // 2 if int(said.get("pad", 0)) else int(said.get("padding", 0))
            number = filters * (c // int(said.get("groups", 1))) * size * size + filters + 3 * filters * normalised
            c, h, w = filters, (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1
        elif name == "local":
            h, w = (((side - 1) if int(said.get("pad", 0)) else (side - size)) // stride + 1 for side in (h, w))
            number, c = h * w * (filters * c * size * size + filters), filters
        elif name == "connected":
            outputs = int(said["output"])
            number = outputs * c * h * w + outputs + 3 * outputs * normalised
            c, h, w = outputs, 1, 1
        elif name == "maxpool":
            padding = int(said.get("padding", size - 1))
            h, w = ((side + padding - size) // stride + 1 for side in (h, w))
        elif name == "avgpool":
            h, w = 1, 1
        elif name == "upsample":
            h, w = h * stride, w * stride
        elif name == "reorg":
            c, h, w = c * stride * stride, h // stride, w // stride
        elif name == "route":
            at = [int(one) + (len(shapes) if int(one) < 0 else 0) for one in said["layers"].split(",")]
            (_, h, w), c = shapes[at[0]], sum(shapes[one][0] for one in at)
        shapes.append((c, h, w))
        found.append((name, number))
    return found


def counted_here(found: Configuration) -> list[tuple[str, int]]:
    """The same of the links that Network is made of."""
    entries = [entry_of(given, index) for index, given in enumerate(found.layers)]
    graph = Graph(entries, found.inputs)
    numbers = []
    for one in found.sections:
        links = [link for link in graph.layers[one.first : one.last] if link is not None]
        slots = [(link, slot) for link in links for slot in (*link.layer.storage, *link.layer.states)]
        kept = [prod(link.axes(slot)) for link, slot in slots if link.bias or tensor(slot)[0] != "b"]
        numbers.append((one.name, sum(kept)))
    return numbers


def can_be_built(found: Configuration) -> bool:
    names = {entry if isinstance(entry, str) else entry[0] for entry in found.layers}
    return not found.obstacles and names <= LAYERS.keys() | HEADS.keys()


@pytest.mark.parametrize("name", SHARED)
def test_published_networks_are_read_and_written_back(name):
    found = read_configuration(published(name))
    assert_written_back(found)
    assert not found.obstacles and all(re.search(r"makes no use of m(ax|in)_crop", told) for told in found.warnings)
    assert found.is_detector == name.startswith("yolo")
    assert found.cost == (None if found.is_detector else "softmax_cross_entropy")
    names = re.findall(r"^\[(\w+)\]", published(name).read_text(), re.MULTILINE)
    assert ["net", *(one.name for one in found.sections)] == names


@pytest.mark.parametrize("name", SHARED)
def test_published_networks_have_as_many_parameters_as_in_darknet(name):
    found = read_configuration(published(name))
    assert counted_here(found) == counted_as_in_darknet(published(name).read_text())


def test_the_rules_for_counting_give_the_sizes_of_published_weights():
    """After a header of 20 bytes; yolov3.weights has 248,007,048 bytes."""
    assert (
        sum(number for _, number in counted_as_in_darknet(published("yolov3").read_text())) == (248_007_048 - 20) // 4
    )
    weights = published("tiny").parent.parent / "yolov3-tiny" / "yolov3-tiny.weights"
    total = sum(number for _, number in counted_as_in_darknet(published("yolov3-tiny").read_text()))
    assert total == (weights.stat().st_size - 20) // 4


def test_a_locally_connected_layer_has_weights_and_biases_for_each_place():
    text = f"{PLANES}[local]\nfilters=4\nsize=3\nstride=2\npad=1\n[local]\nfilters=2\nsize=2\n[connected]\noutput=3\n[softmax]"
    first, second, third, _ = counted_here(parse_configuration(text))
    assert (first[1], second[1]) == (30 * (4 * 6 * 9 + 4), 20 * (2 * 4 * 4 + 2)) and third[1] == 3 * 40 + 3
    assert counted_here(parse_configuration(text)) == counted_as_in_darknet(text)


def test_debians_networks_are_read_and_written_back_and_count_as_in_darknet():
    """All that Darknet's authors have published; recurrent ones, YOLOv1 and trees of classes among them."""
    if not DEBIANS.is_dir():
        pytest.skip("Debian's package darknet is not installed")
    counted = 0
    for path in sorted(DEBIANS.glob("*.cfg")):
        found = read_configuration(path)
        assert_written_back(found)
        if can_be_built(found):
            assert counted_here(found) == counted_as_in_darknet(path.read_text()), path
            counted += 1
    assert counted > 20


@pytest.mark.parametrize("name", ["tiny", "cifar", "yolov3-tiny"])
def test_darknet_itself_reads_what_is_written_as_the_same_network(name, tmp_path):
    if not shutil.which("darknet"):
        pytest.skip("Debian's package darknet is not installed")
    write_configuration(read_configuration(published(name)), tmp_path / "back.cfg")
    told = []
    for path in (published(name), tmp_path / "back.cfg"):
        done = subprocess.run(["darknet", "ops", str(path)], capture_output=True, text=True, check=True)
        table = [line for line in done.stderr.splitlines() if "default" not in line and "Unused" not in line]
        told.append((table, done.stdout))
    assert told[0] == told[1] and len(told[0][0]) > 15


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
