"""Statements of C, executed symbolically: both branches of every condition, and a loop for every value of its counter."""

from collections.abc import Iterable
from dataclasses import replace

import sympy as sp
from pycparser import c_ast as ast

from derive.audit.excerpt.choices import Choice, cases, where
from derive.audit.excerpt.expressions import COMPARISONS, Evaluator, Value, Write
from derive.audit.excerpt.facts import ONE, ZERO, Facts, unknown, unknowns
from derive.audit.excerpt.reading import changed_in, dotted, steps_by_one, walk
from derive.audit.excerpt.vocabulary import ARRAYS, NAMES

MOST_STEPS, MOST_TURNS = 3_000, 64
Branch = tuple[dict[str, Value], list[Write], sp.Expr]  # the variables after it, what it wrote, whether it goes on


class Executor(Evaluator):
    """Runs a body."""

    def run(self) -> None:
        self.steps = 0
        self.returned: list[tuple[sp.Expr, dict[str, Value]]] = []  # the variables wherever it ends, with the guard
        for p in self.body.parameters:
            if isinstance(p, ast.Decl) and isinstance(p.type, ast.TypeDecl) and (whole := self.is_whole(p)) is not None:
                symbol = NAMES.get(p.name) or unknown(f"`{p.name}` is not in the vocabulary")
                if symbol.is_integer and not whole:
                    raise self.refuse(f"`{p.name}` has to be an int", p)
                self.names[p.name] = Value(symbol, whole)
        self.block(self.body.items)
        self.ends()

    def ends(self) -> None:
        self.returned.append((where(self.context, self.alive), dict(self.names)))

    def block(self, items: Iterable[ast.Node]) -> None:
        for item in items:
            if self.alive != 0:
                self.statement(item)

    def statement(self, node: ast.Node) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise self.refuse("too many steps", node)
        if isinstance(node, ast.Compound):
            outside, items = self.names, node.block_items or ()
            self.names = dict(outside)
            self.block(items)
            self.leave({item.name for item in items if isinstance(item, ast.Decl)}, outside)
        elif isinstance(node, ast.Decl):
            self.declaration(node)
        elif isinstance(node, ast.Assignment):
            self.assignment(node)
        elif steps_by_one(node):
            one = ast.Constant("int", "1", node.coord)
            self.assignment(ast.Assignment(f"{node.op[-1]}=", node.expr, one, node.coord))
        elif isinstance(node, ast.If):
            self.choice(node)
        elif isinstance(node, ast.For):
            outside = dict(self.names)
            self.loop(node)
            self.leave({d.name for d in declared(node)}, outside)
        elif isinstance(node, ast.Return | ast.Break | ast.Continue):
            if getattr(node, "expr", None):
                self.value(node.expr)
            if isinstance(node, ast.Return):
                self.ends()
            self.alive = ZERO
        elif not isinstance(node, ast.EmptyStatement):
            self.value(node)

    def leave(self, own: set[str], outside: dict[str, Value]) -> None:
        """The end of a block: the variables that it declared are gone, and those that they hid are back."""
        hidden = {k: v for k, v in outside.items() if k in own}
        self.names = {k: v for k, v in self.names.items() if k not in own} | hidden

    def declaration(self, node: ast.Decl) -> None:
        if not isinstance(node.type, ast.TypeDecl) or node.name in ARRAYS:
            raise self.refuse(f"the declaration of `{node.name}` is not read", node)
        whole = self.is_whole(node)
        nothing = Value(unknown(f"`{node.name}` is read before it has a value"), bool(whole))
        self.names[node.name] = self.converted(self.value(node.init) if node.init else nothing, whole, node)

    def assignment(self, node: ast.Assignment) -> None:
        target, name = node.lvalue, dotted(node.lvalue)
        right = node.rvalue if node.op == "=" else ast.BinaryOp(node.op[:-1], target, node.rvalue, node.coord)
        value = self.value(right)
        if isinstance(target, ast.ArrayRef):
            guard = where(self.context, self.alive)
            self.memory.append(Write(*self.place(target), value.e, self.body.offset(target), guard))
        elif name in self.names or name in NAMES or (name[:1] == "*" and name[1:] not in ARRAYS):
            self.names[name] = self.converted(value, self.held(name).whole, node)
        else:
            raise self.refuse(f"`{name or '...'}` is neither declared nor in the vocabulary", node)

    def choice(self, node: ast.If) -> None:
        condition = self.value(node.cond)
        yes = self.branch(node.iftrue, where(condition.e, ONE))
        no = self.branch(node.iffalse, where(condition.e, ZERO, ONE))
        for k in yes[0] | no[0]:
            a, b = (names.get(k) or self.held(k) for names, *_ in (yes, no))
            self.names[k] = self.sized(where(condition.e, a.e, b.e), a.whole, node)
        self.memory += [*yes[1], *no[1]]
        self.alive = where(self.alive, where(condition.e, yes[2], no[2]))

    def branch(self, node: ast.Node | None, condition: sp.Expr) -> Branch:
        """What a statement would do under a condition, to which it is not known whether it holds."""
        names, memory, alive, context = self.names, self.memory, self.alive, self.context
        self.names, self.memory, self.alive = dict(names), list(memory), ONE
        self.context = where(where(context, alive), condition)
        if node and condition != 0:
            self.statement(node)
        found = self.names, self.memory[len(memory) :], self.alive
        self.names, self.memory, self.alive, self.context = names, memory, alive, context
        return found

    # Loops

    def loop(self, node: ast.For) -> None:
        """A loop of literal bounds turn by turn; any other as one statement for every value of its counter."""
        name, low, high, step = self.header(node)
        if any(isinstance(n, ast.Return | ast.Break) for n in walk(node.stmt)):
            raise self.refuse("the loop is left before its end", node)
        if low.is_Integer and high.is_Integer and high - low < MOST_TURNS:
            for turn in range(int(low), int(high) + 1)[::step]:
                self.names[name] = Value(sp.Integer(turn), True)
                self.names, written, goes_on = self.branch(node.stmt, ONE)
                self.memory += written
                if goes_on != 1:
                    self.forget(node, "is read after a turn that may have been cut short")
        else:
            self.every_turn(node, name, low, high)
        self.names[name] = Value(unknown(f"`{name}` is read after its loop"), True)

    def forget(self, node: ast.For, why: str) -> None:
        """The variables that a loop changes get values that are not known."""
        self.names |= {k: Value(unknown(f"`{k}` {why}"), self.held(k).whole) for k in changed_in(node.stmt)}

    def header(self, node: ast.For) -> tuple[str, sp.Expr, sp.Expr, int]:
        """The counter of a loop, its least and greatest value, and its step, which is 1 or -1."""
        test, counter = node.cond, sp.Dummy(integer=True)
        self.block(declared(node) or [node.init or ast.EmptyStatement()])
        counted = changed_in(node.next) if node.next else set()
        if len(counted) != 1:
            raise self.refuse("a loop has to count one int up or down by one", node)
        (name,) = counted
        if not isinstance(test, ast.BinaryOp) or test.op not in COMPARISONS:
            raise self.refuse("a loop has to end at a bound of its counter", node)
        if {dotted(n) for part in (test, node.next) for n in walk(part)} & changed_in(node.stmt):
            raise self.refuse("the loop changes its own counter or bound", node)
        first = self.integer(ast.ID(name, node.coord))
        self.names[name] = Value(counter, True)
        gap = self.integer(ast.BinaryOp("-", test.left, test.right, node.coord))
        self.statement(node.next)
        step, slope = self.names[name].e - counter, gap.coeff(counter)
        last = sp.expand(counter - slope * gap)
        inside = {sign * slope for sign in COMPARISONS[test.op]}  # the signs of counter - last in the loop
        if step not in (1, -1):
            raise self.refuse("a loop has to count one int up or down by one", node)
        if slope not in (1, -1) or last.has(counter) or -step not in inside or step in inside:
            raise self.refuse("a loop has to end at a bound of its counter", node)
        last = last if 0 in inside else last - step
        return (name, first, last, 1) if step == 1 else (name, last, first, -1)

    def integer(self, node: ast.Node) -> sp.Expr:
        """The value of an expression that is a known integer."""
        found = self.value(node)
        if not found.whole or unknowns(found.e):
            raise self.refuse("the bound of a loop is not read", node)
        return sp.expand(found.e)

    def every_turn(self, node: ast.For, name: str, low: sp.Expr, high: sp.Expr) -> None:
        """The turn of a symbolic counter. What one turn hands to the next is unknown; none may touch another's place."""
        counter = sp.Dummy(name, integer=True)
        self.spelled[counter] = name
        self.forget(node, "is handed from turn to turn")
        self.names[name] = Value(counter, True)
        outer, self.turn, self.crossed = (self.turn, self.crossed), len(self.memory), []
        above, below = Choice(counter - low, {0, 1}, ONE, ZERO), Choice(counter - high - 1, {-1}, ONE, ZERO)
        _, written, _ = self.branch(node.stmt, where(above, below))
        place: dict[sp.IndexedBase, set[sp.Expr]] = {}
        for w in written:
            place.setdefault(w.array, set()).update(places(w.address, w.guard, counter))
        for w in written:
            (address, *others) = place[w.array] or (w.address,)
            slope = address.coeff(counter)
            alone = slope.is_nonzero and not sp.expand(address - slope * counter).has(counter)
            if others or w.counter is not None or not alone:
                raise self.refuse("turns of the loop may write to the same place", node)
            self.memory.append(replace(w, address=address, counter=counter))
        for array, address, guard in self.crossed:
            if array in place and places(address, guard, counter) - place[array]:
                raise self.refuse("a turn of the loop may read what another one wrote", node)
        self.turn, self.crossed = outer
        self.forget(node, "is read after the loop")


def places(address: sp.Expr, guard: sp.Expr, counter: sp.Symbol) -> set[sp.Expr]:
    """What an address is in terms of the counter in all cases in which the guard is not 0."""
    found = set()
    for facts, holds in cases(guard, Facts()):
        equal = facts.equalities.items()
        same = {s: counter for s, e in equal if e == counter}
        same |= {e: counter for s, e in equal if s == counter and e.is_Symbol}
        if holds != 0:
            found.add(address.xreplace(same))
    return found


def declared(node: ast.For) -> list[ast.Decl]:
    """What the head of a loop declares."""
    return list(node.init.decls) if isinstance(node.init, ast.DeclList) else []
