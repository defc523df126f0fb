"""Truths: what VOC folders and Darknet's label files say, in shares of the picture; all else is one error with its place."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from derive.detection.label_files import label_file
from derive.detection.truths import read_truths


def thing(name="cat", xmin=11, ymin=21, xmax=30, ymax=60, more="") -> str:
    sides = "".join(
        f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True)
    )
    return f"<object>\n<name>{name}</name>\n{more}<bndbox>{sides}</bndbox></object>\n"


def annotation(*things: str, size="<size><width>100</width><height>80</height></size>") -> str:
    return f"<annotation>\n{size}\n{''.join(things)}</annotation>\n"


@pytest.fixture
def voc(tmp_path) -> Path:
    """A folder with two pictures to learn from and one held out."""
    folder = tmp_path / "voc"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (100, 80)).save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "Annotations/a.xml").write_text(annotation(thing(), thing("dog", 1, 1, 100, 80)))
    (folder / "Annotations/b.xml").write_text(annotation())
    (folder / "Annotations/c.xml").write_text(annotation(thing("ape", more="<difficult>1</difficult>")))
    (folder / "ImageSets/Main/trainval.txt").write_text("a\nb\n")
    (folder / "ImageSets/Main/test.txt").write_text("c\n")
    return folder


@pytest.fixture
def darknet(tmp_path, monkeypatch) -> Path:
    """A .data file with two pictures to learn from and one held out, their paths relative to its folder."""
    folder = tmp_path / "set"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for name, boxes in (("a", "0 0.205 0.5 0.2 0.5\n1 .5 .5 1 1\n"), ("b", ""), ("c", "2 2e-1 0.5 0.2 0.5\n")):
        Image.new("RGB", (100, 80)).save(folder / f"images/{name}.jpg")
        (folder / f"labels/{name}.txt").write_text(boxes)
    (folder / "train.txt").write_text("images/a.jpg\n\nimages/b.jpg\n")
    (folder / "test.txt").write_text("images/c.jpg")
    (folder / "set.names").write_text("cat\ndog\nape\n")
    file = folder / "set.data"
    file.write_text("# a comment\nclasses= 3\ntrain = train.txt\nvalid=test.txt\nnames = set.names\nbackup = there\n")
    return file


# What is right --------------------------------------------------------------------------------------------------------


def test_voc_boxes_are_pixels_counted_from_one(voc):
    truths = read_truths(voc)
    assert truths.classes == ("ape", "cat", "dog") and truths.warnings == []
    a, b = truths.train
    assert a.path == voc / "JPEGImages/a.jpg" and a.size == (100, 80)
    # cat: pixels 11 to 30 of 100 are .1 to .3; 21 to 60 of 80 are .25 to .75
    np.testing.assert_allclose(a.boxes, [[1, 0.2, 0.5, 0.2, 0.5], [2, 0.5, 0.5, 1, 1]], atol=1e-15)
    assert b.boxes.shape == (0, 5) and a.difficult.tolist() == [False, False]
    (c,) = truths.held_out
    assert c.boxes[0, 0] == 0 and c.difficult.tolist() == [True]


def test_names_that_are_given_number_the_classes(voc):
    truths = read_truths(voc, ["dog", "cat", "ape", "cow"])
    assert truths.classes == ("dog", "cat", "ape", "cow")
    assert [one.boxes[:, 0].tolist() for one in (*truths.train, *truths.held_out)] == [[1, 0], [], [2]]


@pytest.mark.parametrize(
    ("lists", "train", "held_out"),
    [
        ({"train": "a", "val": "b", "trainval": "a b", "test": "c"}, "ab", "c"),
        ({"train": "a", "val": "b", "trainval": "a b"}, "a", "b"),
        ({"train": "a", "val": "b", "test": "c"}, "a", "c"),
        ({"train": "a"}, "a", ""),
        ({"trainval": "a b"}, "ab", ""),
        ({"trainval": "a b", "val": "b"}, "ab", ""),
        ({"test": "c"}, "", "c"),
    ],
)
def test_the_lists_of_a_voc_folder_say_what_is_held_out(voc, lists, train, held_out):
    for file in (voc / "ImageSets/Main").iterdir():
        file.unlink()
    for name, content in lists.items():
        (voc / f"ImageSets/Main/{name}.txt").write_text(content.replace(" ", "\n"))
    truths = read_truths(voc)
    assert ["".join(one.path.stem for one in part) for part in (truths.train, truths.held_out)] == [train, held_out]


def test_label_files_are_shares_of_the_picture(darknet):
    truths = read_truths(darknet)
    assert truths.classes == ("cat", "dog", "ape") and truths.warnings == []
    a, b = truths.train
    assert a.path == darknet.parent / "images/a.jpg" and a.size is None
    np.testing.assert_allclose(a.boxes, [[0, 0.205, 0.5, 0.2, 0.5], [1, 0.5, 0.5, 1, 1]], atol=1e-15)
    assert b.boxes.shape == (0, 5)
    np.testing.assert_allclose(truths.held_out[0].boxes, [[2, 0.2, 0.5, 0.2, 0.5]])


def test_paths_start_from_the_current_folder_first(darknet, monkeypatch, tmp_path):
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "labels").mkdir()
    Image.new("RGB", (9, 9)).save(other / "images/a.jpg")
    (other / "labels/a.txt").write_text("1 .5 .5 .5 .5")
    monkeypatch.chdir(other)
    truths = read_truths(darknet)
    assert truths.train[0].path == Path("images/a.jpg") and truths.train[0].boxes.tolist() == [[1, 0.5, 0.5, 0.5, 0.5]]
    assert truths.train[1].path == darknet.parent / "images/b.jpg"


def test_classes_without_names_are_numbers(darknet):
    darknet.write_text("classes = 3\ntrain = train.txt\ncolour = red\n")
    truths = read_truths(darknet)
    assert truths.classes == ("0", "1", "2") and truths.held_out == []
    assert truths.warnings == [f"{darknet}:3: 'colour' is not used"]
    assert read_truths(darknet, ["x", "y", "z"]).classes == ("x", "y", "z")


@pytest.mark.parametrize(
    ("picture", "labels"),
    [  # as a C program with Darknet's find_replace says
        ("/data/images/a.jpg", "/data/labels/a.txt"),
        ("VOC2007/JPEGImages/000001.jpg", "VOC2007/labels/000001.txt"),
        ("coco/images/train2014/x.JPG", "coco/labels/train2014/x.txt"),
        ("raw/x.png", "labels/x.txt"),
        ("images/images/x.JPEG", "labels/images/x.txt"),
        ("here.jpg", "here.txt"),
    ],
)
def test_labels_are_where_darknet_looks(picture, labels):
    assert label_file(picture) == labels


def test_labels_may_lie_in_the_last_folder_or_beside_the_picture(darknet):
    folder = darknet.parent / "images/images"
    folder.mkdir()
    (darknet.parent / "images/labels").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "a.jpg")
    (darknet.parent / "train.txt").write_text("images/images/a.jpg")
    (folder / "a.txt").write_text("0 .5 .5 .5 .5")
    assert read_truths(darknet).train[0].boxes[0, 0] == 0
    (darknet.parent / "images/labels/a.txt").write_text("1 .5 .5 .5 .5")
    assert read_truths(darknet).train[0].boxes[0, 0] == 1


def test_boxes_that_reach_out_are_clipped_and_counted(voc, darknet):
    file = voc / "Annotations/b.xml"
    file.write_text(annotation(thing(xmin=-20, xmax=30), thing(), thing(ymax=99)))
    truths = read_truths(voc)
    assert truths.warnings == [f"{file}:3: 2 boxes reach out of their picture and are clipped"]
    np.testing.assert_allclose(truths.train[1].boxes[0, 1:], [0.15, 0.5, 0.3, 0.5])
    np.testing.assert_allclose(truths.train[1].boxes[2, 1:], [0.2, 0.625, 0.2, 0.75])
    labels = darknet.parent / "labels/b.txt"
    labels.write_text("1 .5 .5 .1 .1\n1 0 .5 .5 .5\n1 .5 .5 1.0001 1\n")
    truths = read_truths(darknet)
    assert truths.warnings == [f"{labels}:2: 1 boxes reach out of their picture and are clipped"]
    np.testing.assert_allclose(truths.train[1].boxes[1], [1, 0.125, 0.5, 0.25, 0.5])


def test_a_box_of_one_pixel_is_a_box(voc):
    (voc / "Annotations/b.xml").write_text(annotation(thing(xmin=5, ymin=5, xmax=5, ymax=5)))
    np.testing.assert_allclose(read_truths(voc).train[1].boxes[0, 1:], [4.5 / 100, 4.5 / 80, 1 / 100, 1 / 80])


@pytest.mark.skipif("BACKDERIVE_DATA" not in os.environ, reason="BACKDERIVE_DATA is not set: no BCCD")
def test_all_of_bccd_is_read():
    truths = read_truths(Path(os.environ["BACKDERIVE_DATA"]) / "bccd")
    assert truths.classes == ("Platelets", "RBC", "WBC") and truths.warnings == []
    assert (len(truths.train), len(truths.held_out)) == (292, 72)
    classes = np.concatenate([one.boxes[:, 0] for one in (*truths.train, *truths.held_out)])
    assert np.bincount(classes.astype(int)).tolist() == [361, 4155, 372]


# What is not right ----------------------------------------------------------------------------------------------------

LAUGHS = (
    '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>\n<annotation>&j;</annotation>"
)


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("", 1, "not XML"),
        ("cat 1 2 3 4", 1, "not XML"),
        (annotation(thing())[:-20], 5, "not XML"),
        ("<annotations></annotations>", 1, "the outermost element must be annotation, not 'annotations'"),
        (LAUGHS, 0, "a document type or entities, which are not read"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>', 0, "a document type or entities"),
        ("<annotation>" + "<x>" * 200 + "</x>" * 200 + "</annotation>", 1, "more than 100 elements within each other"),
        ("<annotation></annotation>", None, "there is no size with width"),
        (annotation(size="<size><width>0</width><height>9</height></size>"), 2, "width must be a whole number of pixels, not '0'"),
        (annotation(size="<size><width>1e99</width><height>9</height></size>"), 2, "width must be a whole number"),
        (annotation(size="<size><width>9</width><width>9</width><height>9</height></size>"), 2, "a second width"),
        (annotation(thing(xmin="left")), 5, "xmin must be a number, not 'left'"),
        (annotation(thing(xmin="nan")), 5, "xmin must be a number, not 'nan'"),
        (annotation(thing(xmin="1e999")), 5, "xmin must be a number, not '1e999'"),
        (annotation(thing(xmin="")), 3, "this object has no bndbox with xmin"),
        (annotation(thing(name="")), 3, "this object has no name"),
        (annotation("<object><name>cat</name></object>"), 3, "this object has no bndbox with xmin"),
        (annotation(thing(xmin=31, xmax=30)), 3, "a box of no area"),
        (annotation(thing(xmin=201, xmax=230)), 3, "the box lies outside of its picture"),
        (annotation(thing(more="<difficult>maybe</difficult>")), 5, "difficult must be 0 or 1, not 'maybe'"),
        (annotation(thing(more="<name>dog</name>")), 5, "a second name of the same object"),
        (annotation(thing() * 10_001), None, "10,001 boxes in one picture; at most 10,000"),
        (annotation(" " * (3 << 20)), None, "more than 2,097,152 bytes"),
    ],
)  # fmt: skip
def test_an_annotation_that_is_not_right_is_one_error_with_its_line(voc, content, place, message):
    file = voc / "Annotations/b.xml"
    file.write_text(content)
    with pytest.raises(ValueError) as error:
        read_truths(voc)
    said = str(error.value)
    assert said.startswith(f"{file}:{place}: " if place else str(file)) and message in said and len(said) < 500, said


def test_lists_of_a_voc_folder_that_are_not_right_are_one_error(voc):
    test = voc / "ImageSets/Main/test.txt"
    for content, message in (
        ("../JPEGImages/c", f"{test}:1: '../JPEGImages/c' is not the name of a picture"),
        ("\nd", f"{test}:2: there is no picture {voc / 'JPEGImages/d'}.jpg"),
        ("c\0", f"{test}:1: not a text file"),
    ):
        test.write_text(content)
        with pytest.raises(ValueError) as error:
            read_truths(voc)
        assert message in str(error.value)
    test.write_text("c")
    with pytest.raises(ValueError, match="c.xml:4: there is no class 'ape'; the classes are cat, dog"):
        read_truths(voc, ["cat", "dog"])
    (voc / "Annotations/c.xml").unlink()
    with pytest.raises(FileNotFoundError):
        read_truths(voc)
    for file in (voc / "ImageSets/Main").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="no Pascal VOC folder"):
        read_truths(voc)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2", "a box is class x y w h, five numbers; there are 4"),
        ("0 .5 .5 .2 .2 .9", "five numbers; there are 6"),
        ("cat .5 .5 .2 .2", "the class must be a whole number, not 'cat'"),
        ("-1 .5 .5 .2 .2", "the class must be a whole number"),
        ("0.0 .5 .5 .2 .2", "the class must be a whole number"),
        ("3 .5 .5 .2 .2", "there is no class 3; there are 3, from 0 to 2"),
        ("0 half .5 .2 .2", "x must be a number, not 'half'"),
        ("0 .5 nan .2 .2", "y must be a number, not 'nan'"),
        ("0 .5 .5 inf .2", "w must be a number, not 'inf'"),
        ("0 .5 .5 .2 1_0", "h must be a number"),
        ("0 .5 .5 0 .2", "a box of no area"),
        ("0 .5 .5 -.2 .2", "a box of no area"),
        ("0 320 240 50 50", "the box lies outside of its picture"),
        ("0 .5 .5 .2 .2 \0", "a zero byte"),
    ],
)
def test_a_label_that_is_not_right_is_one_error_with_its_line(darknet, line, message):
    file = darknet.parent / "labels/b.txt"
    file.write_text(f"1 .5 .5 .1 .1\n\n{line}\n")
    with pytest.raises(ValueError) as error:
        read_truths(darknet)
    assert str(error.value).startswith(f"{file}:3: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train = train.txt", "set.data: it does not say how many classes there are"),
        ("classes = many", "set.data:1: classes must be a whole number"),
        ("classes = 99999999\ntrain = train.txt", "set.data:1: classes must be a whole number from 1 to 100,000"),
        ("classes = 2\ntrain = train.txt\nnames = set.names", "set.data:1: classes = 2, but .*set.names has 3 names"),
        ("classes = 3", "set.data: it names no list of pictures"),
        ("classes = 3\ntrain = nothing.txt", "set.data:2: there is no file 'nothing.txt', neither"),
        ("classes = 3\ntrain = " + "x" * 5000, "set.data:2: there is no file 'xxx"),
        ("classes = 3\ntrain train.txt", "set.data:2: 'train train.txt' is not key = value"),
        ("classes = 3\nclasses = 3", "set.data:2: a second classes"),
        ("classes = 3\ntrain = set.names", "set.names:1: there is no file 'cat'"),
        ("classes = 3\ntrain = train.txt\nnames = train.txt", "set.data:1: classes = 3, but .* has 2 names"),
        ("\udce4\udcff", "not a text file"),
    ],
)
def test_a_data_file_that_is_not_right_is_one_error(darknet, content, message):
    darknet.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        read_truths(darknet)


def test_a_picture_without_a_label_file_is_an_error(darknet):
    (darknet.parent / "labels/b.txt").unlink()
    with pytest.raises(
        ValueError, match=r"train.txt:3: the picture has no labels: there is no .*labels/b.txt; an empty"
    ):
        read_truths(darknet)


def test_names_that_are_not_the_networks_are_an_error(darknet):
    with pytest.raises(ValueError, match="the classes must be those of the network, a, b, c; they are cat, dog, ape"):
        read_truths(darknet, ["a", "b", "c"])
    (darknet.parent / "set.names").write_text("cat\ndog\ncat\n")
    with pytest.raises(ValueError, match=r"set.names:3: the name 'cat' is there already, at .*set.names:1"):
        read_truths(darknet)


def test_what_is_neither_folder_nor_data_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="not there; give a Pascal VOC folder"):
        read_truths(tmp_path / "nothing")
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match="neither a Pascal VOC folder"):
        read_truths(tmp_path / "a.csv")


# Anything at all ------------------------------------------------------------------------------------------------------

fuzz = settings(max_examples=150, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
damage = st.lists(st.tuples(st.integers(0, 10**6), st.integers(-1, 255)), min_size=1, max_size=6)


def damaged(content: bytes, changes) -> bytes:
    """The bytes with some of them set, or (-1) cut off from there."""
    found = bytearray(content)
    for place, value in changes:
        if value >= 0 and found:
            found[place % len(found)] = value
        elif found:
            del found[place % len(found) :]
    return bytes(found)


def read_or_refused(source: Path, file: Path) -> None:
    """What is read is right; what is refused is refused with one line that names the file."""
    try:
        truths = read_truths(source)
    except ValueError as error:
        assert file.name in str(error) and len(str(error)) < 1000
        return
    for one in (*truths.train, *truths.held_out):
        assert np.isfinite(one.boxes).all() and (one.boxes[:, 3:] > 0).all()
        assert ((one.boxes[:, 1:] >= 0) & (one.boxes[:, 1:] <= 1)).all()
        assert ((one.boxes[:, 0] >= 0) & (one.boxes[:, 0] < len(truths.classes))).all()


@fuzz
@given(damage)
def test_damaged_xml_is_refused_or_right(voc, changes):
    file = voc / "Annotations/b.xml"
    file.write_bytes(damaged(annotation(thing(), thing("dog", 3, 4, 50, 60)).encode(), changes))
    read_or_refused(voc, file)


@fuzz
@given(damage)
def test_damaged_labels_are_refused_or_right(darknet, changes):
    file = darknet.parent / "labels/b.txt"
    file.write_bytes(damaged(b"0 0.205 0.5 0.2 0.5\n1 .5 .5 1 1\n", changes))
    read_or_refused(darknet, file)


@fuzz
@given(damage, st.sampled_from(["set.data", "train.txt", "set.names"]))
def test_damaged_lists_are_refused_or_right(darknet, changes, name):
    file = darknet.parent / name
    before = file.read_bytes()
    file.write_bytes(damaged(before, changes))
    try:
        truths = read_truths(darknet)
    except (ValueError, FileNotFoundError) as error:
        assert len(str(error)) < 1000 and "set" in str(error)
    else:
        assert truths.classes and all(one.path.is_file() for one in (*truths.train, *truths.held_out))
    file.write_bytes(before)


@fuzz
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_right(voc, darknet, content):
    xml, labels = voc / "Annotations/b.xml", darknet.parent / "labels/b.txt"
    for source, file in ((voc, xml), (darknet, labels)):
        file.write_bytes(content)
        read_or_refused(source, file)


@pytest.mark.parametrize("cut", range(0, 260, 13))
def test_xml_that_is_cut_short_is_always_refused(voc, cut):
    content = annotation(thing(), thing("dog", 3, 4, 50, 60))
    assert cut < len(content) - len("</annotation>\n")
    (voc / "Annotations/b.xml").write_text(content[:cut])
    with pytest.raises(ValueError, match=r"b.xml:\d+: not XML"):
        read_truths(voc)


HUGE = {
    "newlines": "<annotation>" + "\n" * 2_000_000 + "</annotation>",
    "elements": "<annotation>" + "<a/>" * 500_000 + "</annotation>",
    "text": "<annotation><size><width>" + "9" * 2_000_000 + "</width></size></annotation>",
    "name": "<" + "a" * 2_000_000 + "/>",
    "attribute": f'<annotation x="{"a" * 2_000_000}"/>',
    "laughs": LAUGHS,
    "large": " " * 100_000_000,
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much memory was taken")
@pytest.mark.parametrize("kind", HUGE)
def test_xml_that_means_to_be_too_much_is_refused_fast_and_small(voc, kind):
    (voc / "Annotations/b.xml").write_text(HUGE[kind])
    program = (
        "import re, sys, time\nimport defusedxml.sax\nfrom derive.detection.truths import read_truths\n"
        "began = time.process_time()\n"
        "try: read_truths(sys.argv[1])\nexcept ValueError as error: print(len(str(error)))\n"
        "print(time.process_time() - began)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(voc)], capture_output=True, text=True, check=True)
    length, seconds, kilobytes = map(float, done.stdout.split())
    assert length < 500 and seconds < 1 and kilobytes < 400_000
