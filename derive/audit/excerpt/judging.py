"""From an excerpt to its claims: the reading under which the fewest are refuted, each verdict and what it rests on."""

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from derive.audit.excerpt import Claim
from derive.audit.excerpt import vocabulary as v
from derive.audit.excerpt.cases import Case, Execution
from derive.audit.excerpt.choices import cases
from derive.audit.excerpt.comparison import canonical
from derive.audit.excerpt.facts import BEFORE, ONE, ZERO, Facts
from derive.audit.excerpt.printing import CPrinter, LatexPrinter
from derive.audit.excerpt.reading import Body, Unread, assigns_to_delta, given, parsed
from derive.audit.excerpt.sensitivities import Steps, decoded, encoded, output, sensitivity
from derive.audit.judging.counterexample import Counterexample
from derive.calculus.simplify import signs_inside
from derive.calculus.text import equation_latex

SIGNS = {
    -1: "`delta` is minus the derivative of the cost by the raw input",
    1: "`delta` is the derivative of the cost by the raw input",
}
BY_NAMES = (
    "the definitions leave targets and weights to the data: by the names, the target is 1 where `best_iou` is above "
    "`truth_thresh`, nothing counts where it is above `ignore_thresh` alone, and elsewhere the target is 0"
)


def claims_of(text: str) -> list[Claim]:
    """The claims of all functions that assign to delta; see `judge_excerpt`."""
    try:
        bodies = parsed(text)
        about = [body for body in bodies if any(map(assigns_to_delta, body.walk()))]
        if not about:
            raise Unread("nothing is assigned to `delta`", bodies[0].head_at)
    except (Unread, RecursionError) as error:
        return [unread(text, Claim("", 0, text.strip()), error)]
    return [claim for body in about for claim in claims_of_body(body)]


def claims_of_body(body: Body) -> list[Claim]:
    """The claims of a body, under the sign and the cost of x and y under which the fewest are refuted."""
    try:
        costs = (False, True) if body.names & v.OF_BOXES else (False,)
        found = {(sign, squared): Judge(body, sign, squared).claims() for sign in (-1, 1) for squared in costs}
    except (Unread, RecursionError) as error:
        return [unread(body.text, Claim("", body.head_at, body.head or body.text.strip()), error)]
    sign, squared = min(found, key=lambda reading: sum(claim.verdict == "refuted" for claim in found[reading]))
    others = found.get((sign, not squared), [])
    fails = {other.at: f"; {other.reason}" for other in others if other.verdict == "refuted" and other.reason}
    return [
        replace(claim, reading=f"{claim.reading}{fails.get(claim.at, '')}") if claim.verdict == "conditional" else claim
        for claim in found[sign, squared]
    ]


def unread(text: str, claim: Claim, error: Unread | RecursionError) -> Claim:
    """The claim, not judged for a reason that stands in a line of the text."""
    reason, at = (error.reason, error.at) if isinstance(error, Unread) else ("it is nested too deeply", 0)
    line = text.count("\n", 0, at or claim.at) + 1
    return replace(claim, verdict="unread", scope=None, at=claim.at or at, reason=f"line {line}: {reason}")


class Judge(Execution):
    """Says of each statement under one reading what it is worth."""

    def __init__(self, body: Body, sign: int, squared: bool) -> None:
        super().__init__(body, sign, squared)
        self.c, self.latex = CPrinter(self.spelled).doprint, LatexPrinter(self.spelled)

    def claims(self) -> list[Claim]:
        """One claim for every statement about delta, one for the targets, one for what a function leaves out."""
        found = self.decoding()
        for node in self.body.walk():
            if assigns_to_delta(node):
                at = self.body.offset(node.lvalue)
                claim = Claim("", at, self.body.source(node.lvalue), "yolo_cost")
                found.append(self.claim(claim, [case for case in self.cases if case.at == at]))
        if missed := [case for case in self.cases if case.at < 0 and (case.shown or case.reason)]:
            found.append(self.claim(Claim("", self.body.head_at, self.body.head, "yolo_cost"), missed))
        return sorted(found, key=lambda claim: claim.at)

    def claim(self, claim: Claim, own: Sequence[Case]) -> Claim:
        """The verdict on a statement from the cases that it leaves."""
        writes = [w for w in self.written if w.at == claim.at]
        strange = [self.c(v.DELTA[w.address]) for w in writes if self.entry_at(w.address) is None]
        reasons = [case.reason for case in own if case.reason]
        reasons += [f"nothing says whose sensitivity stands in `{cell}`" for cell in strange]
        if failing := [case for case in own if case.shown]:
            return self.refuted(claim, failing)
        if reasons:
            return unread(self.body.text, claim, Unread(reasons[0]))
        held = replace(claim, verdict="conditional", scope="all sizes")
        if own:
            return replace(held, reading=self.reading(own), steps=self.steps(own))
        if not any(w.happens(Facts()) for w in writes):
            return replace(held, reading="it is never reached")
        if not any(w.happens(self.granted(self.entry_at(w.address) or "")) for w in writes):
            return unread(self.body.text, claim, Unread("it is reached only where what is taken for granted is not so"))
        return replace(held, reading="what it assigns is replaced by a later statement")

    def refuted(self, claim: Claim, failing: Sequence[Case]) -> Claim:
        case = min(failing, key=lambda case: (len(case.rights), case.shown[3] if case.shown else 0))
        address = next(
            (w.address for w in self.written if w.at == case.at and self.entry_at(w.address) == case.entry),
            case.address,
        )
        return replace(
            claim,
            verdict="refuted",
            scope="a counterexample",
            reading=SIGNS[self.sign],
            counterexample=self.counterexample(case),
            correction=self.correction(case, address),
            reason=self.reason(case, address),
            steps=self.derivation(case.entry).steps,
        )

    def reading(self, own: Sequence[Case]) -> str:
        """All that has to be so for a statement to be right."""
        entry, later = own[0].entry, any(case.later for case in own)
        squared = entry in v.BOX[2:] or self.derivation(entry) != sensitivity(entry)
        cost = f"its cost is {'half the squared error' if squared else 'the logistic cross-entropy'}"
        raw = "the raw input itself" if entry in v.BOX[2:] else "a logistic output"
        said = [SIGNS[self.sign], f"`{self.c(v.OUTPUT[own[0].address])}` is {raw}"]
        if entry == v.OBJECT:
            said += [cost, BY_NAMES]
        elif entry == v.ONE_CLASS:
            others = "what earlier truths left elsewhere" if later else "0 elsewhere"
            said.append(f"{cost}, with target 1 where `n == {self.c(v.CLASS)}` and {others}")
        else:
            name, named = v.TARGET[entry], self.target(entry) == v.NAMES[v.TARGET[entry]]
            said.append(f"{cost} from {f'`{name}`' if named else f'what decodes to `{v.TRUTH[entry]}`'}")
            if self.weight != 1 and "scale" not in self.body.names:
                said.append(f"its weight is `{self.c(self.weight)}`")
        if later:
            said.append("a `delta` that is not 0 marks an earlier truth, since outputs lie strictly between 0 and 1")
        elif any(case.left.has(BEFORE) for case in own):
            said.append("`delta` is 0 before")
        return "; ".join(said)

    def reason(self, case: Case, address: sp.Expr) -> str | None:
        """Why a statement is wrong, where that can be said."""
        if case.at < 0:
            return f"`{self.c(v.DELTA[address])}` is left as it was"
        if self.derivation(case.entry) != sensitivity(case.entry):
            factor = signs_inside(canonical(self.derivation(case.entry).e / sensitivity(case.entry).e))
            words = self.c(factor.xreplace({output: v.OUTPUT[case.address]}))
            return f"under half the squared error of the output the factor `{words}` would be missing"
        if case.entry == v.OBJECT:
            return BY_NAMES
        if case.rights[0].has(v.EARLIER):
            return "where an earlier truth was assigned, the targets that it left have to stay"
        return "it writes beyond the classes" if case.rights[0] == BEFORE else None

    def steps(self, own: Sequence[Case]) -> Steps:
        """The derivation, then what the excerpt leaves in each case, as the sensitivity that it is."""
        left, tex = [], self.latex.doprint
        for case in own:
            named = case.facts.named
            facts = Facts(tuple(f for f in case.facts.at(named).every if not f.e.has(v.LATER)))
            words = [self.latex.fact(f) for f in facts.every if f.signs == {0}]
            words += [self.latex.fact(f) for f in facts.reduced.every]
            sides = v.DELTA[case.address], case.left.xreplace({BEFORE: ZERO}), self.sign * case.rights[0]
            entry, value, right = (tex(side.xreplace(named)) for side in sides)
            shown = rf"{entry} = {value} = {'-' if self.sign < 0 else ''}\left({right}\right)"
            left.append(("What the excerpt leaves", shown + (rf" \qquad {', '.join(words)}" if words else "")))
        return (*self.derivation(own[0].entry).steps, *left)

    def counterexample(self, case: Case) -> Counterexample:
        """The instance as text. An element of delta is what it was before: what an earlier truth left, or else 0."""
        assert case.shown is not None
        instance, left, right, _ = case.shown
        if instance.pop(v.LATER, ZERO) or case.later:
            instance = {v.INDEX: ZERO, v.STRIDE: ONE, **instance}
            for m in range(int(instance[v.CLASSES])):
                address = instance[v.INDEX] + m * instance[v.STRIDE]
                value = instance.setdefault(v.OUTPUT[address], ONE / 2)
                target = instance.pop(v.EARLIER[m], ONE)
                instance[v.DELTA[address]] = self.sign * sensitivity(v.ONE_CLASS).at(value, target, ONE)
        sizes: dict[str, str] = {}
        values: dict[str, str] = {}
        for key, value in sorted(instance.items(), key=lambda item: str(item[0])):
            if not (isinstance(key, sp.Dummy) and v.N in instance):  # a class that is not n itself is told by n
                (sizes if key.is_Symbol and key.is_integer else values)[self.c(key)] = str(value)
        return Counterexample(sizes, values, *(str(side).replace("E", "exp(1)") for side in (left, right)))

    def correction(self, case: Case, address: sp.Expr) -> str:
        """The sensitivity of the case's entry as a statement of C."""

        def derived(target: sp.Expr, weight: sp.Expr = ONE) -> str:
            return self.c(signs_inside(sp.factor(self.sensitivity(case.entry, address, target, weight))))

        cell = self.c(v.DELTA[address])
        if case.entry == v.OBJECT:
            best, truth, ignore = map(self.c, (v.BEST_IOU, v.TRUTH_THRESH, v.IGNORE_THRESH))
            return f"{cell} = {best} > {truth} ? {derived(ONE)} : {best} > {ignore} ? {derived(ZERO, ZERO)} : {derived(ZERO)};"
        if case.entry == v.ONE_CLASS:
            n = v.multiple_at(address)
            same = f"{self.c(n)} == {self.c(v.CLASS)}"
            if n == v.CLASS or case.rights[0].has(v.EARLIER):
                return f"{f'if ({same}) ' if n != v.CLASS else ''}{cell} = {derived(ONE)};"
            return f"{cell} = {derived(sp.Symbol(f'({same})'))};"
        target, name = self.target(case.entry), v.TARGET[case.entry]
        worked_out = cases(self.executor.held(name).e, Facts())[0][1]
        words = name if canonical(worked_out - target) == 0 else self.c(sp.logcombine(target))
        return f"{cell} = {derived(sp.Symbol(f'({words})' if ' - ' in words else words), self.weight)};"

    def decoding(self) -> list[Claim]:
        """Targets that the excerpt works out claim to be the outputs whose decoded box is the truth."""
        entries = {name: entry for entry, name in v.TARGET.items()}
        nodes = [node for node in self.body.walk() if given(node) in entries]
        source = "\n".join(self.body.source(node, whole=True) for node in nodes)
        steps: dict[tuple[str, str], None] = {}
        for name in dict.fromkeys(map(given, nodes)):
            claim = Claim("", min(map(self.body.offset, nodes)), source, "yolo")
            entry, (right, equation) = entries[name], decoded(entries[name])
            truth, target = v.NAMES[v.TRUTH[entry]], v.NAMES[name]
            ends = [sp.Tuple(guard, names[name].e) for guard, names in self.executor.returned if name in names]
            if not ends:
                return [unread(self.body.text, claim, Unread(f"`{name}` is not there at the end"))]
            for facts, (guard, value) in (case for end in ends for case in cases(end, self.granted(entry))):
                if guard == 0:
                    continue
                case = Case(entry, ZERO, facts, -1, right.xreplace({output: value}), (truth,)).compared()
                sides = (right.xreplace({output: target}), truth, target, value)
                put_in = r"{} = {} \qquad {} = {}".format(*map(self.latex.doprint, sides))
                steps |= {("Forward equations", equation_latex(equation)): None, ("The target put in", put_in): None}
                if case.reason:
                    return [unread(self.body.text, claim, Unread(case.reason))]
                if case.shown:
                    return [
                        replace(
                            claim,
                            verdict="refuted",
                            scope="a counterexample",
                            counterexample=self.counterexample(case),
                            correction=f"{name} = {self.c(sp.logcombine(encoded(entry)))};",
                            reason=f"the box that `{name}` decodes to is not `{truth}`",
                            steps=tuple(steps),
                        )
                    ]
        return [Claim("proved", claim.at, source, "yolo", "all sizes", steps=tuple(steps))] if nodes else []
