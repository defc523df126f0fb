"""What a network does in a step, stage by stage, and how its arrays share memory. `derive show --plan` is this file."""

import html
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from math import prod
from pathlib import Path

from numba import get_num_threads

from derive.training.folder import SETTINGS, network_in, read_settings
from generated import Network, engine, load
from generated.configuration import read_configuration
from generated.definition import LAYERS, tensor
from generated.plan import Plan
from generated.program import Call, Kernel, Stage

BATCH = 64  # samples, where nobody says how many
WIDTH = 120  # characters of a line of words

Cell = str | int | None


@dataclass(frozen=True)
class Table:
    """Rows of words and whole numbers under headings; a column without a word or a number is not shown."""

    about: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def columns(self) -> dict[str, list[Cell]]:
        """What is shown under each heading."""
        found = zip(self.headings, map(list, zip(*self.rows, strict=True)), strict=True)
        return {heading: cells for heading, cells in found if any(cell not in ("", None) for cell in cells)}


@dataclass(frozen=True)
class _Step:
    """A network, and how many samples it learns from in a step, in how many parts.

    rule: None for its last one. lines: those of a .cfg file that its layers come from.
    """

    network: Network
    batch: int
    subdivisions: int = 1
    rule: str | None = None
    lines: Sequence[int] = ()


def show_plan(
    network_file: Path,
    form: str = "text",
    *,
    batch: int | None = None,
    threads: int | None = None,
    accuracy: str | None = None,
    inference: bool = False,
) -> str:
    """The plan of a network's training step, or of its prediction, as ``text`` or ``html``. Nothing is compiled.

    network_file: a .cfg file, or what `derive train` left. batch: samples; by default as many as the file or the training
    says, in its subdivisions. threads, accuracy: by default those there are, and that of the training. Raises ValueError
    or OSError for bad input.
    """
    if form not in FORMS:
        raise ValueError(f"--format {form} is for derivations; a plan comes as {' or '.join(FORMS)}")
    step, threads = _step(network_file, batch), threads or get_num_threads()
    network = step.network
    network.accuracy = accuracy or network.accuracy
    try:
        plan = network.plan(
            step.batch, training=not inference, subdivisions=step.subdivisions, rule=step.rule, threads=threads
        )
    except (MemoryError, OSError, OverflowError, ValueError) as error:  # as NumPy has it: too many bytes
        raise ValueError(f"{network_file}: {step.batch:,} samples at once cannot be planned: {error}") from error
    what = "a prediction" if inference else "a training step"
    count = f"{step.batch:,} samples"
    if step.subdivisions > 1 and not inference:
        count += f", of which {len(plan.inputs):,} at a time; the update follows the last of them"
    about = f"{network_file}: {what} of {count}\nthreads {threads}, {network.dtype}, accuracy {network.accuracy}"
    return FORMS[form](about, [stages_of(plan, threads, step.lines), memory_of(plan)])


def _step(path: Path, batch: int | None) -> _Step:
    """What a file says of a step. Raises ValueError or OSError if it is no network's."""
    if path.is_dir() or path.suffix == ".npz":
        file = network_in(path)
        network = load(file)
        if batch is None and (file.parent / SETTINGS).is_file():
            said = read_settings(file.parent)
            return _Step(network, said.batch_size, said.subdivisions)
        return _Step(network, batch or BATCH)
    configuration = read_configuration(path)
    for warning in configuration.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    network, training = configuration.network(random_state=0), configuration.training
    parts = training.subdivisions if batch is None else 1
    lines = [line for line, _ in configuration.places]
    return _Step(network, batch or training.batch_size, parts, training.rule, lines)


# Stages ---------------------------------------------------------------------------------------------------------------


def stages_of(plan: Plan, threads: int, lines: Sequence[int] = ()) -> Table:
    """A row for each kernel; the first of a stage has what all of the stage have in common.

    lines: of the file that the layers were read from, if they were.
    """
    rows: list[tuple[Cell, ...]] = []
    for number, stage in enumerate(plan.stages, 1):
        extent = min(call.extent for call in stage.calls)
        grain = min(stage.grain or extent, extent)
        chunks = f"{-(-extent // max(grain, 1)):,} x {grain:,}"
        common: tuple[Cell, ...] = (number, chunks, threads if stage.parallel else 1, sum(_arrays([stage]).values()))
        for call in stage.calls:
            split = f"{call.kernel.split} = {call.extent:,}" if call.kernel.split else ""
            count = multiplications(call) or None
            layer = re.match(r"\d+", call.layer)  # the first of those that share the kernel
            line = lines[int(layer[0]) - 1] if layer and lines else None
            rows.append((*common, call.kernel.name, call.layer, line, split, count, call.way, call.why))
            common = (None,) * 4
    passed = sum(sum(_arrays([stage]).values()) for stage in plan.stages)
    total = sum(multiplications(call) for stage in plan.stages for call in stage.calls)
    rows.append((None, "", None, passed, "all stages", "", None, "", total or None, "", ""))
    return Table(
        "Kernels of one stage go together through its chunks, each while it is in the cache: one pass over the data. bytes: "
        "of the arrays of a stage, each counted once. multiplications: those of contractions, as the sums stand "
        "or, by minimal filtering, of what is transformed.",
        ("stage", "chunks", "threads", "bytes", "kernel", "layer", "line", "split", "multiplications", "way", "why"),
        rows,
    )


def _arrays(stages: Sequence[Stage]) -> dict[int, int]:
    """The bytes of the arrays of stages, by their address."""
    found: dict[int, int] = {}
    for array in (a for stage in stages for call in stage.calls for a in call.arrays.values()):
        found[array.ctypes.data] = max(array.nbytes, found.get(array.ctypes.data, 0))
    return found


def multiplications(call: Call) -> int:
    """Of a contraction, as its sum stands: one for every combination of its indices; by filtering, those of the tiles'
    products; 0 for other kernels."""
    if call.filtering:
        return call.products
    if "scratch" not in call.kernel.arguments:
        return 0
    return prod(size for index, size in call.sizes.items() if index not in _located(call.kernel))


@cache
def _located(kernel: Kernel) -> frozenset[str]:
    """The indices of a contraction that others say, as i and u of a convolution say which row p is read."""
    for layer in (one for one in LAYERS.values() if kernel in (*one.forward, *one.backward)):
        read = {index for slot in layer.inputs for index in tensor(slot)[1]}
        given = {name[:1].lower() + name[1:] for size in layer.sizes.values() for name in signature(size).parameters}
        return frozenset(read & given)
    return frozenset()


# Memory ---------------------------------------------------------------------------------------------------------------


def memory_of(plan: Plan) -> Table:
    """A row for each array that has its place in the block only while it is needed."""
    places, block, dtype = plan.memory.places, plan.memory.block, plan.inputs.dtype
    rows = [
        (
            one.name, one.layer, " x ".join(f"{size:,}" for size in one.shape), "" if one.dtype == dtype else str(one.dtype),
            one.bytes, one.needed.start + 1, one.needed.stop, one.begin,
        )
        for one in sorted(places, key=lambda one: (one.needed.start, one.begin))
    ]  # fmt: skip
    begin, apart = block.ctypes.data, sum(one.bytes for one in places)
    kept = sum(size for at, size in _arrays(plan.stages).items() if not begin <= at < begin + block.nbytes)
    boxes = [call.box() for stage in plan.stages for call in stage.calls]
    working = (engine.SCRATCH + max(boxes, default=0)) * dtype.itemsize
    return Table(
        f"These arrays share a block of {block.nbytes:,} bytes, each needed from one stage to another; apart they would take "
        f"{apart:,}. Beside it: {kept:,} bytes that are kept (samples, parameters, gradients, states, results), and "
        f"{working:,} for each thread to work in.",
        ("array", "layer", "shape", "type", "bytes", "from stage", "to", "place"),
        rows,
    )


# Forms ----------------------------------------------------------------------------------------------------------------


def _word(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell or ""


def _is_number(cells: Sequence[Cell]) -> bool:
    return any(isinstance(cell, int) for cell in cells)


def _text(about: str, tables: Sequence[Table]) -> str:
    lines = [about]
    for table in tables:
        columns = []
        for heading, cells in table.columns().items():
            words = [heading, *map(_word, cells)]
            width, side = max(map(len, words)), ">" if _is_number(cells) else "<"
            columns.append([f"{word:{side}{width}}" for word in words])
        lines += ["", *textwrap.wrap(table.about, WIDTH), ""]
        lines += ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def _html(about: str, tables: Sequence[Table]) -> str:
    title, *more = map(html.escape, about.splitlines())
    parts = [f"<h1>{title}</h1>", *(f"<p>{line}</p>" for line in more)]
    for table in tables:
        columns = table.columns()
        kinds = [" class=number" if _is_number(cells) else "" for cells in columns.values()]
        rows = [[f"<th{kind}>{heading}</th>" for kind, heading in zip(kinds, columns, strict=True)]]
        for row in zip(*columns.values(), strict=True):
            rows.append([f"<td{kind}>{html.escape(_word(cell))}</td>" for kind, cell in zip(kinds, row, strict=True)])
        inside = "\n".join("<tr>" + "".join(row) + "</tr>" for row in rows)
        parts.append(f"<p>{html.escape(table.about)}</p>\n<table>\n{inside}\n</table>")
    style = (
        "body{font-family:serif;margin:2rem}h1{font-size:1.3rem}table{border-collapse:collapse;display:block;overflow-x:auto}"
        "td,th{padding:0 .6rem;text-align:left;white-space:nowrap}.number{text-align:right}"
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )


FORMS = {"text": _text, "html": _html}
