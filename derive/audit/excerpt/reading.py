"""An excerpt's text as functions or bare statements, parsed by pycparser, each node with its place in the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from pycparser import c_ast as ast
from pycparser.c_parser import CParser, ParseError
from sympy.printing.c import reserved_words, reserved_words_c99

from derive.audit.excerpt.vocabulary import ARRAYS, DELTA

LONGEST = 20_000  # characters of an excerpt


class Unread(Exception):
    """What is not understood, and at which offset of the excerpt."""

    def __init__(self, reason: str, at: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at


@dataclass(frozen=True)
class Body:
    """A function, whose head is at `head_at`, or bare statements. A function claims every entry of its kind."""

    text: str
    items: tuple[ast.Node, ...]
    parameters: tuple[ast.Node, ...] = ()
    head: str = ""
    head_at: int = 0

    def offset(self, node: ast.Node) -> int:
        """Where a node stands in the excerpt."""
        return offset(self.text, node.coord.line, node.coord.column) if node.coord else self.head_at

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
        prelude = "".join(f"typedef int {name};" for name in sorted(types))
        for before, after in (("", ""), ("void excerpt(void) {", ";\n}")):
            try:
                whole = CParser().parse(f"{prelude}{before}\n#line 1\n{blank}{after}")
            except ParseError as error:
                failures.append(failure(str(error), text))
                continue
            except (AssertionError, AttributeError, LookupError, TypeError, ValueError):  # its own, on broken text
                failures.append(Unread("the parser of C fails on it"))
                continue
            functions = [item for item in whole.ext if not isinstance(item, ast.Typedef)]
            if functions and all(isinstance(f, ast.FuncDef) and not f.param_decls for f in functions):
                bodies = [Body(text, tuple(f.body.block_items or ())) for f in functions]
                return bodies if before else list(map(with_head, bodies, functions))
    raise max(failures, key=lambda e: e.at, default=Unread("these are neither functions nor statements"))


def without_comments(text: str) -> str:
    """The text with its comments blanked out, so that places stay what they are."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def types_in(blank: str, between: str) -> set[str]:
    """Names that stand where a declaration has its type: before another name."""
    name, before = r"[A-Za-z_]\w*", r"(?:^|[;{}(,])\s*(?:(?:const|static|inline)\s+)*"
    found = re.findall(rf"{before}({name}){between}(?={name}\s*[=;,()])", blank)
    return set(found) - {*reserved_words, *reserved_words_c99}


def failure(message: str, text: str) -> Unread:
    place = re.match(r"\D*:(\d+):(\d+): (.*)", message)
    at = offset(text, int(place[1]), int(place[2])) if place else len(text)
    return Unread(f"this is not C: {place[3] if place else message.lstrip(': ')}", at)


def offset(text: str, line: int, column: int) -> int:
    above = sum(len(each) + 1 for each in text.split("\n")[: line - 1])
    return min(above + column - 1, len(text))


def with_head(body: Body, function: ast.FuncDef) -> Body:
    """A body with what stands before its brace."""
    blank, name, arguments = without_comments(body.text), body.offset(function.decl), function.decl.type.args
    before = max(blank.rfind(mark, 0, name) for mark in ";}") + 1
    head = body.text[before : blank.find("{", name)]
    head_at = before + len(head) - len(head.lstrip())
    return replace(body, parameters=tuple(arguments.params) if arguments else (), head=head.strip(), head_at=head_at)


# What nodes say


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and all inside it, but for the names of fields."""
    yield node
    for role, child in node.children():
        if role != "field":
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


def assigns_to_delta(node: ast.Node) -> bool:
    left = getattr(node, "lvalue", None)
    return isinstance(left, ast.ArrayRef) and ARRAYS.get(dotted(left.name)) == DELTA


def steps_by_one(node: ast.Node) -> bool:
    return isinstance(node, ast.UnaryOp) and node.op.strip("p") in ("++", "--")


def given(node: ast.Node) -> str:
    """The name that a declaration or an assignment gives a value, or the empty string."""
    if isinstance(node, ast.Decl):
        return str(node.name) if node.init else ""
    return dotted(node.lvalue) if isinstance(node, ast.Assignment) else dotted(node.expr) if steps_by_one(node) else ""


def changed_in(node: ast.Node) -> set[str]:
    """The names that a statement changes, without those that it declares."""
    inside = list(walk(node))
    return set(map(given, inside)) - {n.name for n in inside if isinstance(n, ast.Decl)} - {""}
