"""Wrong versions of true formulas, made by changing one thing in their LaTeX; and versions that are still true."""

import re

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

# what is found, and what takes its place, one occurrence at a time
CHANGES = [
    ("sign", r"(?<=[\w}\]) ]) \+ ", " - "),
    ("sign", r"(?<=[\w}\]) ]) - (?!1\b|2\b)", " + "),
    ("layer", r"\^\{l\+1\}", "^{l}"),
    ("layer", r"\^\{l-1\}", "^{l}"),
    ("layer", r"\^l(?!\w)", "^{l-1}"),
    ("layer", r"\^l(?!\w)", "^{l+1}"),
    ("layer", r"\^L(?!\w)", "^{L-1}"),
    ("layer", r"x,l-1", "x,l"),
    ("layer", r"x,l(?![-+])", "x,l+1"),
    ("layer", r"x,L", "x,L-1"),
    ("transpose", r"\(w\^\{?l(?:\+1)?\}?\)\^T", lambda m: m[0][1:-3]),
    ("transpose", r"\(a\^\{x,l-1\}\)\^T", "a^{x,l-1}"),
    ("transpose", r"(?<== )\\sigma \\left\(w\^l", r"\\sigma \\left((w^l)^T"),
    ("transpose", r"(?<=[= ]) ?w\^l(?= a)", r" (w^l)^T"),
    ("index", r"_\{jk\}", "_{kj}"),
    ("index", r"_\{kj\}", "_{jk}"),
    ("index", r"_\{ij\}", "_{ji}"),
    ("index", r"_j(?!\w)", "_k"),
    ("index", r"_k(?!\w)", "_j"),
    ("slope", r"\\sigma'", r"\\sigma"),
    ("slope", r"\\sigma(?!')", r"\\sigma'"),
    ("argument", r"(?<=\\sigma'\()z", "a"),
    ("argument", r"(?<=\\sigma\()z", "a"),
    ("product", r" \\odot ", " "),
    ("product", r"(?<=\)\^T) (?=\\delta)", r" \\odot "),
    ("quantity", r"\\delta", "a"),
    ("quantity", r"(?<![\\a-z])a(?=[_^])", r"\\delta"),
    ("quantity", r"\\partial z", r"\\partial a"),
    ("quantity", r"\\partial a", r"\\partial z"),
    ("quantity", r"\\nabla_a", r"\\nabla_z"),
    ("quantity", r"\\partial b", r"\\partial w"),
    ("factor", r"(?<== )(?!\\begin)", "2 "),
    ("factor", r"\\frac\{1\}\{2\}", r"\\frac{1}{3}"),
    ("factor", r"\\frac\{\\eta\}\{m\}", r"\\eta"),
    ("factor", r"\\frac\{\\eta\}\{m\}", r"\\frac{\\eta}{2 m}"),
    ("term", r" \+ b(_j)?\^l", ""),
    ("term", r"\\sum_k ", ""),
    ("term", r"\\sum_x ", ""),
    ("term", r"\\sum_j ", ""),
    ("term", r" \\odot \\sigma'\([^)]*\)", ""),
    ("power", r"\)\^2", ")"),
    ("number", r"(?<=[{ ])8(?= )", "7"),
    ("sample", r"C_x", "C"),
]


def mutants():
    """(kind, the true formula, the changed one), each once."""
    seen = set(TRUE)
    for original in TRUE:
        for kind, pattern, change in CHANGES:
            for found in re.finditer(pattern, original):
                new = change(found) if callable(change) else re.sub(pattern, change, found[0]) or change
                if found[0] == "":
                    new = change
                elif isinstance(change, str):
                    new = change.replace("\\\\", "\\")
                changed = original[: found.start()] + new + original[found.end() :]
                if changed not in seen:
                    seen.add(changed)
                    yield kind, original, changed


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
