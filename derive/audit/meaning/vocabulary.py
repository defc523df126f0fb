"""What the field's letters stand for, and the meanings among which a notation may leave the choice."""

from dataclasses import dataclass, field

LAYERED = {"a": "a", "z": "z", "w": "w", "W": "w", "b": "b", "delta": "delta_z", "word delta": "delta_a"}
FILTERS = {"K": "w", "k": "w", "F": "w"}  # in a convolutional layer also
NORMALISED = {
    "hat z": "z_hat",
    "hat x": "z_hat",
    "y": "y",
    "mu": "mu",
    "variance": "var",
    "gamma": "gamma",
    "beta": "beta",
}
OTHER_ACTIVATIONS = frozenset({"h", "x", "o"})  # with a layer above, where no `a` stands
TARGETS = frozenset({"y", "target"})
OUTPUTS = frozenset({"output"})
COSTS = frozenset({"C", "J", "L", "Cost", "cost", "Loss", "loss"})  # of a sample, unless the formula says otherwise
MEAN_COSTS = frozenset({"E"})  # in updates and beside samples; else it may be a sample's own
ERRORS = frozenset({"Error", "error"})
RATES = frozenset({"eta", "alpha"})
BATCH = frozenset({"m", "N", "n"})
ACTIVATIONS = frozenset({"sigma", "varphi", "phi", "f", "g"})
SPELLINGS = {
    "weights": {"w", "W", "K"},
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
    # of a whole section: an empty meaning is what the field means where nothing else is said
    "columns": "",
    "rows": "vectors are rows, and a matrix of weights leads from its row to its column: $z = a w + b$",
    "rows, weights turned": "vectors are rows, and a matrix of weights leads from its column to its row: $z = a w^T + b$",
    "gradient": "",
    "negative gradient": r"an error $\delta$ is minus the derivative of the cost",
    "mean": "",
    "sum": "the cost of a mini-batch is the sum over its samples",
    "numerator": "",
    "denominator": "the derivative of a vector by a vector has the rows of what it is taken by",
    "cross-correlation": "`*` is the cross-correlation, which does not turn its second operand, also in the forward pass; "
    "stride 1, no padding",
    "convolution": "`*` is the convolution, which turns its second operand by 180 degrees, also in the forward pass; "
    "stride 1, no padding",
    "convolution of a correlation": "`*` is the convolution, which turns its second operand by 180 degrees, and the forward "
    "pass a cross-correlation; stride 1, no padding",
    "from one": "",
    "from zero": "components are counted from zero",
    "by the weighted input": "",
    "by the activation": r"the error of the layer before is $\partial C/\partial a^{l-1}$: the factor "
    r"$\sigma'(z^{l-1})$ is not part of it yet",
    # of one formula
    "upright delta": r"`delta`, upright, is $\partial C/\partial a$: the error before the factor $\sigma'(z)$",
    "windows side by side": "the windows are as far apart as they are wide, without padding; of equal values the first is "
    "the largest",
    "blocks side by side": "the windows are as far apart as they are wide, without padding",
    "feature by feature": "each feature by itself: products of vectors over the features are taken element by element",
    "sample left out": "a quantity that names no sample is that of the sample summed over",
    "no sample": "a parameter has no sample: its index says nothing",
    "one function": "both letters stand for the same activation function",
    "per place": "the bias is added at every place of its plane",
    "places of the plane": "indices that stand at nothing in the sum run over the places of the plane",
    "layer left out": "a quantity that names no layer is of layer l",
    "summed over channels": "a product with a filter is summed over the channels that both have",
    "for each component": "a number beside a vector stands for each of its components",
    "with activation": "",
    "without activation": "a pooling layer has no activation function: its output is $a^l$",
    "second valid": "the place of the first operand stays inside the second",
    "valid": "the place of the second operand stays inside the first",
    "full": "the first operand goes on in zeros",
    "held": "in a partial derivative the other quantities of the same equation are held",
    "case": "a case: what follows it is meant where this holds",
    "minus the slope": "`delta` is minus the derivative, which gradient descent adds",
    "one output": r"one output $y = \sigma(z)$ with its target $t$",
    "velocity falls": "the velocity holds the gradient times the learning rate, and is taken from the weights",
    "velocity rises": "the velocity holds minus the gradient times the learning rate, and is added to the weights",
    "velocity of gradients": "the velocity holds gradients without the learning rate",
    "last step": r"$v_t$ is momentum's share of the step alone: $\gamma$ times the whole of the step before",
}
ONE_LAYER = ("one layer, a its input", "one layer, a its output")
VECTORS = ("columns", "rows", "rows, weights turned")
SLIDING = ("cross-correlation", "convolution", "convolution of a correlation")
# Questions that a section answers as a whole, with the number of formulas that must need another answer than the first.
# Shapes tell how vectors are meant, so one is enough; a sign or a factor might just be wrong, so one is not.
SECTION = {
    "vectors": (VECTORS, 1),
    "layout": (("numerator", "denominator"), 1),
    "error": (("gradient", "negative gradient"), 2),
    "batch": (("mean", "sum"), 2),
    "star": (SLIDING, 1),
    "counting": (("from one", "from zero"), 1),
    "pooled": (("with activation", "without activation"), 1),
    "below": (("by the weighted input", "by the activation"), 1),
    "velocity": (("velocity falls", "velocity rises", "velocity of gradients", "last step"), 1),
}

# Questions of which a report also says under which other answers a true formula is false, in shorter words.
FAILING = {
    "star": {
        "cross-correlation": "`*` does not turn its second operand",
        "convolution": "`*` turns its second operand, also in the forward pass",
        "convolution of a correlation": "`*` turns its second operand, and the forward pass does not",
    },
    "below": {"by the weighted input": r"the error of the layer before is $\partial C/\partial z^{l-1}$"},
    "velocity": {"velocity falls": "the velocity already holds the step's own gradient"},
}


@dataclass(frozen=True)
class Reading:
    """What was chosen for each question that the notation left open.

    `agreed` is what the section answers; an answer from there counts as chosen once it was asked for. `noted` collects
    the questions to a section that were asked at all: nothing depends on the answers to the others.
    """

    chosen: tuple[tuple[str, str], ...] = ()
    agreed: tuple[tuple[str, str], ...] = ()
    noted: set[str] = field(default_factory=set, compare=False)

    def choose(self, question: str, options: tuple[str, ...]) -> str:
        self.noted.add(question)
        for asked, answer in self.chosen:
            if asked == question:
                return answer
        for asked, answer in self.agreed:
            if asked == question and answer in options:
                raise Ask(question, (answer,))
        raise Ask(question, options)

    def agrees(self, question: str) -> str:
        """What the section means, without asking: its answer, or the field's."""
        self.noted.add(question)
        for asked, answer in (*self.chosen, *self.agreed):
            if asked == question:
                return answer
        return SECTION[question][0][0]

    def with_(self, question: str, answer: str) -> "Reading":
        return Reading((*self.chosen, (question, answer)), self.agreed, self.noted)

    def __str__(self) -> str:
        return "; ".join(meaning for _, answer in self.chosen if (meaning := MEANINGS.get(answer, answer)))
