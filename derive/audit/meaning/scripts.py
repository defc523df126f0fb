"""What the scripts of a symbol say: its layer, its sample, whether it is a parameter's new value."""

from collections.abc import Iterator
from dataclasses import fields, replace

import sympy as sp

from derive.audit.meaning.network import last, layer
from derive.audit.meaning.values import Unbindable
from derive.audit.meaning.vocabulary import COSTS, LAYERED, TARGETS
from derive.audit.syntax import formula as f

PARAMETERS = frozenset({"w", "b"})

DEEPEST = 20  # the highest number of a layer, and the most that is added to l or taken from L


def nodes(node: object) -> Iterator[f.Node]:
    """A node and everything in it."""
    if isinstance(node, f.Node):
        yield node
        for part in fields(node):
            yield from nodes(getattr(node, part.name))
    elif isinstance(node, tuple):
        for part in node:
            yield from nodes(part)


def addends(node: f.Node) -> Iterator[f.Node]:
    if isinstance(node, f.Addition):
        for _, addend in node.terms:
            yield from addends(addend)
    elif isinstance(node, f.Group):
        yield from addends(node.body)
    else:
        yield node


def parameter(node: f.Node) -> str | None:
    """`w` or `b`, if that is what the node is, whatever its scripts."""
    base = node.base if isinstance(node, f.Scripted) else node
    name = LAYERED.get(base.text) if isinstance(base, f.Name) else None
    return name if name in PARAMETERS else None


def is_new(node: f.Node) -> bool:
    if not isinstance(node, f.Scripted) or not parameter(node):
        return False
    return node.primes == 1 or f.Word("new") in node.sup


def labelled_new(node: f.Node) -> f.Node:
    if isinstance(node, f.Scripted):
        return replace(node, sup=(*node.sup, f.Word("new")))
    return f.Scripted(node, sup=(f.Word("new"),), at=node.at)


def layer_expression(node: f.Node) -> sp.Expr:
    if isinstance(node, f.Group):
        return layer_expression(node.body)
    if isinstance(node, f.Name) and node.text in ("l", "ell", "L"):
        return last if node.text == "L" else layer
    if isinstance(node, f.Number) and node.value.denominator == 1:
        if node.value > DEEPEST:
            raise Unbindable(f"a layer beyond the {DEEPEST}th", node.at)
        return sp.Integer(int(node.value))
    if isinstance(node, f.Addition):
        at = sp.Add(*(sign * layer_expression(addend) for sign, addend in node.terms))
        shift = at - sum(at.free_symbols)
        if len(at.free_symbols) > 1 or not shift.is_Integer or abs(shift) > DEEPEST:
            raise Unbindable(f"a layer is l or L, plus or minus at most {DEEPEST}, or a number", node.at)
        return at
    raise Unbindable("a superscript that is neither a layer (l, L) nor a sample", node.at)


def base_name(node: f.Scripted) -> str:
    """The letter that the scripts hang on, or nothing."""
    return node.base.text if isinstance(node.base, f.Name) else ""


def plain(item: f.Node) -> f.Node:
    return plain(item.body) if isinstance(item, f.Group) else item


def sample_letter(node: f.Scripted) -> str:
    """The sample's letter in `a^{x,l}` or in `C_x`, if there is one."""
    if not isinstance(node.base, f.Name):
        return ""
    if node.base.text in COSTS and len(node.sub) == 1 and isinstance(node.sub[0], f.Name):
        return node.sub[0].text
    letters = [i.text for i in map(plain, node.sup) if isinstance(i, f.Name) and i.text not in ("l", "ell", "L", "T")]
    if node.base.text in TARGETS and len(letters) == 1:
        return letters[0]
    if (
        node.base.text in LAYERED
        and LAYERED[node.base.text] not in PARAMETERS
        and len(node.sup) == 2
        and len(letters) == 1
    ):
        return letters[0]
    return ""


def layer_items(node: f.Scripted) -> list[f.Node]:
    """The superscripts that say which layer: neither the sample, nor a label, nor a transpose."""
    sample = sample_letter(node)
    found = []
    for item in node.sup:
        inner = plain(item)
        if isinstance(inner, f.Word) or inner == f.Name("T") or (sample and inner == f.Name(sample)):
            continue
        found.append(item)
    return found
