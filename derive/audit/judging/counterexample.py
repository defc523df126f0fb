"""The smallest instance at which two sides differ, in exact numbers, and how it is told."""

import itertools
from dataclasses import dataclass
from functools import cache

import sympy as sp

from derive.audit.judging.exact import Inexact, Number, Undefined, differ, shown
from derive.audit.judging.instance import Instance, Polynomial
from derive.audit.judging.sizes import instances, is_layered
from derive.audit.meaning.network import Definitions, last, layer, samples, stem, width, window
from derive.audit.meaning.values import Bound, nonnegative, size_name

MOST_INSTANCES = 300
MOST_PLANES = 60  # instances of networks of planes, which take longer
MOST_IN_ALL = 600_000  # steps of a whole search


@dataclass(frozen=True)
class Counterexample:
    """Sizes and values by name, as text; the component at which the sides differ; both sides' values there."""

    sizes: dict[str, str]
    values: dict[str, str]
    left: str
    right: str

    def as_dict(self) -> dict[str, object]:
        return {"sizes": self.sizes, "values": self.values, "left": self.left, "right": self.right}


def search(bound: Bound, network: Definitions, most: int | None = None) -> tuple[Counterexample | None, int]:
    """The smallest instance found at which the sides differ, or None; and how many instances were compared."""
    compared = 0
    named = explicit(bound)
    most, spent = most or (MOST_PLANES if network.kind.planes else MOST_INSTANCES), 0
    for instance in instances(bound, network, most):
        try:
            sizes = [instance.whole(size) for size in bound.free.values()]
        except Undefined:
            continue
        told = False
        for place in itertools.product(*(range(size) for size in sizes)):
            at = dict(zip(bound.free, place, strict=True))
            try:
                if not all(instance.exists(x, at) for x in named):
                    continue
                one, other = instance.evaluate(bound.left, at), instance.evaluate(bound.right, at)
            except Undefined:
                continue
            except Inexact:
                break
            told = True
            if differ(one, other):
                return describe(instance, bound, at, one, other), compared + 1
        compared += told
        spent += next(instance.steps)
        if spent > MOST_IN_ALL:
            break
    return None, compared


def explicit(bound: Bound) -> list[sp.Indexed]:
    """The components that a formula names itself, not by way of a sum: they must exist."""
    known = {*bound.free, layer, last, samples, window}
    both = sp.Tuple(bound.left, bound.right)
    guarded = {x for k in both.atoms(nonnegative) for x in k.free_symbols}
    return [
        x
        for x in sorted(both.atoms(sp.Indexed), key=str)
        if x.base.name.removeprefix("delta_") in ("a", "z", "w", "b")
        and set().union(*(i.free_symbols for i in x.indices)) <= known
        and not set().union(*(i.free_symbols for i in x.indices[2:])) & guarded
    ]


def describe(instance: Instance, bound: Bound, at: dict[sp.Symbol, int], one: Number, other: Number) -> Counterexample:
    """The instance as text: every size, and every value that either side reads."""
    instance.known, instance.touched, instance.steps = {}, set(), itertools.count()
    instance.evaluate(bound.left, at)
    instance.known, instance.steps = {}, itertools.count()
    instance.evaluate(bound.right, at)
    read = instance.touched
    both = sp.Tuple(bound.left, bound.right, *at)
    names = {x.base.name for x in both.atoms(sp.Indexed)}
    layered = any(is_layered(x, instance.network) or x.base.name in ("y", "C", "E") for x in both.atoms(sp.Indexed))
    sizes: dict[str, str] = {}
    if both.has(width) or any(name.startswith("any ") for name in names):
        sizes["n"] = str(instance.extent("units", 1))
    elif names and instance.network.features:
        sizes["L"] = str(instance.depth)
        if instance.layer is not None:
            sizes["l"] = str(instance.layer)
        for (name, i), extent in sorted(instance.extents.items()):
            sizes[size_name(sp.Function(name)(sp.Integer(i))).replace("{", "").replace("}", "")] = str(extent)
        if instance.network.kind.planes and instance.network.name != "convolution":
            sizes["s"] = str(instance.window)
        sizes["m"] = str(instance.samples)
    values = {k.name.removesuffix(" of the weight"): str(i + 1) for k, i in at.items() if k.name != "sample"}
    of_sample = [i for k, i in at.items() if k.name == "sample"]
    if of_sample and instance.samples > 1:
        values["x"] = str(of_sample[0] + 1)
    for key in sorted(read, key=str):
        values[label(key, instance, bound)] = str(instance.values[key])
    if bound.derived:
        values |= {name: shown(instance.evaluate(e, at)) for name, e in bound.derived.items()}
        values = {name: value for name, value in values.items() if not name.startswith(r"\frac")}  # no value of its own
        if any(e.has(samples) for e in (bound.left, bound.right, *bound.derived.values())):
            sizes["m"] = str(instance.samples)
    if layered and instance.network.features and "n" not in sizes:
        values["sigma(z)"] = polynomial_text(instance.activation)
    return Counterexample(sizes, values, shown(one), shown(other))


GREEK = ("gamma", "beta", "delta", "mu", "epsilon", "eta", "lambda", "alpha")


def label(key: tuple, instance: Instance, bound: Bound) -> str:
    r"""`a_2^{1}`, `w_{12}^{2}`, `y_1`, and with several samples `a_2^{x,1}`; of planes `a_{2,1}^{1}`."""
    name, *at = key
    batch = instance.samples
    for x, written in bound.written.items():
        if name == (x.base.name if isinstance(x, sp.Indexed) else str(x)):
            return written
    if not at:
        return rf"\{name}" if name in GREEK else name
    if name.startswith("any "):
        return f"{name[4:]}_{at[0] + 1}"
    if name == "C":
        return f"C_{at[0] + 1}"
    if name == "y" and "y" not in instance.network.features:
        return f"y_{at[1] + 1}" + (f"^{{{at[0] + 1}}}" if batch > 1 else "")
    count = len(instance.network.features[stem(name)])
    inside = [i + 1 for i in at[len(at) - count :]]
    if bound.turned and name == "w":
        inside = inside[::-1]
    if instance.network.kind.planes and len(inside) > 1 and one_channel(instance):
        inside = inside[-2:]
    apart = "," if instance.network.kind.planes or max(inside) > 9 else ""
    below = f"{{{apart.join(map(str, inside))}}}" if len(inside) > 1 else str(inside[0])
    where = f"{at[1] + 1},{at[0]}" if batch > 1 and len(at) > count + 1 else str(at[0])
    if name == "delta_a":
        return rf"\partial C/\partial a_{below}^{{{where}}}"
    letter = r"\delta" if name == "delta_z" else rf"\{name}" if name in GREEK else name
    return f"{letter}_{below}^{{{where}}}"


def one_channel(instance: Instance) -> bool:
    return all(n == 1 for (name, _), n in instance.extents.items() if name == "channels")


@cache
def polynomial_text(coefficients: Polynomial) -> str:
    z = sp.Symbol("z")
    return str(sp.Poly(list(reversed(coefficients)), z).as_expr()).replace("**", "^")
