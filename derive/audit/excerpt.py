"""C excerpts are claims: they say what the sensitivities of YOLOv3's output are.

An excerpt is read with pycparser and executed symbolically, path by path. What it leaves in `delta` on every path is
compared with the derivative of `yolo_cost` by the raw inputs of `yolo`, as the calculus derives it. A proof is exact
algebra for all sizes; a counterexample is an instance in rational numbers that satisfies the path's conditions.

C is read as mathematics: an int is an integer, a float a real number, and neither overflows nor rounds. An unknown function
gives an unknown value and changes nothing; one that is handed `delta` is not read.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import sympy as sp
from pycparser import c_ast as ast
from pycparser.c_parser import CParser, ParseError

from derive.audit.judging.counterexample import Counterexample
from derive.calculus.adjoint import adjoint
from derive.calculus.derivation import compose
from derive.calculus.equation import Equation, Term
from derive.calculus.simplify import in_output, signs_inside
from derive.calculus.system import System
from derive.calculus.text import LatexEquations, TextPrinter, equation_latex
from derive.forward.logistic import logistic
from derive.forward.quadratic import quadratic
from derive.forward.yolo import yolo
from derive.forward.yolo_cost import yolo_cost

# The vocabulary: what the names of an excerpt mean. A name that does not stand here has no meaning.


def integer(name: str, **kind: bool) -> sp.Symbol:
    return sp.Symbol(name, integer=True, **kind)


INDEX, OBJECT_INDEX, STRIDE = integer("index"), integer("obj_index"), integer("stride", positive=True)
CLASS, CLASSES = integer("class", nonnegative=True), integer("classes", positive=True)
N = integer("n", nonnegative=True)  # of an anchor; in an excerpt about classes, of a class
TRUTH_THRESH, IGNORE_THRESH, BEST_IOU = sp.symbols("truth_thresh ignore_thresh best_iou", real=True)
SCALE = sp.Symbol("scale", positive=True)
OUTPUTS, BIASES = sp.IndexedBase("output", real=True), sp.IndexedBase("biases", positive=True)
EARLIER = sp.IndexedBase("t", integer=True)  # the classes' targets that earlier truths left, each 0 or 1

ARRAYS = {
    **dict.fromkeys(("delta", "l.delta"), "delta"),
    **dict.fromkeys(("output", "x", "l.output"), "output"),
    **dict.fromkeys(("biases", "l.biases"), "biases"),
}
NAMES: dict[str, sp.Symbol] = {
    **{s.name: s for s in (INDEX, OBJECT_INDEX, STRIDE, N, SCALE, BEST_IOU)},
    **dict.fromkeys(("class", "class_id"), CLASS),
    **dict.fromkeys(("classes", "l.classes"), CLASSES),
    **dict.fromkeys(("truth_thresh", "l.truth_thresh"), TRUTH_THRESH),
    **dict.fromkeys(("ignore_thresh", "l.ignore_thresh"), IGNORE_THRESH),
    **{name: integer(name, nonnegative=True) for name in ("i", "j")},
    **{name: integer(name, positive=True) for name in ("lw", "lh", "w", "h")},
    **{name: sp.Symbol(name, real=True) for name in ("tx", "ty", "tw", "th", "truth.x", "truth.y")},
    **{name: sp.Symbol(name, positive=True) for name in ("truth.w", "truth.h")},
}
ONE, ZERO = sp.Integer(1), sp.Integer(0)
FUNCTIONS = {"log": sp.log, "logf": sp.log, "exp": sp.exp, "expf": sp.exp}
SHARES = {  # what lies between 0 and 1
    BEST_IOU,
    TRUTH_THRESH,
    IGNORE_THRESH,
    *(NAMES[f"truth.{k}"] for k in "xywh"),
    NAMES["tx"],
    NAMES["ty"],
}
DECODING = {  # the constants and settings of `yolo` as C has them
    "column": NAMES["i"],
    "row": NAMES["j"],
    "lw": NAMES["lw"],
    "lh": NAMES["lh"],
    "net_w": NAMES["w"],
    "net_h": NAMES["h"],
    "anchor_w": BIASES[2 * N],
    "anchor_h": BIASES[2 * N + 1],
}


@dataclass(frozen=True)
class Entry:
    """A raw input: its output and weight in the definitions; of a box, what it decodes to, the truth, the target in C."""

    output: str
    weight: str
    decoded: str = ""
    truth: str = ""
    target: str = ""


BOX = tuple(Entry(k, "scale", f"b_{k}", f"truth.{k}", f"t{k}") for k in "xywh")  # at index + 0*stride, 1*stride, ...
OBJECT, ONE_CLASS = Entry("o", "weight_o"), Entry("c", "weight_c")  # at obj_index; class n at index + n*stride
OF_BOXES = {"biases", "l.biases", *(e.truth for e in BOX), *(e.target for e in BOX)}  # an excerpt with one of these is
OF_CLASSES = {"class", "class_id", "classes", "l.classes"}  # about a box, with one of these about classes

LONGEST, LARGEST, MOST_ADDENDS = 20_000, 200, 100  # characters of an excerpt; parts and addends of an expression
MOST_STEPS, MOST_PATHS, MOST_TURNS = 3_000, 64, 64
MOST_INTEGERS, MOST_REALS, MOST_TRIED = 400, 400, 4_000  # of the instances that may refute


class Unread(Exception):
    """What is not understood, and at which offset of the excerpt."""

    def __init__(self, reason: str, at: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at


@dataclass(frozen=True)
class Claim:
    """The verdict on one statement, which stands at offset `at` of the excerpt as `source`.

    The other fields are those of the judge's outcomes. A correction is C; `steps` is the derivation as (heading, LaTeX).
    """

    verdict: str
    at: int
    source: str
    system: str | None = None
    scope: str | None = None
    reading: str | None = None
    counterexample: Counterexample | None = None
    correction: str | None = None
    reason: str | None = None
    steps: tuple[tuple[str, str], ...] = ()


def judge_excerpt(text: str) -> list[Claim]:
    """Judge every statement about `delta`, and the targets that are worked out for it, in the order of the excerpt.

    An excerpt that cannot be read is one claim, `unread`, with the reason and its line; nothing is raised.
    """
    try:
        bodies = parsed(text)
        about = [body for body in bodies if any(assigns_to_delta(node) for node in body.walk())]
        if not about:
            raise Unread("nothing is assigned to delta", bodies[0].head_at)
    except (Unread, RecursionError) as error:
        return [unread(text, error, Claim("unread", 0, text.strip()))]
    return [claim for body in about for claim in claimed(body)]


def claimed(body: "Body") -> list[Claim]:
    try:
        return judged(body)
    except (Unread, RecursionError) as error:
        return [unread(body.text, error, Claim("unread", body.head_at, body.head or body.text.strip()))]


def unread(text: str, error: Unread | RecursionError, claim: Claim) -> Claim:
    """The claim, not judged for a reason that stands in a line of the text."""
    if isinstance(error, RecursionError):
        return replace(claim, verdict="unread", reason="it is nested too deeply")
    reason = f"line {text.count(chr(10), 0, error.at) + 1}: {error.reason}"
    return replace(claim, verdict="unread", scope=None, at=claim.at or error.at, reason=reason)


# Reading


@dataclass(frozen=True)
class Body:
    """A function, whose head is at `head_at`, or bare statements. A function claims every entry of its kind."""

    text: str
    above: int  # lines above the first in the text that was parsed
    items: tuple[ast.Node, ...]
    parameters: tuple[ast.Node, ...] = ()
    head: str = ""
    head_at: int = 0

    def offset(self, node: ast.Node) -> int:
        """Where a node stands in the excerpt."""
        return offset(self.text, node.coord.line - self.above, node.coord.column) if node.coord else self.head_at

    def source(self, node: ast.Node, *, whole: bool = False) -> str:
        """The text from a node to the end of its statement; `whole`: from the beginning of the statement."""
        blank, at = without_comments(self.text), self.offset(node)
        end = blank.find(";", at)
        if whole:
            at = max(blank.rfind(mark, 0, at) for mark in ";{}") + 1
        return self.text[at : end + 1 if end >= 0 else len(self.text)].strip()

    def walk(self) -> Iterator[ast.Node]:
        return (node for item in self.items for node in walk(item))

    @cached_property
    def names(self) -> set[str]:
        return {dotted(node) for node in self.walk()}


def parsed(text: str) -> list[Body]:
    """The functions of an excerpt, or its statements as one body; raises Unread with the place of what is wrong."""
    blank = without_comments(text).replace("\r", " ")
    if not blank.strip() or len(text) > LONGEST:
        raise Unread("there is no statement" if not blank.strip() else "the excerpt is too long")
    if directive := re.search(r"^[ \t]*#", blank, re.MULTILINE):
        raise Unread("a directive of the preprocessor is not read", directive.end() - 1)
    failures = []
    plain, pointers = types_in(blank, r"\s+"), types_in(blank, r"\s*\*+\s*")
    for types in (plain, plain | pointers):
        prelude = "".join(f"typedef int {name};" for name in sorted(types)) + "\n"
        for before, after in (("", ""), ("void excerpt(void) {\n", "\n}"), ("void excerpt(void) {\n", ";\n}")):
            above = 1 + before.count("\n")
            try:
                whole = CParser().parse(prelude + before + blank + after)
            except ParseError as error:
                failures.append(failure(str(error), above, text))
                continue
            except (AssertionError, AttributeError, LookupError, TypeError, ValueError):  # its own, on broken text
                failures.append(Unread("the parser of C fails on it"))
                continue
            functions = [item for item in whole.ext if not isinstance(item, ast.Typedef)]
            if functions and all(isinstance(f, ast.FuncDef) and not f.param_decls for f in functions):
                return [body_of(f, text, above, wrapped=bool(before)) for f in functions]
    raise max(failures, key=lambda e: e.at, default=Unread("these are neither functions nor statements"))


def without_comments(text: str) -> str:
    """The text with its comments blanked out, so that places stay what they are."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


KEYWORD = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    "restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while"
)


def types_in(blank: str, between: str) -> set[str]:
    """Names that stand where a declaration has its type: before another name."""
    name, before = r"[A-Za-z_]\w*", r"(?:^|[;{}(,])\s*(?:(?:const|static|inline)\s+)*"
    found = re.findall(rf"{before}({name}){between}(?={name}\s*[=;,()])", blank)
    return {name for name in found if not KEYWORD.fullmatch(name)}


def failure(message: str, above: int, text: str) -> Unread:
    place = re.match(r"\D*:(\d+):(\d+): (.*)", message)
    at = offset(text, int(place[1]) - above, int(place[2])) if place else len(text)
    return Unread(f"this is not C: {place[3] if place else message}", at)


def offset(text: str, line: int, column: int) -> int:
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    return min(starts[min(max(line, 1), len(starts)) - 1] + column - 1, len(text))


def body_of(function: ast.FuncDef, text: str, above: int, *, wrapped: bool) -> Body:
    body = Body(text, above, tuple(function.body.block_items or ()))
    if wrapped:
        return body
    blank, name = without_comments(text), body.offset(function.decl)
    before = max(blank.rfind(mark, 0, name) for mark in ";}") + 1
    head = text[before : blank.find("{", name)]
    arguments = function.decl.type.args
    parameters = tuple(arguments.params) if arguments else ()
    return replace(body, parameters=parameters, head=head.strip(), head_at=before + len(head) - len(head.lstrip()))


def walk(node: ast.Node) -> Iterator[ast.Node]:
    yield node
    for _, child in node.children():
        yield from walk(child)


def dotted(node: ast.Node) -> str:
    """`a`, `a.b` (also written `a->b`), `*a`; the empty string for anything else."""
    if isinstance(node, ast.ID):
        return str(node.name)
    if isinstance(node, ast.StructRef):
        inside = dotted(node.name)
        return f"{inside}.{node.field.name}" if inside else ""
    if isinstance(node, ast.UnaryOp) and node.op == "*" and isinstance(node.expr, ast.ID):
        return f"*{node.expr.name}"
    return ""


def is_delta(node: ast.Node) -> bool:
    return isinstance(node, ast.ArrayRef) and ARRAYS.get(dotted(node.name)) == "delta"


def assigns_to_delta(node: ast.Node) -> bool:
    return isinstance(node, ast.Assignment) and is_delta(node.lvalue)


def assigned_name(node: ast.Node) -> str:
    """The name that a declaration or an assignment gives a value, or the empty string."""
    if isinstance(node, ast.Decl):
        return str(node.name) if node.init else ""
    return dotted(node.lvalue) if isinstance(node, ast.Assignment) else ""


def asks_what_delta_is(node: ast.Node) -> bool:
    """Whether delta is read for something else than its own new value."""
    if isinstance(node, ast.Assignment) and is_delta(node.lvalue):
        return False
    return is_delta(node) or any(asks_what_delta_is(child) for _, child in node.children())


def changed_in(node: ast.Node) -> set[str]:
    """The names that a statement changes, without those that it declares."""
    inside = list(walk(node))
    changed = {dotted(n.lvalue) for n in inside if isinstance(n, ast.Assignment)}
    changed |= {dotted(n.expr) for n in inside if isinstance(n, ast.UnaryOp) and n.op.strip("p") in ("++", "--")}
    return changed - {n.name for n in inside if isinstance(n, ast.Decl)} - {""}


# Conditions


class Unknown(sp.Dummy):
    """A value that the excerpt does not say; its name is the reason."""


def unknown(why: str) -> sp.Symbol:
    return Unknown(why, real=True)


def unknowns(*expressions: sp.Basic) -> list[str]:
    return sorted(s.name for e in expressions for s in e.atoms(Unknown))


@dataclass(frozen=True)
class Condition:
    """`e > 0`, or `e = 0`, in a form that equal conditions share."""

    e: sp.Expr
    positive: bool

    def xreplace(self, change: dict[sp.Basic, sp.Basic]) -> "Condition | bool":
        return condition(self.e.xreplace(change), self.positive)


Fact = tuple[Condition, bool]


def above_zero(e: sp.Expr) -> Condition | bool:
    return condition(e, True)


def is_zero(e: sp.Expr) -> Condition | bool:
    return condition(e, False)


def condition(e: sp.Expr, positive: bool) -> Condition | bool:
    """The condition without factors that do not matter, or its truth where the sign of e is known."""
    if addends(e) > MOST_ADDENDS:
        raise Unread("an expression is too large to compare")
    e = sp.expand(sp.expand_log(e)) if e.has(sp.exp, sp.log) else sp.factor(e)
    factors = [
        sp.Integer(-1) if f.is_negative else f
        for f in sp.Mul.make_args(e)
        if not (f.is_positive or (f.is_nonzero and not positive))
    ]
    e = sp.Mul(*factors)
    if not positive and e.could_extract_minus_sign():
        e = -e
    if e.is_positive if positive else e.is_zero:
        return True
    if e.is_nonpositive if positive else e.is_nonzero:
        return False
    return Condition(e, positive)


def implied(tested: Condition, facts: Iterable[Fact]) -> Condition | bool:
    """The truth of a condition where a fact tells it."""
    for fact, truth in facts:
        if fact == tested:
            return truth
        e, f = tested.e, fact.e
        if tested.positive and fact.positive and e.is_integer and f.is_integer:
            least = f if truth else 1 - f  # at least 1
            if sp.expand(e - least).is_nonnegative:
                return True
            if sp.expand(e + least - 1).is_nonpositive:
                return False
        elif truth and tested.positive and fact.positive and sp.expand(e + f) == 0:
            return False
        elif truth and tested.positive != fact.positive and 0 in (sp.expand(e - f), sp.expand(e + f)):
            return False  # what is above zero is not zero
    return tested


def implied_by_ranges(tested: Condition) -> Condition | bool:
    """The truth of a condition that every target, 0 or 1, and every output strictly between 0 and 1 agree on."""
    cells = tested.e.atoms(sp.Indexed)
    targets = sorted((x for x in cells if x.base == EARLIER), key=str)
    outputs = {x: 1 / (1 + sp.Dummy(positive=True)) for x in cells if x.base == OUTPUTS}
    if len(targets) > 2:
        return tested
    found = set()
    for chosen in itertools.product((ZERO, ONE), repeat=len(targets)):
        change = dict(zip(targets, chosen, strict=True)) | outputs
        found.add(tested.xreplace(change))
    return found.pop() if found in ({True}, {False}) else tested


def merged(cases: Iterable[tuple[tuple[Fact, ...], Any]]) -> list[tuple[tuple[Fact, ...], Any]]:
    """Cases, each with its facts and its result, without the facts that make no difference to the result."""
    by_result: dict[Any, list[tuple[Fact, ...]]] = {}
    for facts, result in cases:
        by_result.setdefault(result, []).append(facts)
    found = []
    for result, ways in by_result.items():
        joined = True
        while joined:
            joined = False
            for one, other in itertools.combinations(ways, 2):
                apart = set(one) ^ set(other)
                if len(apart) == 2 and len({fact for fact, _ in apart}) == 1:
                    ways = [w for w in ways if w not in (one, other)] + [tuple(f for f in one if f in other)]
                    joined = True
                    break
        found += [(facts, result) for facts in ways]
    return found


# Execution


@dataclass(frozen=True)
class Value:
    """A number of C: its expression, whether its type is int, and a bound of how large the expression is."""

    e: sp.Expr
    whole: bool = False
    size: int = 1


@dataclass(frozen=True)
class Write:
    """What a statement put into an array: at one address, or for every value of `counter` for which all facts hold."""

    array: str
    address: sp.Expr
    value: Value
    at: int
    counter: sp.Symbol | None = None
    facts: tuple[Fact, ...] = ()


TURN = Write("", ZERO, Value(ZERO), -1)  # marks where a turn of a loop begins


@dataclass(frozen=True)
class Path:
    """One way through the excerpt: its variables (None: declared only), what was written, and what was found true."""

    later: bool = False  # whether an earlier truth was assigned here
    names: dict[str, tuple[Value | None, bool]] = field(default_factory=dict)  # and whether it is declared int
    memory: tuple[Write, ...] = ()
    facts: tuple[Fact, ...] = ()
    crossed: tuple[tuple[str, sp.Expr], ...] = ()  # what a turn of a loop read from before the loop
    ended: str = ""  # how: Return, Break or Continue

    def with_name(self, name: str, value: Value | None, whole: bool) -> "Path":
        return replace(self, names={**self.names, name: (value, whole)})

    def equalities(self) -> dict[sp.Basic, sp.Basic]:
        """Symbols that the facts determine, by what they are equal to."""
        found: dict[sp.Basic, sp.Basic] = {}
        for fact, truth in self.facts:
            e = sp.expand(fact.e.xreplace(found)) if truth and not fact.positive else sp.Integer(0)
            for s in sorted(e.free_symbols, key=lambda s: (not isinstance(s, sp.Dummy), str(s))):
                rest = sp.expand(e - e.coeff(s) * s)
                if e.coeff(s) in (1, -1) and not rest.has(s):
                    solved = {s: sp.expand(-rest / e.coeff(s))}
                    found = {k: v.xreplace(solved) for k, v in found.items()} | solved
                    break
        return found

    def known(self, tested: Condition | bool) -> Condition | bool:
        """The truth of a condition as far as this path tells it."""
        if not isinstance(tested, bool):
            tested = tested.xreplace(self.equalities())
        if not isinstance(tested, bool):
            tested = implied(tested, self.facts)
        if not isinstance(tested, bool) and self.later:
            tested = implied_by_ranges(tested)
        return tested

    def decided(self, tested: Condition | bool) -> Iterator[tuple["Path", bool]]:
        """The paths on which a condition is true and false, without those that contradict what is known."""
        tested = self.known(tested)
        if isinstance(tested, bool):
            yield self, tested
            return
        for truth in (True, False):
            more = replace(self, facts=(*self.facts, (tested, truth)))
            if more.consistent():
                yield more, truth

    def consistent(self) -> bool:
        """Whether no fact contradicts the equalities."""
        change = self.equalities()
        rest = [(fact.xreplace(change), truth) for fact, truth in self.facts if fact.positive or not truth]
        return not any(isinstance(fact, bool) and fact != truth for fact, truth in rest)

    def all_hold(self, tests: Sequence[tuple[Condition | bool, bool]]) -> Iterator[tuple["Path", bool]]:
        """The paths on which all conditions have the truth that is wanted, and those on which one has not."""
        if not tests:
            yield self, True
            return
        (first, wanted), *rest = tests
        for end, truth in self.decided(first):
            if truth == wanted:
                yield from end.all_hold(rest)
            else:
                yield end, False


class Executor:
    """Runs a body. `sign` is the reading of what `delta` holds where an earlier truth was assigned."""

    def __init__(self, body: Body, sign: int) -> None:
        self.body, self.sign = body, sign
        self.steps = 0
        self.read: set[sp.Symbol] = set()  # of the vocabulary
        self.spelled: dict[Any, str] = {}  # how the excerpt calls symbols and arrays
        self.reads_before = False  # whether it reads what delta was before

    def run(self, path: Path) -> list[Path]:
        for p in self.body.parameters:
            if isinstance(p, ast.Decl) and isinstance(p.type, ast.TypeDecl) and (whole := self.is_whole(p)) is not None:
                symbol = NAMES.get(p.name) or unknown(f"{p.name} is not in the vocabulary")
                if symbol.is_integer and not whole:
                    raise self.refuse(f"{p.name} has to be an int", p)
                self.spelled[symbol] = p.name
                path = path.with_name(p.name, Value(symbol, whole), whole)
        return self.block(self.body.items, [path])

    def refuse(self, reason: str, node: ast.Node) -> Unread:
        return Unread(reason, self.body.offset(node))

    def count(self, node: ast.Node) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise self.refuse("too many steps", node)

    # Statements

    def block(self, items: Iterable[ast.Node], paths: list[Path]) -> list[Path]:
        for item in items:
            after: list[Path] = []
            for path in paths:
                after += [path] if path.ended else self.statement(item, path)
                if len(after) > MOST_PATHS:
                    raise self.refuse("too many paths", item)
            paths = after
        return paths

    def statement(self, node: ast.Node, path: Path) -> Iterable[Path]:
        self.count(node)
        if isinstance(node, ast.Compound):
            return self.scope(node, path)
        if isinstance(node, ast.Decl):
            return self.declaration(node, path)
        if isinstance(node, ast.Assignment):
            return self.assignment(node, path)
        if isinstance(node, ast.UnaryOp) and node.op.strip("p") in ("++", "--"):
            one = ast.Constant("int", "1", node.coord)
            return self.assignment(ast.Assignment(f"{node.op[-1]}=", node.expr, one, node.coord), path)
        if isinstance(node, ast.If):
            return self.choice(node, path)
        if isinstance(node, ast.For):
            return self.loop(node, path)
        if isinstance(node, ast.Return | ast.Break | ast.Continue):
            ends = self.values(node.expr, path) if getattr(node, "expr", None) else [(path, None)]
            return [replace(end, ended=type(node).__name__) for end, _ in ends]
        if isinstance(node, ast.EmptyStatement):
            return [path]
        return [end for end, _ in self.values(node, path)]

    def scope(self, node: ast.Compound, path: Path) -> Iterator[Path]:
        """A block in braces; what it declares is gone after it."""
        items = node.block_items or ()
        own = {item.name for item in items if isinstance(item, ast.Decl)}
        for end in self.block(items, [path]):
            yield replace(end, names=without(end.names, own, path.names))

    def is_whole(self, node: ast.Decl | ast.Typename) -> bool | None:
        """Whether a type is int; None for one that is no number."""
        words = set(getattr(node.type.type, "names", ()))
        if words & {"unsigned", "char", "_Bool", "bool", "size_t"}:
            raise self.refuse(f"the type {' '.join(sorted(words))} is not read", node)
        return False if words & {"float", "double"} else True if words & {"int", "long", "short", "signed"} else None

    def declaration(self, node: ast.Decl, path: Path) -> Iterator[Path]:
        if not isinstance(node.type, ast.TypeDecl) or node.name in ARRAYS:
            raise self.refuse(f"the declaration of {node.name} is not read", node)
        whole = self.is_whole(node)
        for end, value in self.values(node.init, path) if node.init else [(path, None)]:
            yield end.with_name(node.name, value and self.converted(value, whole, node), bool(whole))

    def converted(self, value: Value, whole: bool | None, node: ast.Node) -> Value:
        if whole and not value.whole:
            raise self.refuse("a real number is cut to an integer", node)
        return replace(value, whole=bool(whole))

    def assignment(self, node: ast.Assignment, path: Path) -> Iterator[Path]:
        target, name = node.lvalue, dotted(node.lvalue)
        if node.op not in ("=", "+=", "-=", "*=", "/="):
            raise self.refuse(f"the operator {node.op} is not read", node)
        right = node.rvalue if node.op == "=" else ast.BinaryOp(node.op[0], target, node.rvalue, node.coord)
        if isinstance(target, ast.ArrayRef):
            for middle, array, address in self.places(target, path):
                for end, value in self.values(right, middle):
                    written = Write(array, address, replace(value, whole=False), self.body.offset(target))
                    yield replace(end, memory=(*end.memory, written))
            return
        if name in path.names:
            whole = path.names[name][1]
        elif name in NAMES or (name[:1] == "*" and name[1:] not in ARRAYS):
            whole = bool(name in NAMES and NAMES[name].is_integer)
        else:
            raise self.refuse(f"{name or 'what is assigned to'} is neither declared nor in the vocabulary", node)
        for end, value in self.values(right, path):
            yield end.with_name(name, self.converted(value, whole, node), whole)

    def choice(self, node: ast.If, path: Path) -> Iterator[Path]:
        for end, truth in self.truths(node.cond, path):
            taken = node.iftrue if truth else node.iffalse
            yield from self.block([taken] if taken else [], [end])

    # Loops

    def loop(self, node: ast.For, path: Path) -> Iterator[Path]:
        """A loop of literal bounds turn by turn; any other as one statement for every value of its counter."""
        name, low, high, ascends = self.header(node, path)
        if low.is_Integer and high.is_Integer and high - low < MOST_TURNS:
            order = range(int(low), int(high) + 1)
            ends = [path]
            for turn in order if ascends else reversed(order):
                began = [end.with_name(name, Value(sp.Integer(turn), True), True) for end in ends]
                ends = [self.went_on(end, node) for end in self.block([node.stmt], began)]
        else:
            ends = [self.every_turn(node, path, name, low, high)]
        for end in ends:
            if isinstance(node.init, ast.DeclList):
                yield replace(end, names=without(end.names, {name}, path.names))
            else:
                yield end.with_name(name, Value(unknown(f"{name} after its loop"), True), True)

    def went_on(self, end: Path, node: ast.Node) -> Path:
        if end.ended not in ("", "Continue"):
            raise self.refuse("the loop is left before its end", node)
        return replace(end, ended="")

    def header(self, node: ast.For, path: Path) -> tuple[str, sp.Expr, sp.Expr, bool]:
        """The counter of a loop, its least and greatest value, and whether it goes up."""
        begin, test, step = node.init, node.cond, node.next
        if isinstance(begin, ast.DeclList):
            name, first, whole = begin.decls[0].name, begin.decls[0].init, self.is_whole(begin.decls[0])
            simple = len(begin.decls) == 1 and isinstance(begin.decls[0].type, ast.TypeDecl)
        else:
            simple = isinstance(begin, ast.Assignment) and begin.op == "=" and isinstance(begin.lvalue, ast.ID)
            name, first = (begin.lvalue.name, begin.rvalue) if simple else ("", None)
            whole = path.names[name][1] if name in path.names else name in NAMES and NAMES[name].is_integer
        if isinstance(step, ast.UnaryOp):
            direction = step.op.strip("p") if dotted(step.expr) == name else ""
        else:
            by_one = isinstance(step, ast.Assignment) and getattr(step.rvalue, "value", "") == "1"
            direction = {"+=": "++", "-=": "--"}.get(step.op, "") if by_one and dotted(step.lvalue) == name else ""
        flipped = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
        if not (simple and first and whole and direction in ("++", "--")):
            raise self.refuse("a loop has to count one int up or down by one", node)
        sides = (dotted(test.left), dotted(test.right)) if isinstance(test, ast.BinaryOp) else ()
        if name not in sides or test.op not in flipped:
            raise self.refuse("a loop has to end at a bound of its counter", node)
        operator, bound = (test.op, test.right) if dotted(test.left) == name else (flipped[test.op], test.left)
        if {dotted(n) for n in walk(bound)} & {name, *changed_in(node.stmt)} or name in changed_in(node.stmt):
            raise self.refuse("the loop changes its own counter or bound", node)
        if (operator[0] == "<") != (direction == "++"):
            raise self.refuse("the counter runs away from its bound", node)
        start, stop, open_end = self.bound(first, path), self.bound(bound, path), int(len(operator) == 1)
        return (name, start, stop - open_end, True) if direction == "++" else (name, stop + open_end, start, False)

    def bound(self, node: ast.Node, path: Path) -> sp.Expr:
        """A bound of a loop: one known integer."""
        found = [value for _, value in self.values(node, path)]
        if len(found) != 1 or not found[0].whole or unknowns(found[0].e):
            raise self.refuse("the bound of a loop is not read", node)
        return sp.expand(found[0].e)

    def every_turn(self, node: ast.For, path: Path, name: str, low: sp.Expr, high: sp.Expr) -> Path:
        """The turn of a symbolic counter. What one turn hands to the next is unknown; none may touch another's place."""
        counter = sp.Dummy(name, integer=True, nonnegative=low.is_nonnegative or None)
        self.spelled[counter] = name
        changed = {k: path.names.get(k, (None, False))[1] for k in changed_in(node.stmt)}
        handed = {k: (Value(unknown(f"{k} is handed from turn to turn"), w), w) for k, w in changed.items()}
        inside = tuple((Condition(e, True), True) for e in (counter - low + 1, high - counter + 1))
        began = replace(path, names={**path.names, **handed, name: (Value(counter, True), True)}, crossed=())
        began = replace(began, memory=(*path.memory, TURN), facts=(*path.facts, *inside))
        turns: list[tuple[tuple[Fact, ...], tuple[Write, ...]]] = []
        crossed: set[tuple[str, sp.Expr]] = set()
        for end in self.block([node.stmt], [began]):
            self.went_on(end, node)
            same = {s: counter for s, e in end.equalities().items() if e == counter}
            same |= {e: counter for s, e in end.equalities().items() if s == counter and e.is_Symbol}
            writes = [replace(w, address=w.address.xreplace(same)) for w in end.memory[len(began.memory) :]]
            turns.append((end.facts[len(path.facts) :], tuple(writes)))
            crossed |= {(array, address.xreplace(same)) for array, address in end.crossed}
        place = {w.array: w.address for _, writes in turns for w in writes}
        for w in (w for _, writes in turns for w in writes):
            slope = w.address.coeff(counter)
            alone = slope.is_nonzero and not sp.expand(w.address - slope * counter).has(counter)
            if w.counter is not None or not alone or w.address != place[w.array]:
                raise self.refuse("turns of the loop may write to the same place", node)
        if any(place.get(array, address) != address for array, address in crossed):
            raise self.refuse("a turn of the loop may read what another one wrote", node)
        written = [replace(w, counter=counter, facts=facts) for facts, writes in merged(turns) for w in writes]
        after = {k: (Value(unknown(f"{k} after the loop"), w), w) for k, w in changed.items()}
        return replace(path, names={**path.names, **after}, memory=(*path.memory, *written))

    # Expressions

    def values(self, node: ast.Node, path: Path) -> Iterator[tuple[Path, Value]]:
        """The value of an expression on each path that its conditions open."""
        self.count(node)
        if isinstance(node, ast.Constant):
            yield path, self.constant(node)
        elif isinstance(node, ast.ArrayRef):
            for middle, array, address in self.places(node, path):
                for end, value, at in self.stored(middle, array, address):
                    self.reads_before |= array == "delta" and at is None
                    yield end, value
        elif dotted(node):
            yield path, self.name(node, path)
        elif isinstance(node, ast.BinaryOp) and node.op in ("+", "-", "*", "/"):
            for middle, left in self.values(node.left, path):
                for end, right in self.values(node.right, middle):
                    yield end, self.combined(node, left, right)
        elif isinstance(node, ast.UnaryOp) and node.op in ("+", "-"):
            for end, value in self.values(node.expr, path):
                yield end, replace(value, e=-value.e if node.op == "-" else value.e)
        elif isinstance(node, ast.TernaryOp):
            for middle, truth in self.truths(node.cond, path):
                taken, other = (node.iftrue, node.iffalse) if truth else (node.iffalse, node.iftrue)
                whole = all(value.whole for _, value in self.values(other, middle))  # else the choice is real as well
                for end, value in self.values(taken, middle):
                    yield end, replace(value, whole=value.whole and whole)
        elif isinstance(node, ast.Cast) and isinstance(node.to_type.type, ast.TypeDecl):
            for end, value in self.values(node.expr, path):
                yield end, self.converted(value, self.is_whole(node.to_type), node)
        elif isinstance(node, ast.FuncCall):
            yield from self.call(node, path)
        elif isinstance(node, ast.BinaryOp | ast.UnaryOp) and node.op in (*COMPARISONS, "&&", "||", "!"):
            for end, truth in self.truths(node, path):
                yield end, Value(sp.Integer(truth), True)
        else:
            raise self.refuse(f"{type(node).__name__} is not read here", node)

    def constant(self, node: ast.Constant) -> Value:
        if re.fullmatch(r"(0|[1-9]\d{0,9})[lL]?", node.value):
            return Value(sp.Integer(node.value.rstrip("lL")), True)
        if re.fullmatch(r"(?=\.?\d)\d{0,20}\.?\d{0,20}([eE][+-]?\d\d?)?[fFlL]?", node.value) and node.type != "int":
            return Value(sp.Rational(f"0{node.value.rstrip('fFlL')}"))
        raise self.refuse(f"the constant {node.value} is not read", node)

    def name(self, node: ast.Node, path: Path) -> Value:
        name = dotted(node)
        if name in path.names:
            value = path.names[name][0]
            if value is None:
                raise self.refuse(f"{name} is read before it has a value", node)
            self.read |= {value.e} & set(NAMES.values())
            return value
        if name in ARRAYS:
            raise self.refuse(f"{name} is read without an address", node)
        if name not in NAMES or name.split(".")[0] in path.names:
            return Value(unknown(f"{name} is not in the vocabulary"))
        self.spelled[NAMES[name]] = name
        self.read.add(NAMES[name])
        return Value(NAMES[name], bool(NAMES[name].is_integer))

    def combined(self, node: ast.BinaryOp, left: Value, right: Value) -> Value:
        a, b, whole, size = left.e, right.e, left.whole and right.whole, left.size + right.size
        if size > LARGEST:
            raise self.refuse("the expression is too large", node)
        if node.op == "/":
            if b == 0:
                raise self.refuse("a division by zero", node)
            if whole and not (a.is_Integer and b.is_Integer):
                raise self.refuse("a division of integers is not read", node)
            return Value(sp.sign(a * b) * (abs(a) // abs(b)) if whole else a / b, whole, size)  # C cuts towards zero
        return Value(a + b if node.op == "+" else a - b if node.op == "-" else a * b, whole, size)

    def call(self, node: ast.FuncCall, path: Path) -> Iterator[tuple[Path, Value]]:
        name, arguments = dotted(node.name), list(node.args.exprs) if node.args else []
        if name in FUNCTIONS and len(arguments) == 1:
            for end, value in self.values(arguments[0], path):
                yield end, Value(FUNCTIONS[name](value.e), size=value.size)
            return
        for inner in (inner for a in arguments for inner in walk(a)):
            changes = isinstance(inner, ast.UnaryOp) and inner.op.strip("p") in ("&", "++", "--")
            if changes or isinstance(inner, ast.Assignment):
                raise self.refuse("an argument that may change something is not read", inner)
            if ARRAYS.get(dotted(inner)) == "delta":
                raise self.refuse(f"{name} is not known and is handed {dotted(inner)}", node)
        yield path, Value(unknown(f"{name}(...) is not known"))

    def truths(self, node: ast.Node, path: Path) -> Iterator[tuple[Path, bool]]:
        """Whether a condition holds, on each path that it opens."""
        self.count(node)
        if isinstance(node, ast.UnaryOp) and node.op == "!":
            for end, truth in self.truths(node.expr, path):
                yield end, not truth
        elif isinstance(node, ast.BinaryOp) and node.op in ("&&", "||"):
            for end, truth in self.truths(node.left, path):
                yield from [(end, truth)] if truth == (node.op == "||") else self.truths(node.right, end)
        elif isinstance(node, ast.BinaryOp) and node.op in COMPARISONS:
            sign, positive, wanted = COMPARISONS[node.op]
            for middle, left in self.values(node.left, path):
                for end, right in self.values(node.right, middle):
                    for last, truth in end.decided(condition(sign * (left.e - right.e), positive)):
                        yield last, truth == wanted
        else:
            for end, value in self.values(node, path):
                for last, zero in end.decided(is_zero(value.e)):
                    yield last, not zero

    # Memory

    def places(self, node: ast.ArrayRef, path: Path) -> Iterator[tuple[Path, str, sp.Expr]]:
        """The array and the address that an element is at."""
        name = dotted(node.name)
        array = ARRAYS.get(name, name)
        if not name or name in path.names or self.spelled.setdefault(array, name) != name:
            raise self.refuse("one array has two names, or what is indexed is none", node)
        for end, value in self.values(node.subscript, path):
            if not value.whole or unknowns(value.e) or addends(value.e) > MOST_ADDENDS:
                raise self.refuse("the address is not read", node)
            yield end, array, sp.expand(value.e)

    def stored(
        self, path: Path, array: str, address: sp.Expr, last: int | None = None
    ) -> Iterator[tuple[Path, Value, int | None]]:
        """What stands at an address, and the offset of the statement that put it there (None: it was there before)."""
        for k in range(len(path.memory) if last is None else last, 0, -1):
            w = path.memory[k - 1]
            if w is TURN:
                path = replace(path, crossed=(*path.crossed, (array, address)))
            gap = sp.expand(address - w.address)
            if w.array != array or (gap.has(INDEX) and gap.has(OBJECT_INDEX)):
                continue  # nothing of a box or of classes stands where an objectness does
            if gap.has(INDEX, OBJECT_INDEX):
                raise Unread("addresses cannot be told apart", w.at)
            change: dict[sp.Basic, sp.Basic] = {}
            tests: list[tuple[Condition | bool, bool]] = [(is_zero(gap), True)]
            if w.counter is not None:
                turn = sp.cancel(gap / w.address.coeff(w.counter) + w.counter)
                if not sp.denom(turn).is_Integer:
                    raise Unread("addresses cannot be told apart", w.at)
                both = sp.Tuple(w.value.e, *(fact.e for fact, _ in w.facts))
                change = {w.counter: sp.expand(turn)} | {u: unknown(u.name) for u in both.atoms(Unknown)}
                tests = [(fact.xreplace(change), truth) for fact, truth in w.facts]
            for end, found in path.all_hold(tests):
                if found:
                    yield end, replace(w.value, e=w.value.e.xreplace(change)), w.at
                else:
                    yield from self.stored(end, array, address, k - 1)
            return
        yield path, Value(self.before(path, array, address)), None

    def before(self, path: Path, array: str, address: sp.Expr) -> sp.Expr:
        """What an array holds before the excerpt: `delta` holds 0, or what earlier truths left."""
        if array in ("output", "biases"):
            return (OUTPUTS if array == "output" else BIASES)[address]
        if array != "delta":
            return unknown(f"{array} is not in the vocabulary")
        if not path.later:
            return sp.Integer(0)
        place = multiple_at(address)
        if place is None:
            return unknown("an entry of delta that belongs to no class")
        return self.sign * sensitivity(ONE_CLASS).at(OUTPUTS[address], EARLIER[place], sp.Integer(1))


COMPARISONS = {  # the sign of left - right that is tested, whether for being above zero, and which truth is wanted
    ">": (1, True, True),
    "<": (-1, True, True),
    "<=": (1, True, False),
    ">=": (-1, True, False),
    "==": (1, False, True),
    "!=": (1, False, False),
}


def without(names: dict[str, Any], own: set[str], outside: dict[str, Any]) -> dict[str, Any]:
    """The variables after a block: its own ones are gone, and those that they hid are back."""
    return {k: v for k, v in names.items() if k not in own} | {k: outside[k] for k in own & set(outside)}


def multiple_at(address: sp.Expr) -> sp.Expr | None:
    """m of `index + m*stride`, or None."""
    rest = sp.expand(address - INDEX)
    m = rest.coeff(STRIDE)
    return m if sp.expand(rest - m * STRIDE) == 0 and not m.has(INDEX, STRIDE) else None


# What the calculus derives


OUTPUT, TARGET, WEIGHT = sp.symbols("output target weight", real=True)


@dataclass(frozen=True)
class Sensitivity:
    """The derivative of the cost by a raw input, in its output, target and weight; the steps to it as (heading, LaTeX)."""

    e: sp.Expr
    steps: tuple[tuple[str, str], ...]

    def at(self, output: sp.Expr, target: sp.Expr, weight: sp.Expr) -> sp.Expr:
        return self.e.xreplace({OUTPUT: output, TARGET: target, WEIGHT: weight})


@cache
def adjoints(squared: bool) -> tuple[System, dict[str, Equation]]:
    """`yolo` with its cost, or the logistic function with half the squared error; and the cost's adjoints."""
    whole = compose(logistic, quadratic) if squared else compose(yolo, yolo_cost)

    def in_outputs(e: Equation, slope: sp.Expr) -> sp.Expr:
        return in_output(e.terms[0].body, slope, e.target) if len(e.terms) == 1 and not e.terms[0].over else slope

    return whole, adjoint(whole.equations, {"C"}, declared=whole.declared(), slope_form=in_outputs)


@cache
def sensitivity(entry: Entry, squared: bool = False) -> Sensitivity:
    """The sensitivity of an entry; `squared` puts half the squared error of its output in the place of its cost.

    There the weight is what the cost's own sensitivity is taken for.
    """
    whole, bars = adjoints(squared)
    raw, output, target, weight = f"t_{entry.output}", entry.output, f"{entry.output}_true", entry.weight
    if squared:
        raw, output, target, weight = "z", "a", "y", ""
    by_name = {e.name: e for e in bars.values()}
    chain, closed = [bars[raw]], bars[raw].expression()
    while inside := sorted((x for x in closed.atoms(sp.Indexed) if x.base.name in by_name), key=str):
        chain += [by_name[x.base.name] for x in inside]
        closed = closed.xreplace({x: by_name[x.base.name].expression() for x in inside})
    closed = sp.factor(sp.cancel(closed))
    forward = [e for e in whole.equations if e.name in bars and output in {e.name, *e.reads()}]
    steps = (
        *(("Forward equations", equation_latex(e)) for e in forward),
        *(("Chain rule, from the cost back to the raw input", equation_latex(e)) for e in reversed(chain)),
        ("Intermediate sensitivities put in, simplified", equation_latex(Equation(chain[0].target, (Term(closed),)))),
    )
    meaning = {output: OUTPUT, target: TARGET, weight: WEIGHT, "delta_C": WEIGHT if squared else ONE}
    return Sensitivity(closed.xreplace({x: meaning[x.base.name] for x in closed.atoms(sp.Indexed)}), steps)


@cache
def decoded(entry: Entry) -> tuple[sp.Expr, Equation]:
    """What an output of a box is decoded to, in OUTPUT and the names of C; and the equation of `yolo` that says so."""
    equation, output = (next(e for e in yolo.equations if e.name == name) for name in (entry.decoded, entry.output))
    right = equation.expression()
    change: dict[sp.Basic, sp.Expr] = {s: DECODING[s.name] for s in yolo.settings}
    for x in right.atoms(sp.Indexed):
        if x.base.name in output.reads():  # the raw input itself: in terms of the output
            (change[x],) = sp.solve(output.expression() - OUTPUT, x)
        else:
            change[x] = OUTPUT if x.base.name == entry.output else DECODING[x.base.name]
    return right.xreplace(change), equation


@cache
def encoded(entry: Entry) -> sp.Expr:
    """The output that is decoded to the truth: the decoding solved for it."""
    (solution,) = sp.solve(decoded(entry)[0] - NAMES[entry.truth], OUTPUT)
    return canonical(solution)


# Exact comparison


def addends(e: sp.Basic) -> int:
    """A bound of the number of addends that an expression has once it is multiplied out."""
    if isinstance(e, sp.Add):
        return sum(map(addends, e.args))
    if isinstance(e, sp.Mul):
        return int(sp.prod([sp.Integer(addends(a)) for a in e.args]))
    if isinstance(e, sp.Pow) and e.exp.is_Integer:
        return addends(e.base) ** min(abs(int(e.exp)), 20)
    return max([1, *map(addends, e.args)])


def canonical(e: sp.Expr) -> sp.Expr:
    """A form that is 0 if the expression is, by the algebra of quotients and the rules of logarithms."""
    if addends(e) > MOST_ADDENDS:
        raise Unread("an expression is too large to compare")
    e = e.replace(lambda x: isinstance(x, sp.exp), lambda x: sp.expand(sp.exp(sp.expand(sp.expand_log(x.exp)))))
    return sp.factor(sp.cancel(sp.together(sp.expand(sp.expand_log(e), log=False))))


Instance = dict[Any, sp.Rational]  # the value of every symbol, and of every cell (array, address)


def smallest(left: sp.Expr, right: sp.Expr, facts: Sequence[Fact]) -> tuple[Instance, sp.Expr, sp.Expr, int] | None:
    """The first instance, small numbers first, in which the facts hold and the sides differ; both sides; its rank."""
    both = sp.Tuple(left, right, *(fact.e for fact, _ in facts))
    cells = sorted(both.atoms(sp.Indexed), key=str)
    symbols = sorted((s for s in both.free_symbols - {x.base.label for x in cells} if s.is_Symbol), key=str)
    integers, reals = [s for s in symbols if s.is_integer], [s for s in symbols if not s.is_integer]
    tried = 0
    for rank, whole in ranked([choices(s) for s in integers], MOST_INTEGERS):
        at: Instance = dict(zip(integers, whole, strict=True))
        kept = [(fact.xreplace(at), truth) for fact, truth in facts]
        if any(isinstance(fact, bool) and fact != truth for fact, truth in kept):
            continue
        place = {x: (x.base.name, x.indices[0].xreplace(at)) for x in cells}
        drawn = [*reals, *sorted(set(place.values()), key=str)]
        for more, values in ranked([choices(key) for key in drawn], MOST_REALS):
            tried += 1
            if tried > MOST_TRIED:
                return None
            given = at | dict(zip(drawn, values, strict=True))
            change = {x: given[key] for x, key in place.items()} | given
            if all(fact.xreplace(change) == truth for fact, truth in facts):
                one, other = (number(side.xreplace(change)) for side in (left, right))
                if one is not None and other is not None and differ(one, other):
                    return given, one, other, rank + more
    return None


def ranked(among: Sequence[Sequence[sp.Rational]], most: int) -> Iterator[tuple[int, list[sp.Rational]]]:
    """Combinations of choices with the sum of their places, which comes out in order."""

    def of_sum(total: int, left: Sequence[Sequence[sp.Rational]]) -> Iterator[list[sp.Rational]]:
        if not left:
            yield from [[]] if total == 0 else []
            return
        for place, value in enumerate(left[0][: total + 1]):
            for rest in of_sum(total - place, left[1:]):
                yield [value, *rest]

    totals = range(sum(len(values) - 1 for values in among) + 1)
    return itertools.islice(((total, found) for total in totals for found in of_sum(total, among)), most)


def choices(key: Any) -> list[sp.Rational]:
    """The numbers that are tried, small ones first. Outputs lie between 0 and 1, where they are logistic."""
    if key in (INDEX, OBJECT_INDEX):
        return [ZERO]
    if key in SHARES:
        return [ONE, ONE / 2, ONE / 4] if key.is_positive else [ONE / 2, ONE / 4, ONE * 3 / 4, ONE, ZERO]
    if isinstance(key, tuple):
        return {"t": [ZERO, ONE], "biases": [ONE, ONE * 2, ONE * 3]}.get(key[0], [ONE / 2, ONE / 4, ONE * 3 / 4])
    numbers = [ONE, ONE * 2, ONE * 3] if key.is_integer else [ONE, ONE * 2, ONE / 2, ONE * 3]
    return numbers if key.is_positive else [ZERO, *numbers]


def number(e: sp.Expr) -> sp.Expr | None:
    """A number of which it can be decided whether it is zero, or None."""
    e = sp.expand(sp.expand_log(e, factor=True))
    return e if e.is_number and linear_form(e) is not None else None


def differ(one: sp.Expr, other: sp.Expr) -> bool:
    """Whether two numbers certainly differ."""
    form = linear_form(sp.expand(one - other))
    return form is not None and any(form.values())


def linear_form(e: sp.Expr) -> dict[sp.Expr, sp.Rational] | None:
    """The rational coefficients of 1 and of logarithms of primes, or of 1 and of powers of e; None for other numbers.

    Both are independent over the rationals (unique factorisation; Lindemann and Weierstrass), so only zero has none.
    """
    form: dict[sp.Expr, sp.Rational] = {}
    for addend in sp.Add.make_args(e):
        factor, rest = addend.as_coeff_Mul()
        form[rest] = form.get(rest, ZERO) + factor
    others = [rest for rest in form if rest != 1]
    logs = all(isinstance(rest, sp.log) and sp.isprime(rest.args[0]) for rest in others)
    powers = all(
        isinstance(rest, sp.exp | sp.core.numbers.Exp1) and rest.as_base_exp()[1].is_Rational for rest in others
    )
    return form if all(factor.is_Rational for factor in form.values()) and (logs or powers) else None


# Printing


class CPrinter(TextPrinter):
    """Expressions as C, with the excerpt's own names."""

    printmethod = "_as_c"  # no class prints itself

    def __init__(self, spelled: dict[Any, str]) -> None:
        super().__init__()
        self.spelled = spelled

    def cell(self, array: str, address: sp.Expr) -> str:
        m = multiple_at(address)
        place = f"{self.doprint(INDEX)} + {self.parenthesize(m, 50)}*{self.doprint(STRIDE)}" if m is not None else ""
        return f"{self.spelled.get(array, array)}[{place or self.doprint(address)}]"

    def _print_Add(self, e: sp.Add, order: object = None) -> str:
        """What is added before what is subtracted; in an address, a number last."""
        first, *rest = sorted(
            e.args, key=lambda a: (a.could_extract_minus_sign(), bool(e.is_integer and a.is_number), str(a))
        )
        text = self.doprint(first)
        for a in rest:
            text += f" - {self.parenthesize(-a, 45)}" if a.could_extract_minus_sign() else f" + {self.doprint(a)}"
        return text

    def _print_Symbol(self, e: sp.Symbol) -> str:
        return self.spelled.get(e, e.name)

    _print_Dummy = _print_Symbol

    def _print_Indexed(self, e: sp.Indexed) -> str:
        return self.cell(e.base.name, e.indices[0])

    def _print_Exp1(self, e: sp.Expr) -> str:
        return "exp(1)"


class LatexPrinter(LatexEquations):
    """The same as LaTeX."""

    def __init__(self, spelled: dict[Any, str]) -> None:
        super().__init__()
        self.spelled = spelled

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        name = self.spelled.get(e, e.name).replace("_", r"\_")
        return name if len(name) == 1 else rf"\mathrm{{{name}}}"

    _print_Dummy = _print_Symbol

    def cell(self, array: str, address: sp.Expr) -> str:
        name = self.spelled.get(array, array).replace("_", r"\_")
        return rf"\mathrm{{{name}}}_{{{self.doprint(address)}}}"

    def _print_Indexed(self, e: sp.Indexed) -> str:
        return self.cell(e.base.name, e.indices[0])

    def fact(self, fact: Condition, truth: bool) -> str:
        sign = (">" if truth else r"\le") if fact.positive else ("=" if truth else r"\ne")
        more = sp.Add(*(a for a in sp.Add.make_args(fact.e) if not a.could_extract_minus_sign()))
        return f"{self.doprint(more)} {sign} {self.doprint(more - fact.e)}"


# Judging


NEGATIVE = "delta is minus the derivative of the cost by the raw input"
POSITIVE = "delta is the derivative of the cost by the raw input"
BY_NAMES = (
    "the definitions leave targets and weights to the data: by the names, the target is 1 where best_iou is above "
    "truth_thresh, nothing counts where it is above ignore_thresh alone, and elsewhere the target is 0"
)
Shown = tuple[Instance, sp.Expr, sp.Expr, int]


@dataclass(frozen=True)
class Case:
    """What is left in an entry under some facts, the sensitivity there with its sign, and how they compare.

    `at` is the statement that left it (None: nothing touched it). Without `shown` and `reason` both sides are equal.
    """

    entry: Entry
    address: sp.Expr
    at: int | None
    left: sp.Expr
    right: sp.Expr
    facts: tuple[Fact, ...] = ()
    later: bool = False
    others: tuple[tuple[Condition | bool, bool], ...] = ()  # that it is none of the others that would do as well
    shown: Shown | None = None
    reason: str = ""


def judged(body: Body) -> list[Claim]:
    """The claims of a body, under the sign and the cost of x and y under which the fewest are refuted."""
    costs = (False, True) if body.names & OF_BOXES else (False,)
    found = {(sign, squared): Judge(body, sign, squared).claims() for sign in (-1, 1) for squared in costs}
    sign, squared = min(found, key=lambda reading: sum(claim.verdict == "refuted" for claim in found[reading]))
    fails = {o.at: f"; {o.reason}" for o in found.get((sign, not squared), []) if o.verdict == "refuted" and o.reason}
    return [
        replace(claim, reading=f"{claim.reading}{fails.get(claim.at, '')}") if claim.verdict == "conditional" else claim
        for claim in found[sign, squared]
    ]


def compared_with(threshold: sp.Symbol, path: Path) -> Iterator[tuple[Path, int]]:
    """Whether the overlap is above a threshold (1), is the threshold (0) or is below it (-1), on each path."""
    for middle, above in path.decided(above_zero(BEST_IOU - threshold)):
        if above:
            yield middle, 1
        else:
            yield from ((end, -int(below)) for end, below in middle.decided(above_zero(threshold - BEST_IOU)))


class Judge:
    """A body under one reading: the sign of delta, and whether the cost of x and y is half the squared error."""

    def __init__(self, body: Body, sign: int, squared: bool) -> None:
        self.body, self.sign, self.squared = body, sign, squared
        self.of_boxes, self.of_classes = bool(body.names & OF_BOXES), bool(body.names & OF_CLASSES)
        if self.of_boxes and self.of_classes:
            raise Unread("it names both a box and classes: index + k*stride could be either", body.head_at)
        self.marked = self.of_classes and any(map(asks_what_delta_is, body.items))
        self.executor = Executor(body, sign)
        facts = ((Condition(CLASSES - CLASS, True), True),) if self.of_classes else ()
        states = [Path(later, facts=facts) for later in ((False, True) if self.marked else (False,))]
        self.paths = [path for state in states for path in self.executor.run(state)]
        self.written = [w for path in self.paths for w in path.memory if w.array == "delta"]
        self.text, self.latex = CPrinter(self.executor.spelled), LatexPrinter(self.executor.spelled)

    def claims(self) -> list[Claim]:
        """One claim for every statement about delta, one for the targets, one for what a function leaves out."""
        cases = [self.compared(case) for case in self.cases()]
        found = self.decoding()
        for node in self.body.walk():
            if assigns_to_delta(node):
                at = self.body.offset(node.lvalue)
                own = [case for case in (*cases, *self.beyond(at)) if case.at == at]
                found.append(self.claim(Claim("", at, self.body.source(node.lvalue), "yolo_cost"), own))
        if missed := [case for case in cases if case.at is None and case.shown]:
            found.append(self.refuted(Claim("", self.body.head_at, self.body.head, "yolo_cost"), missed))
        return sorted(found, key=lambda claim: claim.at)

    # What is left, and what should be

    def entries(self) -> Iterator[tuple[Entry, sp.Expr]]:
        """The entries of the kinds that are written, with their addresses."""
        if any(w.address.has(OBJECT_INDEX) for w in self.written):
            yield OBJECT, OBJECT_INDEX
        if any(w.address.has(INDEX) for w in self.written):
            if self.of_boxes:
                yield from ((entry, INDEX + STRIDE * k) for k, entry in enumerate(BOX))
            elif self.of_classes:
                yield ONE_CLASS, INDEX + STRIDE * sp.Dummy("n", integer=True, nonnegative=True)

    def cases(self) -> Iterator[Case]:
        """Every entry on every path; statements that are no function claim only what they write."""
        for entry, address in self.entries():
            found = []
            for path in self.paths:
                for end, value, at in self.executor.stored(self.inside(entry, address, path), "delta", address):
                    if at is not None or self.body.head:
                        for last, options in self.intended(entry, address, end):
                            rights = [self.sensitivity(entry, address, *option) for option in options]
                            fitting = [r for r in rights if sp.expand(value.e - r) == 0]
                            right = (fitting or rights)[0]
                            others = () if fitting else tuple((is_zero(value.e - r), False) for r in rights[1:])
                            found.append((last.facts, (at, value.e, right, path.later, others)))
            for facts, (at, left, right, later, others) in merged(found):
                yield Case(entry, address, at, left, right, facts, later, others)

    def beyond(self, at: int) -> Iterator[Case]:
        """What a statement writes beyond the classes, where it should leave what was there."""
        granted = [CLASSES - N] if N in self.executor.read else []
        writes = ((path, w) for path in self.paths for w in path.memory if self.of_classes and w.at == at)
        for facts, (address, left) in merged(((*p.facts, *w.facts), (w.address, w.value.e)) for p, w in writes):
            n = multiple_at(address)
            for outside in (-n, n - CLASSES + 1) if n is not None and n.free_symbols else ():
                known = (*facts, *((Condition(e, True), True) for e in (*granted, outside)))
                if not unknowns(left, *(fact.e for fact, _ in known)) and (shown := smallest(left, ZERO, known)):
                    yield Case(ONE_CLASS, address, at, left, ZERO, known, shown=shown)

    def inside(self, entry: Entry, address: sp.Expr, path: Path) -> Path:
        """The path where what an excerpt takes for granted holds: a class exists, a box has its centre in its cell."""
        facts: list[sp.Expr] = []
        if entry is ONE_CLASS:
            facts = [CLASSES - multiple_at(address), *([CLASSES - N] if N in self.executor.read else [])]
        elif entry in BOX[:2]:
            facts = [self.target(entry), 1 - self.target(entry)]
        return replace(path, facts=(*path.facts, *((Condition(e, True), True) for e in facts)))

    def target(self, entry: Entry) -> sp.Expr:
        """The target of a box: what decodes to the truth, or tx, ty, ... where the excerpt does not work them out."""
        named = NAMES[entry.target]
        return named if named in self.executor.read else encoded(entry)

    def intended(
        self, entry: Entry, address: sp.Expr, path: Path
    ) -> Iterator[tuple[Path, list[tuple[sp.Expr, sp.Expr]]]]:
        """The target and the weight of an entry, on every path that they open; several where any of them will do."""
        if entry in BOX:
            given = path.names.get("scale", (None, False))[0]
            weight = given.e if given else SCALE if "scale" in self.body.names else self.factor
            yield path, [(self.target(entry), weight)]
        elif entry is ONE_CLASS:
            n = multiple_at(address)
            for end, same in path.decided(is_zero(n - CLASS)):
                yield end, [(ONE if same else EARLIER[n] if path.later else ZERO, ONE)]
        else:  # an overlap that is a threshold itself may count as above or as below
            for middle, truth in compared_with(TRUTH_THRESH, path):
                for end, ignore in compared_with(IGNORE_THRESH, middle):
                    below = [(ZERO, ZERO)] * (ignore >= 0) + [(ZERO, ONE)] * (ignore <= 0)
                    yield end, [(ONE, ONE)] * (truth >= 0) + below * (truth <= 0)

    @cached_property
    def factor(self) -> sp.Expr:
        """The weight of a box in an excerpt without `scale`: what its first statement multiplies by, or 1."""
        for w in self.written:
            entry = self.entry_at(w.address)
            if entry in BOX and not unknowns(w.value.e):
                e = canonical(w.value.e / self.sensitivity(entry, w.address, self.target(entry), ONE))
                return ONE if e.has(OUTPUTS) or e.is_nonpositive else e
        return ONE

    def entry_at(self, address: sp.Expr) -> Entry | None:
        m = multiple_at(address)
        if address == OBJECT_INDEX or m is None:
            return OBJECT if address == OBJECT_INDEX else None
        if self.of_boxes:
            return BOX[int(m)] if m in range(len(BOX)) else None
        return ONE_CLASS if self.of_classes else None

    def sensitivity(self, entry: Entry, address: sp.Expr, target: sp.Expr, weight: sp.Expr) -> sp.Expr:
        return self.sign * self.derivation(entry).at(OUTPUTS[address], target, weight)

    def derivation(self, entry: Entry) -> Sensitivity:
        return sensitivity(entry, self.squared and entry in BOX[:2])

    def compared(self, case: Case) -> Case:
        change = Path(facts=case.facts).equalities()
        try:
            if canonical((case.left - case.right).xreplace(change)) == 0:
                return case
        except Unread as error:
            return replace(case, reason=error.reason)
        if missing := unknowns(case.left.xreplace(change), *(fact.e for fact, _ in case.facts)):
            return replace(case, reason=missing[0])
        others = [(fact, truth) for fact, truth in case.others if not isinstance(fact, bool)]
        shown = smallest(case.left, case.right, [*case.facts, *others])
        return replace(case, shown=shown, reason="" if shown else "neither proved nor refuted")

    # Verdicts

    def claim(self, claim: Claim, cases: Sequence[Case]) -> Claim:
        """The verdict on a statement from what it leaves."""
        if failing := [case for case in cases if case.shown]:
            return self.refuted(claim, failing)
        if reasons := [case.reason for case in cases if case.reason]:
            return unread(self.body.text, Unread(reasons[0], claim.at), claim)
        addresses = [w.address for w in self.written if w.at == claim.at]
        if cases:
            words, steps = self.reading(cases), self.steps(cases)
            return replace(claim, verdict="conditional", scope="all sizes", reading=words, steps=steps)
        if strange := [a for a in addresses if self.entry_at(a) is None]:
            reason = f"nothing says whose sensitivity stands in {self.text.cell('delta', strange[0])}"
            return unread(self.body.text, Unread(reason, claim.at), claim)
        words = "what it assigns is replaced by a later statement" if addresses else "it is never reached"
        return replace(claim, verdict="conditional", scope="all sizes", reading=words)

    def refuted(self, claim: Claim, failing: Sequence[Case]) -> Claim:
        case = min(failing, key=lambda case: (len(case.others), case.shown[3] if case.shown else 0))
        address = next((w.address for w in self.written if w.at == case.at and self.entry_at(w.address)), case.address)
        reason = None
        if case.at is None:
            reason = f"{self.text.cell('delta', address)} is left as it was"
        elif self.derivation(case.entry) != sensitivity(case.entry):
            factor = signs_inside(canonical(self.derivation(case.entry).e / sensitivity(case.entry).e))
            factor = factor.xreplace({OUTPUT: OUTPUTS[case.address]})
            words = self.text.doprint(factor)
            reason = f"under half the squared error of the output the factor {words} would be missing"
        elif case.entry is OBJECT:
            reason = BY_NAMES
        elif case.right.has(EARLIER):
            reason = "where an earlier truth was assigned, the targets that it left have to stay"
        elif case.right == 0:
            reason = "it writes beyond the classes"
        return replace(
            claim,
            verdict="refuted",
            scope="a counterexample",
            reading=NEGATIVE if self.sign < 0 else POSITIVE,
            counterexample=self.counterexample(case),
            correction=self.correction(case, address),
            reason=reason,
            steps=self.derivation(case.entry).steps,
        )

    def counterexample(self, case: Case) -> Counterexample:
        """The instance as text. An element of delta is what it was before: what an earlier truth left, or else 0."""
        assert case.shown is not None
        instance, left, right, _ = case.shown
        if case.later:
            instance = {INDEX: ZERO, STRIDE: ONE, **instance}
            for m in range(int(instance[CLASSES])):
                address = instance[INDEX] + m * instance[STRIDE]
                output = instance.setdefault(("output", address), ONE / 2)
                target = instance.pop(("t", sp.Integer(m)), ONE)
                instance["delta", address] = self.sign * sensitivity(ONE_CLASS).at(output, target, ONE)
        sizes: dict[str, str] = {}
        values: dict[str, str] = {}
        for key, value in sorted(instance.items(), key=lambda item: str(item[0])):
            if isinstance(key, tuple):
                values[f"{self.executor.spelled.get(key[0], key[0])}[{key[1]}]"] = str(value)
            elif not (isinstance(key, sp.Dummy) and N in instance):  # a class that is not n itself is told by n
                (sizes if key.is_integer else values)[self.text.doprint(key)] = str(value)
        return Counterexample(sizes, values, self.text.doprint(left), self.text.doprint(right))

    def correction(self, case: Case, address: sp.Expr) -> str:
        """The sensitivity of the case's entry as a statement of C."""
        cell, text = self.text.cell("delta", address), self.text.doprint

        def derived(target: sp.Expr, weight: sp.Expr) -> str:
            return text(signs_inside(sp.factor(self.sensitivity(case.entry, address, target, weight))))

        if case.entry is OBJECT:
            best, truth, ignore = map(text, (BEST_IOU, TRUTH_THRESH, IGNORE_THRESH))
            counts = f"{best} > {ignore} ? {derived(ZERO, ZERO)} : {derived(ZERO, ONE)}"
            return f"{cell} = {best} > {truth} ? {derived(ONE, ONE)} : {counts};"
        if case.entry is ONE_CLASS:
            n = multiple_at(address)
            same = f"{text(n)} == {text(CLASS)}"
            if n == CLASS or case.right.has(EARLIER):
                return f"{f'if ({same}) ' if n != CLASS else ''}{cell} = {derived(ONE, ONE)};"
            return f"{cell} = {derived(sp.Symbol(f'({same})'), ONE)};"
        _, [(target, weight)] = next(self.intended(case.entry, address, self.paths[0]))
        named = self.paths[0].names.get(case.entry.target, (None, False))[0]
        right = named and canonical(named.e - target) == 0
        words = case.entry.target if right else text(sp.logcombine(target))
        return f"{cell} = {derived(sp.Symbol(f'({words})' if ' - ' in words else words), weight)};"

    def steps(self, cases: Sequence[Case]) -> tuple[tuple[str, str], ...]:
        """The derivation, then what the excerpt leaves in each case, as the sensitivity that it is."""
        left = []
        for case in cases:
            change = Path(facts=case.facts).equalities()
            equal = [(fact, truth) for fact, truth in case.facts if truth and not fact.positive]
            others = [(fact.xreplace(change), truth) for fact, truth in case.facts if (fact, truth) not in equal]
            words = [self.latex.fact(fact, truth) for fact, truth in (*equal, *others) if not isinstance(fact, bool)]
            right = rf"{'-' if self.sign < 0 else ''}\left({self.latex.doprint(self.sign * case.right)}\right)"
            value = f"{self.latex.cell('delta', case.address)} = {self.latex.doprint(case.left)} = {right}"
            where = rf" \qquad {', '.join(dict.fromkeys(words))}" if words else ""
            left.append(("What the excerpt leaves", value + where))
        return (*self.derivation(cases[0].entry).steps, *left)

    def reading(self, cases: Sequence[Case]) -> str:
        """All that has to be so for a statement to be right."""
        entry, later = cases[0].entry, any(case.later for case in cases)
        raw, squared = entry in BOX[2:], entry in BOX[2:] or self.derivation(entry) != sensitivity(entry)
        cell = self.text.cell("output", cases[0].address)
        cost = f"its cost is {'half the squared error' if squared else 'the logistic cross-entropy'}"
        said = [NEGATIVE if self.sign < 0 else POSITIVE]
        said.append(f"{cell} is {'the raw input itself' if raw else 'a logistic output'}")
        if entry in BOX:
            target = entry.target if NAMES[entry.target] in self.executor.read else f"what decodes to {entry.truth}"
            said.append(f"{cost} from {target}")
            if self.factor != 1 and "scale" not in self.body.names:
                said.append(f"its weight is {self.text.doprint(self.factor)}")
        elif entry is OBJECT:
            said += [cost, BY_NAMES]
        else:
            others = "what earlier truths left elsewhere" if later else "0 elsewhere"
            said.append(f"{cost}, with target 1 where n = {self.text.doprint(CLASS)} and {others}")
        if later:
            said.append("a delta that is not 0 marks an earlier truth, since outputs lie strictly between 0 and 1")
        elif self.executor.reads_before and not self.marked:
            said.append("delta is 0 before")
        return "; ".join(said)

    # The decoding

    def decoding(self) -> list[Claim]:
        """Targets that the excerpt works out claim to be the outputs whose decoded box is the truth."""
        entries = {entry.target: entry for entry in BOX}
        nodes = [node for node in self.body.walk() if assigned_name(node) in entries]
        if not nodes:
            return []
        source = "\n".join(self.body.source(node, whole=True) for node in nodes)
        claim = Claim("proved", min(map(self.body.offset, nodes)), source, "yolo", "all sizes")
        steps: dict[tuple[str, str], None] = {}
        for target in dict.fromkeys(map(assigned_name, nodes)):
            right, equation = decoded(entries[target])
            truth = NAMES[entries[target].truth]
            known = [(path, value) for path in self.paths if (value := path.names.get(target, (None, False))[0])]
            if not known:
                return [unread(self.body.text, Unread(f"{target} is not there at the end", claim.at), claim)]
            for path, value in known:
                there = right.xreplace({OUTPUT: value.e})
                put_in = f"{self.latex.doprint(there)} = {self.latex.doprint(canonical(there))}"
                steps |= {("Forward equations", equation_latex(equation)): None, ("The target put in", put_in): None}
                facts = self.inside(entries[target], ZERO, path).facts
                case = self.compared(Case(entries[target], ZERO, None, there, truth, facts))
                if case.reason:
                    return [unread(self.body.text, Unread(case.reason, claim.at), claim)]
                if case.shown:
                    refuted = replace(claim, verdict="refuted", scope="a counterexample", steps=tuple(steps))
                    return [
                        replace(
                            refuted,
                            counterexample=self.counterexample(case),
                            correction=f"{target} = {self.text.doprint(sp.logcombine(encoded(entries[target])))};",
                            reason=f"the box that {target} decodes to is not {entries[target].truth}",
                        )
                    ]
        return [replace(claim, steps=tuple(steps))]
