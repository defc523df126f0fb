"""The whole way on real data: audit, generate, train, evaluate. `derive demo` is this file."""

import textwrap
import time
from pathlib import Path
from typing import Any

from derive.audit.reports.finding import our_findings
from derive.audit.reports.page import page
from derive.audit.verdict import KINDS
from derive.files import write_whole
from derive.generate import generate, own_systems
from derive.show import derivation_named

LAYERS: list[str | tuple] = [("dense", 256), "relu", ("dense", 10), "softmax"]
TRAINING: dict[str, Any] = {
    "epochs": 100,
    "batch_size": 32,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-3,
}


def demo(output: Path, seed: int = 0) -> int:
    """Audit our document, regenerate the kernels, train on scikit-learn's digits; leave a report and a picture.

    Raises ValueError if scikit-learn or matplotlib is missing. Returns the exit code: 1 if a formula is refuted that
    the document does not itself mark as an erratum.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ValueError(f"the demo needs {error.name}: pip install 'backderive[demo]'") from error
    output.mkdir(parents=True, exist_ok=True)

    print("1. Audit: every formula of a note on backpropagation, mistakes included, read from its LaTeX")
    began = time.perf_counter()
    documents = our_findings()  # once: the kernels of step 2 cite these verdicts
    report = output / "audit.html"
    write_whole(report, page(documents))
    found = [f for document in documents for f in document.findings]
    counts = {kind: sum(f.verdict.verdict == kind for f in found) for kind in KINDS}
    said = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    print(f"   {len(found)} formulas: {said}  ({time.perf_counter() - began:.1f} s)")
    for marked, words in ((True, "refuted, and marked as errata"), (False, "refuted")):
        if names := [f.verdict.id for f in found if f.verdict.verdict == "refuted" and f.verdict.erratum == marked]:
            print(textwrap.fill(f"{words}: {', '.join(names)}", 120, initial_indent="   ", subsequent_indent="     "))

    print("2. Generate: every kernel anew from the forward definitions")
    began = time.perf_counter()
    systems = own_systems()
    stale, _ = generate(check=True)
    if stale:
        generate()
    state = f"{len(stale)} files rewritten" if stale else "the same to the byte as the kernels that are installed"
    print(f"   {len(systems)} definitions: {state}  ({time.perf_counter() - began:.1f} s)")
    from derive.calculus.text import equation_text

    for name in ("dense", "softmax+softmax_cross_entropy"):
        for equation in derivation_named(name, systems).closed:
            print(f"     {name:<30} {equation_text(equation)}")

    print("3. Train: a network on 1,797 real digits, two thirds to learn from, one third held out")
    from generated import Network

    digits = load_digits()
    X, X_test, y, y_test = train_test_split(digits.data / 16, digits.target, test_size=1 / 3, random_state=seed)
    network = Network(LAYERS, cost="softmax_cross_entropy", random_state=seed)
    began = time.perf_counter()
    network.fit(X, y, validation_data=(X_test, y_test), **TRAINING)
    seconds = time.perf_counter() - began
    accuracy = network.score(X_test, y_test)
    print(f"   {_layers()}: {TRAINING['epochs']} epochs in {seconds:.1f} s")
    print(f"   loss {network.history_['loss'][0]:.3f} -> {network.history_['loss'][-1]:.4f}")
    print(f"   accuracy on the held-out third: {accuracy:.1%} of {len(y_test)} digits")

    picture = output / "learning-curve.png"
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    epochs = range(1, len(network.history_["loss"]) + 1)
    left.semilogy(epochs, network.history_["loss"], label="training")
    left.semilogy(epochs, network.history_["validation_loss"], label="held out")
    left.set(xlabel="epoch", ylabel="cost", title=_layers())
    left.legend()
    right.plot(epochs, [100 * s for s in network.history_["validation_score"]], color="C1")
    right.set(xlabel="epoch", ylabel="accuracy, %", title=f"held-out digits: {accuracy:.1%}", ylim=(80, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(output / ".learning-curve.png", dpi=120)
    (output / ".learning-curve.png").replace(picture)
    pyplot.close(figure)
    print(f"\nThe audit, formula by formula:  {report}\nThe learning curve:             {picture}")
    return int(any(document.says_no() for document in documents))


def _layers() -> str:
    sizes = [str(entry[1]) if isinstance(entry, tuple) else entry for entry in LAYERS]
    return "64-" + "-".join(sizes)
