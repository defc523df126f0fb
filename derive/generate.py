"""Definitions to modules: derive, lower, render, write. `derive generate` is this file."""

import difflib
import importlib
import importlib.util
import keyword
import os
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import sympy as sp
from sympy.core.function import AppliedUndef

from derive import forward as definitions
from derive.audit.audit import citations
from derive.calculus.adjoint import bar_name
from derive.calculus.derivation import Derivation, chain, compose, derive, has_pole
from derive.calculus.equation import Equation, Term, index_of, size_of, tensor, tensors_of
from derive.calculus.filtering import filtering, proved_nested
from derive.calculus.system import DefinitionError, System
from derive.calculus.text import TextPrinter, equation_text
from derive.lowering.approximation import formats
from derive.lowering.expressions import FUNCTIONS, OF_NUMPY, RELATIONS, IndexPrinter
from derive.lowering.filtering import FILTERINGS, counted, points_text, transforms
from derive.lowering.kernel import Filtered, Kernel
from derive.lowering.lower import lower, lower_linear, lower_update
from derive.lowering.nests import RESERVED
from derive.lowering.rewriting import GROUP
from derive.lowering.rounding import rounding
from derive.notation import systems_in

ROOT = Path(__file__).resolve().parent.parent
TAKEN = {"i", *RESERVED} - set(FUNCTIONS)
NOTED = 8  # equations that a kernel's note repeats at most
MARK = "Written by ``derive generate``"  # in what is written from definitions, and so may be written over
RUNTIME = (
    "__init__", "assignment", "choice", "configuration", "data", "definition", "draws", "engine", "files", "filtered", "grammar", "graph",
    "heads", "lanes", "memory", "native", "network", "plan", "policies", "program", "progress", "sections", "subdivisions", "team", "tiles",
    "weights",
)  # fmt: skip
# How planes hold the numbers of a detector, what it makes of them, and the cost of that: together the head of this name.
HEADS = {
    "yolo": ("predictions", "yolo", "yolo_cost"),
    "region": ("predictions", "region", "region_cost"),
}
# Layers and elementwise ones after them that share kernels: what lies between is computed again, and never kept.
FUSED = tuple((norm, after) for norm in ("batch_norm", "batch_norm_darknet") for after in ("relu", "leaky"))
FOLDERS = {"Layer": "layers", "Pair": "layers", "Head": "layers", "Cost": "costs", "Rule": "rules"}


def template_folder() -> Path:
    """Where the templates are: beside this package in a wheel, at the root of a checkout."""
    inside = Path(__file__).resolve().parent / "templates"
    return inside if inside.is_dir() else ROOT / "templates"


def installed_package() -> Path:
    """The folder of the ``generated`` package that programs import."""
    found = importlib.util.find_spec("generated")
    return Path(found.origin).parent if found and found.origin else ROOT / "generated"


def own_systems() -> dict[str, System]:
    """Every definition in ``derive/forward``, by name."""
    found: dict[str, System] = {}
    for module in pkgutil.iter_modules(definitions.__path__):
        namespace = vars(importlib.import_module(f"derive.forward.{module.name}"))
        found |= {s.name: s for s in systems_in(namespace)}
    return found


def systems_of_file(path: Path) -> dict[str, System]:
    """The definitions of a user's file, by name.

    Raises DefinitionError, naming the file, the line and what is wrong, if it cannot be read as definitions.
    """
    if not path.is_file():
        raise DefinitionError(f"{path}: there is no such file; give a Python file of definitions")
    try:
        namespace = runpy.run_path(str(path))
    except DefinitionError:
        raise
    except SyntaxError as error:
        raise DefinitionError(f"{path}:{error.lineno or 1}: {error.msg}") from error
    except (Exception, SystemExit) as error:  # whatever a user's file may raise, the user needs the line
        raise DefinitionError(f"{path}:{_line_in(error, path)}: {type(error).__name__}: {error}") from error
    found: dict[str, System] = {}
    for s in {id(s): s for s in systems_in(namespace)}.values():
        if not re.fullmatch("[a-z][a-z0-9_]*", s.name) or keyword.iskeyword(s.name):
            raise DefinitionError(
                f"{s.source}: the name {s.name!r} cannot be a module's; small letters, digits and underscores can"
            )
        check_definition(s)
        if s.name in found:
            raise DefinitionError(
                f"{s.source}: there is another definition named {s.name!r}, at {found[s.name].source}"
            )
        found[s.name] = s
    if not found:
        raise DefinitionError(f"{path}: no definition; state one with `with system(...) as name:`")
    return found


def check_definition(s: System) -> None:
    """Raises DefinitionError, naming the place, for what kernels cannot be made from or networks cannot use."""

    def refuse(what: str) -> NoReturn:
        raise DefinitionError(f"{s.source}: system {s.name!r}: {what}")

    declared = s.declared()
    for name in (*declared, *(setting.name for setting in s.settings)):
        if not name.isidentifier() or keyword.iskeyword(name) or name in TAKEN | {*FUNCTIONS, *OF_NUMPY}:
            refuse(f"the name {name!r} cannot stand in a kernel; give it another")
    for setting, value in s.settings.items():
        if value is not None and not isinstance(value, int | float | sp.Number):
            refuse(f"the default of {setting} must be a number, not {value!r}")
    if s.constants:
        refuse(f"{s.constants[0]} is a constant, which no list of layers has values for; make it an input")
    sizes = {size_of(i) for x in declared.values() for i in x.indices if i.is_Symbol}
    for equation in s.equations:
        for x in {equation.target, *(x for t in equation.terms for x in t.body.atoms(sp.Indexed))}:
            rank = len(declared[x.base.name].indices)
            if len(x.indices) != rank:
                refuse(f"{x} has {len(x.indices)} indices, {declared[x.base.name]} has {rank}")
        for term in equation.terms:
            bound = {k for k, *_ in term.over} | sizes | {size_of(k) for k, *_ in term.over} | set(s.settings)
            loose = {f for f in term.body.free_symbols if f.is_Symbol and not f.is_integer} - bound
            loose -= {tensor(name).label for name in declared}
            if loose:
                refuse(
                    f"{', '.join(sorted(map(str, loose)))} is no setting; add it to settings={{...}} with its default"
                )
            values = term.body.xreplace({x: sp.Dummy(real=True) for x in tensors_of(term.body)})
            names = {f.func.__name__ for f in values.atoms(AppliedUndef, sp.Function)}
            unknown = names - {*FUNCTIONS, *OF_NUMPY} - {"Abs", "Max", "Min", "Piecewise"}
            if unknown:
                known = ", ".join([*OF_NUMPY, "Abs", "Max", "Min", "cases", "erf", "exp", "log", "tanh"])
                refuse(f"there is no kernel for the function {', '.join(sorted(unknown))}; there are {known}")
    if s.kind == "penalty":
        refuse("it has no inputs, no targets and no gradient: it is no layer, cost or update rule")
    if s.kind == "rule":
        new = {f"{x.base.name}_new" for x in (*s.parameters, *s.states)}
        missing = new - {e.name for e in s.equations}
        if missing:
            refuse(f"an update rule says what becomes of its parameter and states: no equation for {min(missing)}")


def _line_in(error: BaseException, path: Path) -> int:
    """The line of the file that the error came from."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return (lines and lines[-1]) or 1


# What a template needs ------------------------------------------------------------------------------------------------


@dataclass
class Module:
    """One file to write: its kernels, and the definition that names them."""

    name: str
    kind: str
    doc: str
    forward: list[str]
    backward: list[str]
    fields: dict[str, Any]
    phases: dict[str, list[dict]]
    runtime: str = "."
    numbers: list[dict] = field(default_factory=list)  # functions of sizes and settings
    kernels: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        kernels = [k for phase in self.phases.values() for k in phase]
        self.kernels = [k for own in kernels for k in (own, *own["others"])]

    @property
    def constant(self) -> str:
        return self.name.upper()

    @property
    def functions(self) -> list[str]:
        return sorted({f for k in self.kernels for f in k["functions"] if f in FUNCTIONS})

    @property
    def program(self) -> list[str]:
        """What the module takes from the runtime's program."""
        filtered = ["Filtered"] if any(k["filtered"] for k in self.kernels) else []
        return [
            *filtered,
            "Kernel",
            *(["span"] if any(s.plain for k in self.kernels for s in _found(k["body"], "Loop")) else []),
        ]

    @property
    def numpy(self) -> list[str]:
        """What the module takes from NumPy."""
        return sorted({f for k in self.kernels for f in k["functions"]} & {*OF_NUMPY, "inf", "int16", "int32"})

    @property
    def lanes(self) -> list[str]:
        """What the module takes from the runtime's lanes."""
        used = {f for k in self.kernels for f in k["functions"]}
        found = used & {"ahead", "ahead_in_part", "double", "fma", "near", "where"}
        return sorted(found | {"lanes" for k in self.kernels if k["lane"]})

    @property
    def engine(self) -> list[str]:
        called = {s.routine for k in self.kernels for s in _found(k["body"], "EngineCall")} - set(self.tiles)
        return sorted(called | {name for name in ("BOX", "FEW", "first_tap") if name in self._addresses})

    @property
    def tiles(self) -> list[str]:
        """What the module takes from the runtime's tiles."""
        called = {s.routine for k in self.kernels if k["vectors"] for s in _found(k["body"], "EngineCall")}
        return sorted(called)

    @property
    def needs_gcd(self) -> bool:
        return "gcd(" in self._addresses

    @property
    def _addresses(self) -> str:
        """What is assigned, and the bounds of loops."""
        bodies = [k["body"] for k in self.kernels]
        found = [s.right for body in bodies for s in _found(body, "Assign")]
        found += [t for body in bodies for s in _found(body, "Loop") for t in (s.first, s.last)]
        return " ".join(found)


def _found(body: list, kind: str) -> list:
    """The statements of one kind, at any depth."""
    inside = [s for outer in body for s in _found(getattr(outer, "body", []), kind)]
    return [s for s in body if type(s).__name__ == kind] + inside


def _shown(x: sp.Indexed) -> str:
    return f"{x.base.name}[{', '.join(map(str, x.indices))}]"


def _slots(arguments: Mapping[str, tuple[str, ...]], dtypes: Mapping[str, str] | None = None) -> list[str]:
    """Arrays as ``name[index, ...]``, with the dtype of those that have another than the network."""
    named = {name: f": {dtype}" for name, dtype in (dtypes or {}).items()}
    return [f"{name}[{', '.join(at) or 'one'}]{named.get(name, '')}" for name, at in arguments.items()]


def _kernel_view(k: Kernel, notes: Sequence[str]) -> dict:
    flat: dict[str, tuple[str, ...]] = dict.fromkeys(k.arguments, ("i",)) if k.flat else k.arguments
    working = (["scratch"] if k.contracts else []) + (["box"] if k.box is not None else [])
    slots = _slots(flat, k.dtypes) + working
    shapes = ", ".join(
        f"{name} ({', '.join(i.rstrip('0123456789').capitalize() for i in at) or '1'}{',' if len(at) == 1 else ''})"
        for name, at in k.arguments.items()
    )
    all_as_one = k.flat and any(len(at) > 1 for at in k.arguments.values())
    across = _kernel_view(replace(k.across, equations=k.equations), [_ACROSS, *notes]) if k.across else None
    other_way = _filtered_view(k.filtered, notes) if k.filtered else None
    return {
        "name": k.name,
        "equations": [line for e in k.equations for line in textwrap.wrap(e, 110, subsequent_indent="    ")],
        "parameters": [*k.arguments, *working, *k.scalars, "first", "last"],
        "box": _box_view(k, k.box) if k.box is not None and not k.vectors else None,
        "slots": tuple(slots),
        "split": "i" if k.flat else k.split,
        "writes": k.writes,
        "local": k.local,
        "lane": k.lane,
        "registers": k.registers,
        "fixed": k.fixed,
        "scalars": k.scalars,
        "functions": k.functions,
        "notes": list(notes),
        "shapes": textwrap.wrap(
            f"Shapes: {shapes}{' (all as one row)' if all_as_one else ''}; {_dtypes_text(k)}, C-contiguous.", 110
        ),
        "typed": k.typed,
        "body": k.body,
        "vectors": k.vectors,
        "filtered": other_way,
        "across": across,
        "others": [*(other_way["kernels"] if other_way else ()), *([across] if across else ())],
    }


_ACROSS = "By ranges of the last index of what it writes: where that counts more, threads read less so."


def _filtered_view(f: Filtered, notes: Sequence[str]) -> dict[str, Any]:
    """The kernels that do the same by minimal filtering, and the fields that say where."""
    said = "By minimal filtering, whose transforms and sizes the plan of a step chooses."
    fields = ("places", "taps", "inner", "lane", "groups", "settings")
    return {
        "kernels": [_kernel_view(k, [said, *notes]) for k in f.kernels],
        "fields": {name: repr(getattr(f, name)) for name in fields if getattr(f, name)},
    }


def _dtypes_text(k: Kernel) -> str:
    """``float32 or float64``, and what is of another dtype."""
    others = {dtype: [n for n in k.dtypes if k.dtypes[n] == dtype] for dtype in sorted(set(k.dtypes.values()))}
    own = ["float32 or float64"] if set(k.arguments) - set(k.dtypes) else []
    return ", ".join([*own, *(f"{', '.join(names)} {dtype}" for dtype, names in others.items())])


def _doc(s: System) -> str:
    return s.doc or f"{s.name}, as {Path(s.source.rpartition(':')[0]).name} defines it."


def _wrapped(text: str) -> str:
    return "\n".join(part for line in text.splitlines() for part in (textwrap.wrap(line, 116) or [""]))


def _lines(equations: Sequence[Equation]) -> list[str]:
    """The equations as text, each on one line or, if long, on several."""
    return [line for e in equations for line in textwrap.wrap(equation_text(e), 110, subsequent_indent="    ")]


def _names(system: System, kind: str) -> dict[str, str]:
    """What each kernel is called, by the tensor that it computes last."""
    inputs = [x.base.name for x in system.inputs]
    names = {e.name: f"{system.name}_{e.name}" for e in system.equations}
    names |= {x.base.name: f"{system.name}_{'cost' if kind != 'Layer' else 'forward'}" for x in system.outputs}
    if len(system.outputs) > 1 and kind == "Layer":
        names |= {x.base.name: f"{system.name}_{x.base.name}" for x in system.outputs}
    if kind == "Head":
        names |= {x.base.name: f"{system.name}_forward" for x in system.outputs[:-1]}
    what = "output" if kind == "Cost" else "input"
    for x in inputs:
        names[f"delta_{x}"] = f"{system.name}_{what if len(inputs) == 1 else x}_sensitivity"
    for p in system.parameters:
        names[f"nabla_{p.base.name}"] = f"{system.name}_{p.base.name}_gradient"
    return names


class _Names(dict):
    """Names for derived tensors that no rule foresees."""

    def __init__(self, system: System, kind: str) -> None:
        super().__init__(_names(system, kind))
        self._system = system

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return f"{self._system.name}_{key}"


def module_for(derivation: Derivation, kind: str, runtime: str) -> Module:
    """The module of a layer, a cost, a pair of both, or a head."""
    system = derivation.system
    own = system.name in own_systems()  # our documents speak of ours alone
    cited = citations("activation" if system.is_activation else system.name) if own else {}
    late = {x.base.name for x in system.targets} if kind == "Head" else set()
    lowered = lower(derivation, _Names(system, kind), late)
    fields: dict[str, Any] = {}
    if kind == "Pair":
        fields |= {"layer": None, "cost": None}
    fields["inputs"] = tuple(map(_shown, system.inputs))
    if system.constants:
        fields["constants"] = tuple(map(_shown, system.constants))
    if system.targets:
        fields["targets"] = tuple(map(_shown, system.targets))
    fields["outputs"] = tuple(map(_shown, system.outputs))
    if kind == "Layer" and system.parameters:
        fields["parameters"] = tuple(map(_shown, system.parameters))
        fields["storage"] = tuple(_slots(lowered.storage))
        fields["fan_in"] = _fan_in(derivation)
    if kind == "Layer" and system.states:
        fields["states"] = tuple(map(_shown, system.states))
    if kind == "Layer" and system.random:
        fields["random"] = tuple(map(_shown, system.random))
    if kind == "Layer" and system.initial:
        fields["initial"] = {b.name: float(v) for b, v in system.initial.items()}
    if kind == "Cost" and system.given:
        fields["totals"] = {str(g.lhs.limits[0][0]): float(g.rhs) for g in system.facts if isinstance(g.lhs, sp.Sum)}
    buffers = {**lowered.forward.buffers, **lowered.late.buffers, **lowered.backward.buffers}
    if buffers:
        fields["buffers"] = tuple(_slots(buffers, lowered.dtypes))
    if lowered.groups:
        fields["groups"] = {index: (of, GROUP) for index, of in lowered.groups.items()}
    if system.settings:
        fields["settings"] = {s.name: _default(s, v) for s, v in system.settings.items()}
    counts = {s.name: int(bool(s.is_positive)) for s in system.settings if s.is_integer}
    if counts:
        fields["counts"] = counts
    of_sizes = [_size_view(size, of) for size, of in system.sizes.items()]
    relations = [_relation_view(f"given_{number}", r) for number, r in enumerate(system.requirements, 1)]
    if of_sizes:
        fields["sizes"] = {view["of"]: Verbatim(view["name"]) for view in of_sizes}
    if relations:
        fields["given"] = tuple(Verbatim(view["name"]) for view in relations)
    if system.inference:
        fields["inference"] = system.inference
    if system.forms:
        fields["forms"] = system.forms
    phases = {"forward": lowered.forward.kernels, "cost": lowered.late.kernels, "backward": lowered.backward.kernels}
    phases["descent"] = lowered.descent
    return Module(
        name=system.name,
        kind=kind,
        doc=_wrapped(_doc(system)),
        forward=_lines(derivation.defined),
        backward=_lines(derivation.closed),
        fields=fields,
        phases={
            phase: [_kernel_view(k, _notes(k, derivation, cited)) for k in kernels]
            for phase, kernels in phases.items()
            if phase not in ("cost", "descent") or kernels
        },
        runtime=runtime,
        numbers=[*of_sizes, *relations],
    )


class Verbatim(str):
    """A value that stands in a module as it is: a name."""

    def __repr__(self) -> str:
        return str(self)


def _default(setting: sp.Symbol, value: Any) -> float | None:
    """The default of a setting as a number, a whole one for a count; None where the user must say."""
    return None if value is None else int(value) if setting.is_integer else float(value)


def _size_view(size: sp.Symbol, of: sp.Expr) -> dict[str, Any]:
    """The function of a size, or of a setting, that follows from others."""
    own = size.name if size.name.islower() else index_of(size).name
    text = f"{size} = {TextPrinter().doprint(of)}"
    return {"of": own, **_function_view(f"size_{own}", of, text, IndexPrinter().doprint(of))}


def _relation_view(name: str, relation: sp.Rel) -> dict[str, Any]:
    """The function of sizes and settings that says whether a relation holds."""
    sides = (relation.rhs, relation.lhs) if isinstance(relation, sp.Eq) else (relation.lhs, relation.rhs)
    left, right = map(IndexPrinter().doprint, sides)
    return _function_view(
        name, relation, TextPrinter().doprint(relation), f"{left} {RELATIONS[type(relation)]} {right}"
    )


def _function_view(name: str, of: sp.Basic, text: str, body: str) -> dict[str, Any]:
    """A function of sizes and settings by name, the sizes first."""
    arguments = sorted((s.name for s in of.free_symbols), key=lambda name: (name.islower(), name))
    return {"name": name, "arguments": arguments, "text": text, "body": body}


def _box_view(k: Kernel, box: sp.Expr) -> dict[str, Any]:
    """The function of the working memory that a kernel needs."""
    return _function_view(f"{k.name}_box", box, "Elements that one row of places reads.", IndexPrinter().doprint(box))


def _notes(k: Kernel, derivation: Derivation, cited: dict[str, list[tuple[str, str, str]]]) -> list[str]:
    """Where the equation comes from, and what documents say of it."""
    notes = []
    defined = [equation_text(e) for e in derivation.defined]
    if {e.name for e in derivation.closed} & set(k.writes):
        kept = {f"{x.base.name}_new" for x in derivation.system.states}
        sources = [equation_text(e) for e in derivation.defined if e.name not in kept]
        notes.append(f"From {'; '.join(sources) if len(sources) <= NOTED else 'the forward equations above'}.")
    elif not set(k.equations) <= set(defined):
        own = [equation_text(e) for e in derivation.defined if e.name in k.writes]
        own = own if len(own) <= NOTED else [text for text in own if text not in k.equations]
        notes += [f"Stable form of {'; '.join(own)}."] if own else []
    said = [f"{tag} ({verdict}, {scope})" for name in k.writes for tag, verdict, scope in cited.get(name, [])]
    if said:
        notes.append(f"Documents: {'; '.join(said)}.")
    return [line for note in notes for line in textwrap.wrap(note, 110, subsequent_indent="    ")]


def _fan_in(derivation: Derivation) -> dict[str, tuple[str, ...]]:
    """For each parameter of a contraction, the indices it is summed over: how many addends its outputs have."""
    found = {}
    for equation in derivation.defined:
        for term in equation.terms:
            summed = [k for k, *_ in term.over]
            for p in derivation.system.parameters:
                for x in term.body.atoms(sp.Indexed):
                    inside = [str(own) for own, i in zip(p.indices, x.indices, strict=False) if i in summed]
                    if x.base.name == p.base.name and inside and len(term.body.atoms(sp.Indexed)) > 1:
                        found[p.base.name] = tuple(inside)
    return found


def rule_module(rule: System, penalty: System | None, runtime: str) -> Module:
    """The module of an update rule: the gradient it is given, plus that of the penalty on weights."""
    parameter, gradient = rule.parameters[0], rule.gradient[0]
    equations = list(rule.equations)
    settings = {s.name: (None if v is None else float(v)) for s, v in rule.settings.items()}
    doc = _doc(rule)
    if penalty is not None:
        slope = derive(penalty).adjoints
        weights = penalty.parameters[0]
        (added,) = [e for e in slope if e.name == bar_name(weights.base.name, [weights.base.name])]
        one = {tensor(bar_name(x.base.name))[x.indices]: sp.Integer(1) for x in penalty.outputs}
        extra = added.map(one).expression().xreplace({weights: parameter})
        total = tensor(f"{gradient.base.name}_total")[gradient.indices]
        equations = [Equation(total, (Term(gradient), Term(extra)))] + [e.map({gradient: total}) for e in equations]
        settings |= {s.name: float(v) for s, v in penalty.settings.items()}
        doc += f"\n\n{total} adds the gradient of the penalty: {penalty.doc[0].lower()}{penalty.doc[1:]}"
    states = tuple(x.base.name for x in rule.states)
    k = lower_update(equations, f"{rule.name}_update", states, parameter.base.name)
    fields = {"parameter": parameter.base.name, "gradient": gradient.base.name, "states": states, "settings": settings}
    phases = {"update": [_kernel_view(k, [])]}
    linear = lower_linear(equations, f"{rule.name}_factors", parameter.base.name, gradient.base.name)
    if linear is not None and not states:
        phases["linear"] = [_kernel_view(linear, [])]
    return Module(rule.name, "Rule", _wrapped(doc), _lines(rule.equations), [], fields, phases, runtime)


# Writing --------------------------------------------------------------------------------------------------------------


def environment() -> jinja2.Environment:
    """Jinja as all templates use it."""
    loader = jinja2.FileSystemLoader(template_folder())
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)


def formatted(texts: dict[str, str]) -> dict[str, str]:
    """The texts as `ruff format` leaves them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        settings = ["--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311"]
        ruff = [sys.executable, "-m", "ruff"]
        sort = [*ruff, "check", "--quiet", "--fix-only", "--select", "I", *settings, folder]
        for command in (sort, [*ruff, "format", "--quiet", *settings, folder]):
            subprocess.run(command, check=True)
        return {name: Path(folder, name).read_text(encoding="utf-8") for name in texts}


def modules(systems: dict[str, System], others: dict[str, System], runtime: str) -> list[Module]:
    """A module for each of ``systems``, for those that share kernels, and for each pair of theirs with ``others`` whose
    derivatives simplify.

    Raises DefinitionError, naming the definition's place, for one that cannot be derived or has no kernel.
    """
    known = {**others, **systems}
    objective, penalty = known.get("objective"), known.get("weight_decay")
    found = []

    @cache
    def alone(name: str) -> Derivation:
        return derive(known[name], objective if known[name].kind == "cost" else None)

    in_heads = {name for parts in HEADS.values() for name in parts}
    for s in (s for s in systems.values() if s.name not in in_heads):
        with _told_where(s):
            if s.kind == "rule":
                found.append(rule_module(s, penalty, runtime))
            elif s.kind in ("layer", "cost"):
                found.append(module_for(alone(s.name), s.kind.capitalize(), runtime))
    for first, second in FUSED:
        if first in systems and second in systems:
            with _told_where(systems[first]):
                module = module_for(chain(alone(first), alone(second)), "Layer", runtime)
                module.fields["fuses"] = (first, second)
                found.append(module)
    for name, parts in HEADS.items():
        if set(parts) <= set(systems):
            with _told_where(systems[parts[-1]]):
                head = head_of(name, [systems[part] for part in parts])
                found.append(module_for(derive(head, objective), "Head", runtime))
    for cost in (s for s in known.values() if s.kind == "cost" and s.name not in in_heads):
        for layer in (s for s in known.values() if _elementwise_or_rows(s) and s is not objective):
            if layer.name not in systems and cost.name not in systems:
                continue
            if [i for x in layer.outputs for i in x.indices] != [i for x in cost.inputs for i in x.indices]:
                continue
            with _told_where(layer if layer.name in systems else cost):
                if not has_pole(alone(cost.name), bar_name(cost.inputs[0].base.name)):
                    continue
                pair = derive(compose(layer, cost), objective)
                if not has_pole(pair, bar_name(layer.inputs[0].base.name)):
                    module = module_for(pair, "Pair", runtime)
                    module.fields |= {"layer": layer.name, "cost": cost.name}
                    found.append(module)
    return found


def head_of(name: str, parts: Sequence[System]) -> System:
    """The system of a head: its parts composed, of which the last outputs and the cost are kept."""
    *_, last, cost = parts
    outputs = {x.base.name for x in (*last.outputs, *cost.outputs)}
    whole = reduce(compose, parts)
    return replace(whole, name=name, outputs=tuple(x for x in whole.outputs if x.base.name in outputs))


def _elementwise_or_rows(s: System) -> bool:
    """Whether a layer may be taken together with a cost: it keeps and draws nothing, has one input, one output."""
    kept = (*s.parameters, *s.states, *s.random)
    return s.kind == "layer" and not kept and len(s.inputs) == len(s.outputs) == 1


@contextmanager
def _told_where(s: System) -> Iterator[None]:
    """Any failure becomes a DefinitionError that begins with the definition's place."""
    try:
        yield
    except Exception as error:  # SymPy may raise whatever it likes on an expression that it does not expect
        said = str(error).removeprefix(f"{s.source}: ") or type(error).__name__
        raise DefinitionError(f"{s.source}: system {s.name!r}: {said}") from error


def render(systems: dict[str, System], others: dict[str, System], *, own: bool) -> dict[str, str]:
    """Every file to write, by its path inside the output folder."""
    env = environment()
    made = modules(systems, others, "." if own else "generated")
    texts = {}
    for m in made:
        folder = f"{FOLDERS[m.kind]}/" if own else ""
        derived = ("constant", "functions", "numpy", "needs_gcd", "lanes", "engine", "program", "tiles")
        view = {**m.__dict__, **{name: getattr(m, name) for name in derived}}
        view["fields"] = {k: repr(v) for k, v in m.fields.items()}
        texts[f"{folder}{m.name}.py"] = env.get_template("kernels.py.j2").render(module=view)
    if own:
        for folder in sorted(set(FOLDERS.values())):
            names = sorted((m.name, m.constant) for m in made if FOLDERS[m.kind] == folder)
            texts[f"{folder}/__init__.py"] = env.get_template("folder.py.j2").render(folder=folder, names=names)
        texts |= _filtering_texts(env)
        texts["functions.py"] = env.get_template("functions.py.j2").render(formats=formats())
        for name in RUNTIME:
            texts[f"{name}.py"] = (template_folder() / "runtime" / f"{name}.py").read_text(encoding="utf-8")
    else:
        names = sorted((m.name, m.constant) for m in made)
        texts["__init__.py"] = env.get_template("package.py.j2").render(names=names)
    return formatted(texts)


def _filtering_texts(env: jinja2.Environment) -> dict[str, str]:
    """The folder of minimal filtering. Raises ProofError for matrices that are not what they are to be."""
    texts = {"filtering/__init__.py": env.get_template("filterings.py.j2").render(pairs=FILTERINGS)}
    template = env.get_template("filtering.py.j2")
    for f in (filtering(m, r) for m, r in FILTERINGS):
        proved_nested(f, f)
        made = transforms(f)
        lines = [line for t in made for line in t.program.lines]
        used = [name for name in ("fma", "times") if any(f"{name}(" in line for line in lines)]
        roundings = dict(zip(("rounding", "rounding_gradients"), rounding(f), strict=True))
        texts[f"filtering/f{f.m}_{f.r}.py"] = template.render(
            f=f, points=points_text(f), transforms=made, used=used, roundings=roundings, counted=counted
        )
    return texts


def generate(files: Sequence[Path] = (), output: Path | None = None, *, check: bool = False) -> tuple[list[str], str]:
    """Write the modules of our definitions, or of the user's ``files``, to ``output``.

    Returns what was written (with ``check``: what is stale, and the diff; then nothing is written). Raises
    DefinitionError for definitions that cannot stand, and for a user's files without an output folder.
    """
    ours = own_systems()
    if files:
        if output is None:
            raise DefinitionError("definitions of your own need a folder to go to: add --output DIR")
        systems: dict[str, System] = {}
        for path in files:
            for name, s in systems_of_file(Path(path)).items():
                other = systems.get(name) or ours.get(name)
                if other is not None:
                    raise DefinitionError(
                        f"{s.source}: there is a definition named {name!r} already, at {other.source}"
                    )
                systems[name] = s
        texts = render(systems, ours, own=False)
    else:
        output = output or installed_package()
        texts = render(ours, {}, own=True)
    stale, diff = compare(texts, output, whole=not files)
    if check:
        return stale, diff
    if output.resolve() != installed_package().resolve():
        refuse_to_overwrite(texts, output)
    write(texts, output, remove=[name for name in stale if name not in texts and _is_ours(output / name)])
    return sorted(texts), diff


def _is_ours(path: Path) -> bool:
    return MARK in path.read_text(encoding="utf-8", errors="replace")


def refuse_to_overwrite(texts: dict[str, str], folder: Path) -> None:
    """Raises DefinitionError if files of somebody else's lie where ours are to go."""
    if folder.exists() and not folder.is_dir():
        raise DefinitionError(f"{folder}: this is a file; give a folder to write to")
    inside = folder / "__init__.py"
    if inside.is_file() and _is_ours(inside):
        return  # the whole folder is ours
    foreign = [name for name in sorted(texts) if (folder / name).exists() and not _is_ours(folder / name)]
    if foreign:
        raise DefinitionError(
            f"{folder / foreign[0]}: not written by derive, and not written over; give another folder"
        )


def compare(texts: dict[str, str], folder: Path, *, whole: bool) -> tuple[list[str], str]:
    """The files that differ from ``texts``, and the difference; with ``whole``, files too many as well."""
    names = set(texts)
    if whole and folder.is_dir():
        names |= {p.relative_to(folder).as_posix() for p in folder.rglob("*.py")}
    stale, lines = [], list[str]()
    for name in sorted(names):
        path = folder / name
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not path.is_file() or old != texts.get(name, ""):
            stale.append(name)
            lines += difflib.unified_diff(
                old.splitlines(keepends=True), texts.get(name, "").splitlines(keepends=True), str(path), "derived"
            )
    return stale, "".join(lines)


def write(texts: dict[str, str], folder: Path, remove: Iterable[str] = ()) -> None:
    """Write every file whole: all are staged beside their places, then moved there."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".derive-", dir=folder))
    try:
        for number, text in enumerate(texts.values()):
            (staging / str(number)).write_text(text, encoding="utf-8")
        for number, name in enumerate(texts):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / str(number), path)
        for name in remove:
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
