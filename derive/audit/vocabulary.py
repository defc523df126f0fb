"""What the field's letters stand for, and the meanings among which a notation may leave the choice."""

from dataclasses import dataclass

LAYERED = {"a": "a", "z": "z", "w": "w", "W": "w", "b": "b", "delta": "delta_z"}
PARAMETERS = {"w": 2, "b": 1}  # and how many indices they have
TARGETS = frozenset({"y", "target"})
OUTPUTS = frozenset({"output"})
COSTS = frozenset({"C", "J", "L", "Cost", "cost", "Loss", "loss"})  # of a sample, unless the formula says otherwise
MEAN_COSTS = frozenset({"E"})  # in updates and beside samples; else it may be a sample's own
ERRORS = frozenset({"Error", "error"})
RATES = frozenset({"eta", "alpha"})
BATCH = frozenset({"m", "N", "n"})
ACTIVATIONS = frozenset({"sigma", "varphi", "phi", "f", "g"})
SPELLINGS = {
    "weights": {"w", "W"},
    "target": TARGETS,
    "cost": COSTS - {"L"} | ERRORS,
    "learning rate": RATES,
    "activation": ACTIVATIONS,
}


class Ask(Exception):
    """A notation with several meanings: the judge has to choose one and bind again."""

    def __init__(self, question: str, options: tuple[str, ...]) -> None:
        super().__init__(question)
        self.question, self.options = question, options


MEANINGS = {
    "assign": "`=` assigns: its right side is the parameter's new value",
    "mean cost": "the cost in an update is the mean over the mini-batch",
    "one sample": "the mini-batch is one sample",
    "cost of one sample": "E is the cost of one sample",
    "sum of squares": "the square of a vector is the sum of the squares of its components",
    "ends of one weight": "`in` is the activation at the weight's input, `out` the error at its output",
    "one layer, a its input": "without layer superscripts, all is of one layer and a is its input",
    "one layer, a its output": "without layer superscripts, all is of one layer and a is its output",
    "the last layer": "without layer superscripts, all is of the last layer",
}
ONE_LAYER = ("one layer, a its input", "one layer, a its output")


@dataclass(frozen=True)
class Reading:
    """What was chosen for each question that the notation left open."""

    chosen: tuple[tuple[str, str], ...] = ()

    def choose(self, question: str, options: tuple[str, ...]) -> str:
        for asked, answer in self.chosen:
            if asked == question:
                return answer
        raise Ask(question, options)

    def with_(self, question: str, answer: str) -> "Reading":
        return Reading((*self.chosen, (question, answer)))

    def __str__(self) -> str:
        return "; ".join(MEANINGS.get(answer, answer) for _, answer in self.chosen)
