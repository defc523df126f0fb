"""Minimal filtering as `derive show winograd` prints it: matrices, proof, gradients, what it saves, what it costs."""

import html
import math
import re
from collections.abc import Sequence

import sympy as sp

from derive.calculus.filtering import Filtering, Matrix, derivations, evaluated, filtering, power, proved_nested, shares
from derive.calculus.text import LatexEquations, TextPrinter
from derive.lowering.filtering import FILTERINGS, aligned, counted, points_text, transforms
from derive.lowering.rounding import rounding
from derive.pages import Page, Step, equation_step, escaped

CHANNELS = (1, 4, 16, 64, 256, math.inf)  # that the table of growth is for
IDENTITY = "y = A^T [(G g) o (B^T d)]"


def filtering_pages(name: str) -> list[Page] | None:
    """The pages of all that are generated (`winograd`), or of one F(m, r); None if the name is neither.

    Raises ValueError for an F(m, r) that there is none of.
    """
    one = re.fullmatch(r"F\((\d+),\s*(\d+)\)", name)
    if one is None and name != "winograd":
        return None
    pairs = [(int(one[1]), int(one[2]))] if one else [pair for pair in FILTERINGS if pair != (1, 1)]
    return [_every_size(), *(_page(filtering(m, r)) for m, r in pairs)]


def _every_size() -> Page:
    correlation, tile = derivations()
    steps = [equation_step("A correlation with J taps", e) for e in correlation.defined]
    steps += [equation_step(f"The same as {IDENTITY}, with E = K + J - 1 multiplications", e) for e in tile.defined]
    stage = "Its matrices: interpolation at E - 1 points p[e], all different, and at infinity, transposed (Toom-Cook)"
    for text, latex in (
        ("A[k, e] = p[e]^k", r"A_{k, e} = p_{e}^{k}"),
        (
            "G[e, j] = p[e]^j / prod_(q != e) |p[e] - p[q]|",
            r"G_{e, j} = p_{e}^{j} / \prod_{q \neq e} \left|p_{e} - p_{q}\right|",
        ),
        (
            "sum_i B[e, i] t^i = +-prod_(q != e) (t - p[q])",
            r"\sum_{i} B_{e, i} t^{i} = \pm \prod_{q \neq e} \left(t - p_{q}\right)",
        ),
        (
            "at infinity: A[K - 1] = G[J - 1] = 1, the rest 0, sum_i B[i] t^i = prod_q (t - p[q])",
            r"e = \infty: \quad A_{K - 1} = G_{J - 1} = 1, \quad \sum_{i} B_{i} t^{i} = \prod_{q} \left(t - p_{q}\right)",
        ),
    ):
        steps.append(Step(stage, text, latex))
    steps += [equation_step("Gradients of the correlation, by reverse accumulation", e) for e in correlation.adjoints]
    stage = "Gradients of the tile: nabla_g = G^T [(A delta_y) o (B^T d)], delta_d = B [(G g) o (A delta_y)]"
    steps += [equation_step(stage, e) for e in tile.adjoints]
    return Page(
        "Minimal filtering",
        "Several outputs of a correlation by fewer multiplications (Winograd), for every number of outputs and taps.",
        tuple(steps),
    )


def _page(f: Filtering) -> Page:
    saved, nested = f.m * f.r / f.n, (f.m * f.r / f.n) ** 2
    return Page(
        f.name,
        f"{counted(f.m, 'output')} of a correlation with {counted(f.r, 'tap')} by {counted(f.n, 'multiplication')} "
        f"instead of {f.m * f.r} "
        f"({saved:.2f} times fewer); nested for two dimensions {f.n**2} instead of {(f.m * f.r) ** 2} "
        f"({nested:.2f} times fewer).",
        (*_matrices(f), *_proof(f), _operations(f), _points(f), _growth(f)),
    )


def _matrices(f: Filtering) -> list[Step]:
    stage = f"Matrices, interpolated at {points_text(f)}"
    return [
        Step(
            stage, f"{symbol} =\n" + "\n".join(f"    {row}" for row in aligned(matrix)), f"{latex} = {_matrix(matrix)}"
        )
        for symbol, latex, matrix in (("A^T", "A^T", f.outputs), ("G", "G", f.filters), ("B^T", "B^T", f.data))
    ]


def _matrix(matrix: Matrix) -> str:
    return sp.latex(sp.Matrix(matrix), mat_str="pmatrix", mat_delim="")


def _proof(f: Filtering) -> list[Step]:
    """What the tile computes, expanded, which is what the correlation does: it would have raised an error else."""
    direct, tile = evaluated(f)
    text, latex = TextPrinter().doprint, LatexEquations().doprint
    steps = []
    for x in (x for x in tile if x.base.name == "x"):
        u, v = (tile[sp.IndexedBase(name, real=True)[x.indices]] for name in "uv")
        steps.append(
            Step(
                "Proof, for all d and g: the multiplications",
                f"{text(x)} = ({text(u)})*({text(v)})",
                rf"{latex(x)} = \left({latex(u)}\right) \left({latex(v)}\right)",
            )
        )
    for name, stage in (
        ("y", f"Expanded, {IDENTITY} is the correlation"),
        ("nabla_g", "Expanded, nabla_g = G^T [(A delta_y) o (B^T d)] is the correlation's gradient by g"),
        ("delta_d", "Expanded, delta_d = B [(G g) o (A delta_y)] is the correlation's gradient by d"),
    ):
        steps += [
            Step(stage, f"{text(x)} = {text(tile[x])}", f"{latex(x)} = {latex(tile[x])}")
            for x in direct if x.base.name == name
        ]  # fmt: skip
    proved_nested(f, f)
    stage = f"Nested for two dimensions: proved for all {f.n**2} d and {f.r**2} g"
    return [
        *steps,
        Step(
            stage,
            "y[k, l] = sum_i sum_j g[i, j] d[k + i, l + j], y = A^T [(G g G^T) o (B^T d B)] A",
            r"y_{k, l} = \sum_{i} \sum_{j} g_{i, j} d_{k + i, l + j}, \qquad "
            r"y = A^T \left[(G g G^T) \circ (B^T d B)\right] A",
        ),
    ]


def _operations(f: Filtering) -> Step:
    """What the generated transforms do, each a sum, a difference, a multiple or a fused multiply-add."""
    rows = [(t.symbol + " " + t.reads, t.name, str(len(t.program))) for t in transforms(f)]
    return _table("Operations of the transforms", ("product", "function", "operations"), rows)


def _points(f: Filtering) -> Step:
    """Each point's part of the growth: the squares add up."""
    names = [*map(str, f.points), "infinity"]
    sizes = [[math.sqrt(power(row)) for row in matrix] for matrix in (f.sensitivities, f.filters, f.data)]
    parts = shares(f)
    rows = [
        (name, *(f"{size:.2f}" for size in of), f"{math.sqrt(part) / f.r:.3f}", f"{float(part / sum(parts)):.0%}")
        for name, *of, part in zip(names, *sizes, parts, strict=True)
    ]
    rows.append(("all", "", "", "", f"{math.sqrt(sum(parts)) / f.r:.3f}", "100%"))
    stage = "Growth of the rms rounding error beside the direct sum's, point by point, for many channels: the squares add up"
    return _table(stage, ("point", "|A|", "|G|", "|B|", "growth", "share"), rows)


def _growth(f: Filtering) -> Step:
    from generated.filtered import Rounding

    rows = []
    for what, of in zip(("outputs", "gradient by g"), rounding(f), strict=True):
        one = Rounding(float(of.taps), float(of.sums), float(of.transforms))
        for dimensions, r in (("one dimension", one), ("two dimensions", one.nested(one))):
            rows.append((f"{what}, {dimensions}", *(f"{r.growth(c):.2f}" for c in CHANNELS)))
    head = ("channels (gradient by g: tiles)", *("many" if c == math.inf else str(c) for c in CHANNELS))
    return _table("Growth of the rms rounding error, the transforms' own errors among it", head, rows)


def _table(stage: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Step:
    """Words in the first column, numbers flush right in the others."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )
    cells = r" \\ ".join(" & ".join(rf"\text{{{escaped(c)}}}" for c in line) for line in lines)
    page = "".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in line)}</tr>" for line in lines)
    latex = rf"\begin{{array}}{{l{'r' * (len(head) - 1)}}} {cells} \end{{array}}"
    return Step(stage, text, latex, f"<table>{page}</table>")
