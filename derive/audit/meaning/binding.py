r"""Bind a formula's symbols to what they are in the section's system: a network's layer, an update rule, an output."""

from dataclasses import dataclass

import sympy as sp

from derive.audit.meaning.layers import Layers
from derive.audit.meaning.network import Definitions, Network, network, samples
from derive.audit.meaning.outputs import NOTATION, Outputs, one_output
from derive.audit.meaning.rules import VELOCITIES, Rules, written
from derive.audit.meaning.scripts import addends, is_new, labelled_new, parameter
from derive.audit.meaning.values import Bound, Unbindable
from derive.audit.meaning.vocabulary import COSTS, ERRORS, MEAN_COSTS, Reading
from derive.audit.syntax import formula as f

RULES = frozenset({"momentum", "gradient_descent", "weight_decay"})
OUTPUT = frozenset({"logistic_cross_entropy", "yolo"})


@dataclass(frozen=True)
class World:
    """What a section speaks of: its system, and the target in the case that is given (`t = 1`)."""

    system: str = "dense"
    target: int | None = None


def bind(relation: f.Relation, reading: Reading, world: World) -> tuple[Bound, Definitions]:
    """Both sides in components, and the definitions that they are held to.

    Raises Unbindable, Misshapen, or Ask where the notation leaves a choice.
    """
    if relation.sign == "other":
        raise Unbindable("the relation is neither an equation nor an update", relation.at)
    if world.system in OUTPUT:
        return of_output(relation, reading, world)
    if world.system in RULES:
        return of_rule(relation, reading)
    return of_layers(relation, reading, world.system)


def of_layers(relation: f.Relation, reading: Reading, system: str) -> tuple[Bound, Definitions]:
    left, sign = relation.left, relation.sign
    if sign == "reversed update":
        sign = "update"
    updated = parameter(left)
    if sign == "equation" and updated and not is_new(left) and left in set(addends(relation.right)):
        reading.choose("assignment", ("assign",))
        sign = "update"
    if sign == "update" and not updated:
        raise Unbindable("what is updated is not a parameter", left.at)
    net = network(system, summed=reading.agrees("batch") == "sum")
    assert isinstance(net, Network)
    binder = Layers(reading, relation, net, updating=updated if sign == "update" or is_new(left) else None)
    left, right = binder.relation.left, binder.relation.right
    if sign == "update" and not is_new(left):
        left = labelled_new(left)
    one, other = binder.spread(binder.value(left), binder.value(right))
    binder.same_kind(one, other, "set equal", relation.at)
    other = binder.aligned(one, other)
    free = {axis[0]: axis[1] for axis in one.axes} | binder.free_letters()
    free |= binder.left_over(sp.Tuple(one.body, other.body), free)
    sides = (relation.left, relation.right)
    defines = any(isinstance(s, f.Name | f.Word) and s.text in COSTS | MEAN_COSTS | ERRORS for s in sides)
    turned = reading.agrees("vectors") == "rows" and not net.kind.planes
    bound = Bound(
        one.body, other.body, free, binder.mismatches, defines, binder.batch, binder.fixed, turned=turned
    )  # fmt: skip
    return bound, net


def of_rule(relation: f.Relation, reading: Reading) -> tuple[Bound, Definitions]:
    if relation.sign == "equation" and relation.left in set(addends(relation.right)):
        reading.choose("assignment", ("assign",))
    binder = Rules(reading, relation)
    one, other = binder.value(relation.left), binder.value(relation.right)
    if one.axes or other.axes or binder.uses:
        raise Unbindable("an update rule is read without indices of components", relation.at)
    bound = Bound(one.body, other.body, {}, written=written(binder))
    if binder.with_velocity and binder.defined not in VELOCITIES:
        bound.derived["v_t"] = binder.velocity_at(True)
    if binder.with_decay:
        bound.derived[r"\lambda"] = binder.canonical_decay()
    return bound, binder.rule()


def of_output(relation: f.Relation, reading: Reading, world: World) -> tuple[Bound, Definitions]:
    binder = Outputs(reading, relation)
    one, other = binder.value(relation.left), binder.value(relation.right)
    if one.axes or other.axes or binder.uses:
        raise Unbindable("one output is read without indices", relation.at)
    if one.body.has(samples) or other.body.has(samples):
        raise Unbindable("one output has no mini-batch", relation.at)
    return Bound(one.body, other.body, {}, written=NOTATION), one_output(world.target)
