"""Wrong versions of true formulas, made by changing one thing in their LaTeX; and versions that are still true.

Which is which is not said here: `independent` works both out. `topics` has the formulas beyond the fully-connected
network.
"""

import re
from collections.abc import Iterator

TRUE = [
    r"w_{ij}^{new} = w_{ij}^{old} - \eta \frac{\partial E}{\partial w_{ij}}",
    r"Error = (output - target)^2",
    r"a_j^l = \sigma \left(\sum_k w_{jk}^l a_k^{l-1} + b_j^l \right)",
    r"a^l = \sigma \left(w^l a^{l-1} + b^l \right)",
    r"z_j^l = \sum_k w_{jk}^l a_k^{l-1} + b_j^l",
    r"\delta_j^l \equiv \frac{\partial C}{\partial z_j^l}",
    r"\delta_j^L = \frac{\partial C}{\partial a_j^L} \sigma'(z_j^L)",
    r"C = \frac{1}{2} \sum_j (y_j - a_j^L)^2 \quad \longrightarrow \quad \partial C / \partial a_j^L = (a_j^L - y_j)",
    r"\delta^L = \nabla_a C \odot \sigma'(z^L)",
    r"\begin{bmatrix} 1 \\ 2 \end{bmatrix} \odot \begin{bmatrix} 3 \\ 4 \end{bmatrix} "
    r"= \begin{bmatrix} 1 * 3 \\ 2 * 4 \end{bmatrix} = \begin{bmatrix} 3 \\ 8 \end{bmatrix}",
    r"(s \odot t)_j = s_j t_j",
    r"\delta^L = (a^L - y) \odot \sigma'(z^L)",
    r"\delta^l = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^l)",
    r"\delta^{l-1} = \left((w^l)^T \delta^l \right) \odot \sigma'(z^{l-1})",
    r"\delta_j^l = \sum_k w_{kj}^{l+1} \delta_k^{l+1} \sigma'(z_j^l)",
    r"\frac{\partial C}{\partial b_j^l} = \delta_j^l",
    r"\frac{\partial C}{\partial w_{jk}^l} = a_k^{l-1} \delta_j^l",
    r"\frac{\partial C}{\partial w} = a_{\text{in}} \delta_{\text{out}}",
    r"z^l = w^l a^{l-1} + b^l",
    r"z^{x,l} = w^l a^{x,l-1} + b^l \text{ and } a^{x,l} = \sigma(z^{x,l}).",
    r"\delta^{x,L} = \nabla_a C_x \odot \sigma'(z^{x,L}).",
    r"\delta^{x,l} = ((w^{l+1})^T \delta^{x,l+1}) \odot \sigma'(z^{x,l}).",
    r"w^l \rightarrow w^l - \frac{\eta}{m} \sum_x \delta^{x,l} (a^{x,l-1})^T",
    r"b^l \rightarrow b^l - \frac{\eta}{m} \sum_x \delta^{x,l}",
    r"b^l = b^l - \alpha \frac{\partial C}{\partial b^l}",
    r"w^l = w^l - \alpha \frac{\partial C}{\partial w^l}",
]

# Kind, what is found, and what takes its place: one occurrence at a time.
CHANGES = [
    ("sign", r"(?<=[\w}\])] )\+ ", "- "),
    ("sign", r"(?<=[\w}\])] )- (?!1\b|2\b)", "+ "),
    ("sign", r"(?<=\{)-(?=\d|\\frac|\\mathbf|z\})", ""),
    ("sign", r"(?<== )-(?=[a-zA-Z(\\])", ""),
    ("layer", r"\^\{l\+1\}", "^{l}"),
    ("layer", r"\^\{l-1\}", "^{l}"),
    ("layer", r"\^l(?!\w)", "^{l-1}"),
    ("layer", r"\^l(?!\w)", "^{l+1}"),
    ("layer", r"\^L(?!\w)", "^{L-1}"),
    ("layer", r"x,l-1", "x,l"),
    ("layer", r"x,l(?![-+])", "x,l+1"),
    ("layer", r"x,L", "x,L-1"),
    ("transpose", r"\((w\^(?:l|\{l\+1\}))\)\^T", r"\1"),
    ("transpose", r"\((a\^\{(?:x,)?l-1\})\)\^T", r"\1"),
    ("transpose", r"\\left\((a\^\{l-1\}) \\right\)\^T", r"\1"),
    ("transpose", r"(?<=\\left\()w\^l", r"(w^l)^T"),
    ("transpose", r"(?<= )w\^l(?= a)", r"(w^l)^T"),
    ("index", r"_\{jk\}", "_{kj}"),
    ("index", r"_\{kj\}", "_{jk}"),
    ("index", r"_\{ij\}", "_{ji}"),
    ("index", r"_\{i,j\}", "_{j,i}"),
    ("index", r"_\{u,v\}(?=\^l)", "_{v,u}"),
    ("index", r"_\{1,2\}", "_{2,1}"),
    ("index", r"_\{1,1\}", "_{2,2}"),
    ("index", r"_j(?!\w)", "_k"),
    ("index", r"_k(?!\w)", "_j"),
    ("index", r"\(i-1\) \+ u", r"(i-1) + v"),
    ("index", r"s \(i-1\)", r"(i-1)"),
    ("slope", r"\\sigma'", r"\\sigma"),
    ("slope", r"\\sigma(?!'|_)", r"\\sigma'"),
    ("slope", r"g\((y_i\^l)\)'", r"g(\1)"),
    ("argument", r"(?<=\\sigma'\()z", "a"),
    ("argument", r"(?<=\\sigma\()z", "a"),
    ("argument", r"(?<=g\()y(?=_i)", "z"),
    ("argument", r"(?<=g\()y(?=_i)", r"\\hat{z}"),
    ("argument", r"(?<=\\log\()y", "1 - y"),
    ("argument", r"(?<=\\log\()1 - y", "y"),
    ("argument", r"(?<=\\sigma\()z", "-z"),
    ("product", r" \\odot ", " "),
    ("product", r"(?<=\)\^T) (?=\\delta)", r" \\odot "),
    ("product", r" \* (?=[\\a-z])", r" \\odot "),
    ("half turn", r"\\text\{rot\}180\((w\^l)\)", r"\1"),
    ("half turn", r"\\text\{rot\}180 \\left\((.*) \\right\)", r"\1"),
    ("half turn", r"\* (w\^l)", r"* \\text{rot}180(\1)"),
    ("half turn", r"\* (\\delta\^l)", r"* \\text{rot}180(\1)"),
    ("order", r"a\^\{l-1\} \* \\delta\^l", r"\\delta^l * a^{l-1}"),
    ("order", r"y - t", "t - y"),
    ("order", r"1 - y", "y - 1"),
    ("quantity", r"(?<!\{)\\delta", "a"),
    ("quantity", r"(?<![\\a-z])a(?=[_^])", r"\\delta"),
    ("quantity", r"(?<![\\a-z])a(?=[_^])", "z"),
    ("quantity", r"\\partial z", r"\\partial a"),
    ("quantity", r"\\partial a", r"\\partial z"),
    ("quantity", r"\\partial \\hat\{z\}", r"\\partial z"),
    ("quantity", r"(?<!\\partial )\\hat\{z\}", "z"),
    ("quantity", r"(?<!\\partial )(?<!\{)(?<!\w)z(?=_i)", "y"),
    ("quantity", r"\\nabla_a", r"\\nabla_z"),
    ("quantity", r"delta(?=\^\{l-1\} \\odot)", r"\\delta"),
    ("quantity", r"\\mu_B\^l(?=\))", r"\\beta^l"),
    ("quantity", r"\(\\sigma_B\^2\)\^l(?= \+)", r"\\mu_B^l"),
    ("quantity", r"\\log\(y\)", r"\\log(z)"),
    ("quantity", r"(?<=[ (-])t(?= |\))", "y"),
    ("quantity", r"\\alpha", r"\\gamma"),
    ("quantity", r"\\gamma(?= v)", r"\\alpha"),
    ("quantity", r"\\nabla C", "w"),
    ("quantity", r"v_\{t-1\}", "v_t"),
    ("quantity", r"(?<=- )v_t", "v_{t-1}"),
    ("quantity", r"\\lambda", r"\\gamma"),
    ("quantity", r"\\arg\\max", r"\\arg\\min"),
    ("quantity", r"\\max", r"\\min"),
    ("swapped gradients", r"\\partial b", r"\\partial w"),
    ("swapped gradients", r"\\partial w", r"\\partial b"),
    ("swapped gradients", r"(?<=\{\\partial )\\gamma\^l", r"\\beta^l"),
    ("swapped gradients", r"(?<=\{\\partial )\\beta\^l", r"\\gamma^l"),
    ("swapped gradients", r"(?<=\{\\partial )\\mu_B", r"\\beta"),
    ("swapped gradients", r"\\partial \\sigma_B\^2\}", r"\\partial \\mu_B}"),
    ("swapped gradients", r"\{\\partial C\}\{\\partial \\mu_B\}", r"{\\partial C}{\\partial \\sigma_B^2}"),
    ("factor", r"(?<!\(t = )(?<== )(?!\\begin|-|\d)", "2 "),
    ("factor", r"\\frac\{1\}\{2\}", r"\\frac{1}{3}"),
    ("factor", r"\\frac\{-1\}\{2\} ", "- "),
    ("factor", r"\\frac\{(-?)2\}\{m\}", r"\\frac{\1 1}{m}"),
    ("factor", r"\\mathbf\{2\}", r"\\mathbf{1}"),
    ("factor", r"\\frac\{\\mathbf\{1\}\}\{m\}", r"\\mathbf{1}"),
    ("factor", r"\\frac\{\\eta\}\{m\}", r"\\frac{\\eta}{2 m}"),
    ("factor", r"\\frac\{1\}\{s\^2\}", r"\\frac{1}{s}"),
    ("factor", r"\\frac\{1\}\{s\^2\} ", ""),
    ("factor", r"\\frac\{\\lambda\}\{m\}", r"\\frac{\\lambda}{2 m}"),
    ("factor", r"\\frac\{\\lambda\}\{m\}", r"\\frac{\\lambda}{m^2}"),
    ("factor", r"(?<=[-+] )\\alpha ", ""),
    ("factor", r"(?<== )\\gamma v", "v"),
    ("mean", r"\\frac\{\\eta\}\{m\}", r"\\eta"),
    ("mean", r"\\frac\{1\}\{m\} ", ""),
    ("mean", r"\\sum_\{i=1\}\^m", r"\\frac{1}{m} \\sum_{i=1}^m"),
    ("mean", r"\\sum_\{u,v\}", r"\\frac{1}{m} \\sum_{u,v}"),
    ("term", r"\\sum_[kxj] ", ""),
    ("term", r"\\sum_\{i=1\}\^m", ""),
    ("term", r"\\sum_\{u,v\} ", ""),
    ("exponent", r"(?<!_B)\^2(?!\w)", ""),
    ("exponent", r"(?<!_B)\^2(?!\w)", "^3"),
    ("exponent", r"-\\frac\{3\}\{2\}", r"-\\frac{1}{2}"),
    ("exponent", r"-\\frac\{3\}\{2\}", r"-\\frac{5}{2}"),
    ("exponent", r"-\\frac\{3\}\{2\}", r"\\frac{3}{2}"),
    ("exponent", r"\\sqrt\{(\(\\sigma_B\^2\)\^l \+ \\varepsilon|\\sigma_B\^2 \+ \\varepsilon)\}", r"{(\1)}"),
    ("exponent", r"e\^\{-z\}", "e^{-2 z}"),
    ("number", r"(?<=[{ ])8(?= )", "7"),
    ("number", r"(?<=t = \\mathbf\{)1", "0"),
    ("number", r"(?<=t = \\mathbf\{)0", "1"),
    ("number", r"(?<=& )0|0(?= &)", r"\\delta_{i,j}^l"),
    ("sample", r"C_x", "C"),
]  # fmt: skip


def mutants(true: list[str] = TRUE) -> Iterator[tuple[str, str, str]]:
    """(kind, the true formula, the changed one), each once."""
    seen = set(true)
    for original in true:
        for kind, changed in (*changes(original), *shortened(original)):
            if changed not in seen:
                seen.add(changed)
                yield kind, original, changed


def changes(original: str) -> Iterator[tuple[str, str]]:
    for kind, pattern, change in CHANGES:
        for found in re.finditer(pattern, original):
            yield kind, original[: found.start()] + found.expand(change) + original[found.end() :]


def shortened(original: str) -> Iterator[tuple[str, str]]:
    """Without one of the terms, or one of the factors between elementwise products, on its right side."""
    left, mark, right = original.partition(" = ")
    if not mark or " = " in right or "rightarrow" in right:
        return
    for kind, between in (("term", r" [-+] "), ("factor", r" \\odot ")):
        places = [m for m in re.finditer(between, right) if depth(right[: m.start()]) == 0]
        for m in places:
            end = next((n.start() for n in places if n.start() > m.start()), len(right))
            if right[: m.start()] + right[end:] != left:
                yield f"{kind} dropped", left + mark + right[: m.start()] + right[end:]
        if places:
            yield f"{kind} dropped", left + mark + right[places[0].end() :]


def depth(text: str) -> int:
    """How many brackets are open at the end of it."""
    text = text.replace(r"\left(", "(").replace(r"\right)", ")").replace(r"\{", "(").replace(r"\}", ")")
    return sum(text.count(c) for c in "({[") - sum(text.count(c) for c in ")}]")


EQUIVALENT = [
    r"a_j^l = \sigma \left(b_j^l + \sum_k a_k^{l-1} w_{jk}^l \right)",
    r"a_i^l = \sigma\left(\sum_j w_{ij}^l a_j^{l-1} + b_i^l\right)",
    r"a^{l+1} = \sigma(w^{l+1} a^l + b^{l+1})",
    r"z_j^{l+1} = b_j^{l+1} + \sum_i w_{ji}^{l+1} a_i^l",
    r"z_j^l = \sum_k (w_{jk}^l a_k^{l-1}) + b_j^l",
    r"z^l - b^l = w^l a^{l-1}",
    r"z^l = w^l \sigma(z^{l-1}) + b^l",
    r"z^{l+1} = w^{l+1} \sigma(w^l a^{l-1} + b^l) + b^{l+1}",
    r"(z^l)^T = (a^{l-1})^T (w^l)^T + (b^l)^T",
    r"\frac{\partial C}{\partial z_j^l} = \delta_j^l",
    r"\delta_j^L = \sigma'(z_j^L) \frac{\partial C}{\partial a_j^L}",
    r"\delta^L = \sigma'(z^L) \odot \nabla_a C",
    r"\delta^l = \sigma'(z^l) \odot ((w^{l+1})^T \delta^{l+1})",
    r"\delta^l = (w^{l+1})^T \delta^{l+1} \odot \sigma'(z^l)",
    r"(\delta^l)^T = ((\delta^{l+1})^T w^{l+1}) \odot (\sigma'(z^l))^T",
    r"\delta_j^l = \sigma'(z_j^l) \sum_i \delta_i^{l+1} w_{ij}^{l+1}",
    r"\delta_j^l = \sum_k w_{kj}^{l+1} \delta_k^{l+1} \sigma'(z_j^l)",
    r"\delta^{l-2} = ((w^{l-1})^T (((w^l)^T \delta^l) \odot \sigma'(z^{l-1}))) \odot \sigma'(z^{l-2})",
    r"\delta^{l+1} = ((w^{l+2})^T \delta^{l+2}) \odot \sigma'(w^{l+1} a^l + b^{l+1})",
    r"\delta^{L-1} = ((w^L)^T (\nabla_a C \odot \sigma'(z^L))) \odot \sigma'(z^{L-1})",
    r"\frac{\partial C}{\partial a_k^{l-1}} = \sum_j w_{jk}^l \delta_j^l",
    r"\frac{\partial C}{\partial b^l} = \delta^l",
    r"\frac{\partial C}{\partial w^l} = \delta^l (a^{l-1})^T",
    r"\frac{\partial C}{\partial w_{jk}^l} = \frac{\partial C}{\partial b_j^l} a_k^{l-1}",
    r"\frac{\partial C}{\partial w_{jk}^l} = \delta_j^l \sigma(z_k^{l-1})",
    r"(\frac{\partial C}{\partial w^l})^T = a^{l-1} (\delta^l)^T",
    r"w^l \rightarrow w^l - \eta \frac{1}{m} \sum_x \delta^{x,l} (a^{x,l-1})^T",
    r"w_{jk}^l \rightarrow w_{jk}^l - \frac{\eta}{m} \sum_x a_k^{x,l-1} \delta_j^{x,l}",
    r"b_j^l \rightarrow b_j^l - \sum_x \frac{\eta \delta_j^{x,l}}{m}",
    r"b^l \rightarrow -\frac{\eta}{m} \sum_x \delta^{x,l} + b^l",
    r"2 \delta_j^l = 3 \frac{\partial C}{\partial b_j^l} - \delta_j^l",
    r"\mathbf{a}^{(l)} = \sigma(\mathbf{W}^{(l)} \mathbf{a}^{(l-1)} + \mathbf{b}^{(l)})",
    r"\boldsymbol{\delta}^{[l]} = \left(({\mathbf{w}}^{[l+1]})^\top \boldsymbol{\delta}^{[l+1]}\right) "
    r"\circ \sigma^{\prime}(z^{[l]})",
]

CHAIN_RULE = [
    r"\frac{\partial C}{\partial w_{jk}^l} = \frac{\partial C}{\partial z_j^l} "
    r"\frac{\partial z_j^l}{\partial w_{jk}^l} = \delta_j^l a_k^{l-1}",
    r"\delta_j^l = \frac{\partial C}{\partial a_j^l} \frac{\partial a_j^l}{\partial z_j^l}",
    r"\delta_j^l = \sum_k \frac{\partial C}{\partial z_k^{l+1}} \frac{\partial z_k^{l+1}}{\partial z_j^l} "
    r"= \sum_k \frac{\partial z_k^{l+1}}{\partial z_j^l} \delta_k^{l+1}",
    r"\frac{\partial z_k^{l+1}}{\partial z_j^l} = w_{kj}^{l+1} \sigma'(z_j^l)",
    r"\frac{\partial z_j^l}{\partial b_j^l} = 1",
    r"\frac{\partial z_k^{l+1}}{\partial a_j^l} = w_{kj}^{l+1}",
]

WRONG_CHAIN_RULE = [
    r"\frac{\partial z_k^{l+1}}{\partial z_j^l} = w_{jk}^{l+1} \sigma'(z_j^l)",
    r"\frac{\partial z_k^{l+1}}{\partial z_j^l} = w_{kj}^{l+1} \sigma'(z_k^{l+1})",
    r"\frac{\partial z_j^l}{\partial w_{jk}^l} = a_k^l",
    r"\frac{\partial z_j^l}{\partial b_k^l} = 1",
    r"\delta_j^l = \frac{\partial C}{\partial z_k^{l+1}} \frac{\partial z_k^{l+1}}{\partial z_j^l}",
    r"\frac{\partial C}{\partial b_j^l} = \frac{\partial C}{\partial a_j^l} \frac{\partial z_j^l}{\partial b_j^l}",
]

EQUIVALENT_FOR_QUADRATIC = [
    r"C = \sum_j \frac{(a_j^L - y_j)^2}{2} \quad \Rightarrow \quad \frac{\partial C}{\partial a_j^L} = -(y_j - a_j^L)",
    r"C = \frac12 \sum_i y_i^2 - \sum_i y_i a_i^L + \frac{1}{2} \sum_i (a_i^L)^2",
    r"\delta^L = a^L \odot \sigma'(z^L) - y \odot \sigma'(z^L)",
    r"\nabla_a C = a^L - y",
]
