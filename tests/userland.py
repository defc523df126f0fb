"""Definitions that a user may write and that are not ours: what must derive, generate and run with no other line changed."""

from dataclasses import dataclass, field

import numpy as np

from derive.notation import (
    Abs,
    Max,
    MaxOver,
    Min,
    Sum,
    System,
    cases,
    exp,
    indices,
    log,
    otherwise,
    scalars,
    size_of,
    sqrt,
    system,
    tanh,
    tensors,
)  # fmt: skip

n, m, i, j, k, q, r, c, d, h, o, p, u, v = indices("n m i j k q r c d h o p u v")
a, b, e, f, g, s, t, w, x, y, z, C = tensors("a b e f g s t w x y z C")
gamma, beta, mu, var, z_hat = tensors("gamma beta mu var z_hat")
query, key, value, label, table = tensors("query key value label table")
epsilon, slope, temperature = scalars("epsilon slope temperature")


@dataclass
class Case:
    """A system, sizes to try it at, and tensors whose values are not just any real numbers."""

    system: System
    sizes: dict[str, int]
    positive: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()  # positive, adding up to one along the last axis
    integers: dict[str, int] = field(default_factory=dict)  # names of integer tensors, and below what
    between: dict[str, tuple[float, float]] = field(default_factory=dict)
    slow: bool = False

    @property
    def name(self) -> str:
        return self.system.name

    def values(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Values for inputs, parameters and targets."""
        found = {}
        for tensor in (*self.system.inputs, *self.system.parameters, *self.system.targets):
            name = tensor.base.name
            shape = tuple(self.sizes[size_of(i).name] if i.is_Symbol else 1 for i in tensor.indices)
            array = random.standard_normal(shape)
            if name in self.positive or name in self.shares:
                array = np.abs(array) + 0.1
            if name in self.shares:
                array /= array.sum(-1, keepdims=True)
            if name in self.integers:
                array = random.integers(0, self.integers[name], shape)
            if name in self.between:
                low, high = self.between[name]
                array = random.uniform(low, high, shape)
            found[name] = array
        return found


CASES: list[Case] = []


def case(of: System, sizes: dict[str, int], **more) -> None:
    CASES.append(Case(of, sizes, **more))


# Normalisation --------------------------------------------------------------------------------------------------------

with system("layer_norm", inputs=[x[n, k]], parameters=[gamma[k], beta[k]], outputs=[y[n, k]]) as layer_norm:
    layer_norm.mu[n] = Sum(x[n, k], k) / size_of(k)
    layer_norm.var[n] = Sum((x[n, k] - layer_norm.mu[n]) ** 2, k) / size_of(k)
    layer_norm.x_hat[n, k] = (x[n, k] - layer_norm.mu[n]) / sqrt(layer_norm.var[n] + 1e-5)
    layer_norm.y[n, k] = gamma[k] * layer_norm.x_hat[n, k] + beta[k]
case(layer_norm, {"N": 3, "K": 4})

with system(
    "batch_norm", inputs=[z[m, c]], parameters=[gamma[c], beta[c]], outputs=[y[m, c]], settings={epsilon: 1e-5}
) as batch_norm:
    batch_norm.mu[c] = Sum(z[m, c], m) / size_of(m)
    batch_norm.var[c] = Sum((z[m, c] - batch_norm.mu[c]) ** 2, m) / size_of(m)
    batch_norm.z_hat[m, c] = (z[m, c] - batch_norm.mu[c]) / sqrt(batch_norm.var[c] + epsilon)
    batch_norm.y[m, c] = gamma[c] * batch_norm.z_hat[m, c] + beta[c]
case(batch_norm, {"M": 4, "C": 3})

with system("rms_norm", inputs=[x[n, k]], parameters=[gamma[k]], outputs=[y[n, k]]) as rms_norm:
    rms_norm.y[n, k] = gamma[k] * x[n, k] / sqrt(Sum(x[n, k] ** 2, k) / size_of(k) + epsilon)
rms_norm.settings = {epsilon: 1e-6}
case(rms_norm, {"N": 3, "K": 4})

# Attention, embedding, recurrence -------------------------------------------------------------------------------------

with system("attention", inputs=[query[n, q, d], key[n, r, d], value[n, r, v]], outputs=[y[n, q, v]]) as attention:
    attention.s[n, q, r] = Sum(query[n, q, d] * key[n, r, d], d) / sqrt(size_of(d))
    attention.e[n, q, r] = exp(attention.s[n, q, r])
    attention.t[n, q] = Sum(attention.e[n, q, r], r)
    attention.p[n, q, r] = attention.e[n, q, r] / attention.t[n, q]
    attention.y[n, q, v] = Sum(attention.p[n, q, r] * value[n, r, v], r)
case(attention, {"N": 2, "Q": 2, "R": 3, "D": 3, "V": 2})

q2, q3 = indices("q2 q3")
with system(
    "self_attention", inputs=[x[n, q, k]], parameters=[w[d, k], g[d, k], f[v, k]], outputs=[y[n, q, v]]
) as self_attention:
    self_attention.a[n, q, d] = Sum(w[d, k] * x[n, q, k], k)
    self_attention.b[n, q, d] = Sum(g[d, k] * x[n, q, k], k)
    self_attention.c[n, q, v] = Sum(f[v, k] * x[n, q, k], k)
    self_attention.s[n, q, q2] = Sum(self_attention.a[n, q, d] * self_attention.b[n, q2, d], d) / sqrt(size_of(d))
    self_attention.e[n, q, q2] = exp(self_attention.s[n, q, q2])
    self_attention.t[n, q] = Sum(self_attention.e[n, q, q2], q2)
    self_attention.p[n, q, q2] = self_attention.e[n, q, q2] / self_attention.t[n, q]
    self_attention.y[n, q, v] = Sum(self_attention.p[n, q, q2] * self_attention.c[n, q2, v], q2)
case(self_attention, {"N": 2, "Q": 3, "K": 2, "D": 2, "V": 2})

with system("embedding", inputs=[label[n, p]], parameters=[table[v, k]], outputs=[y[n, p, k]]) as embedding:
    embedding.y[n, p, k] = table[label[n, p], k]
case(embedding, {"N": 2, "P": 3, "V": 4, "K": 2}, integers={"label": 4})

with system(
    "cell", inputs=[x[n, k], h_ := tensors("h")[n, j]], parameters=[w[j, k], f[j, i], b[j]], outputs=[y[n, j]]
) as cell:
    cell.y[n, j] = tanh(Sum(w[j, k] * x[n, k], k) + Sum(f[j, i] * tensors("h")[n, i], i) + b[j])
case(cell, {"N": 2, "K": 3, "J": 2, "I": 2})

# Several contractions in one layer ------------------------------------------------------------------------------------

with system("two_layers", inputs=[x[n, k]], parameters=[w[h, k], b[h], f[j, h], g[j]], outputs=[y[n, j]]) as two_layers:
    two_layers.a[n, h] = tanh(Sum(w[h, k] * x[n, k], k) + b[h])
    two_layers.y[n, j] = Sum(f[j, h] * two_layers.a[n, h], h) + g[j]
case(two_layers, {"N": 3, "K": 4, "H": 3, "J": 2})

with system("bilinear", inputs=[x[n, i]], parameters=[w[j, i, k]], outputs=[y[n, j]]) as bilinear:
    bilinear.y[n, j] = Sum(x[n, i] * w[j, i, k] * x[n, k], i, k)
case(bilinear, {"N": 2, "I": 3, "K": 3, "J": 2})

with system("two_inputs", inputs=[x[n, i], z[n, k]], parameters=[w[j, i, k]], outputs=[y[n, j]]) as two_inputs:
    two_inputs.y[n, j] = Sum(x[n, i] * w[j, i, k] * z[n, k], i, k)
case(two_inputs, {"N": 2, "I": 3, "K": 2, "J": 2})

with system("dense_squared", inputs=[a[n, k]], parameters=[w[j, k], b[j]], outputs=[z[n, j]]) as dense_squared:
    dense_squared.z[n, j] = Sum(w[j, k] ** 2 * a[n, k], k) + b[j]
case(dense_squared, {"N": 3, "K": 4, "J": 2})

with system(
    "scaled_dense", inputs=[a[n, k]], parameters=[w[j, k], b[j], s[j]], outputs=[z[n, j]], settings={slope: 0.5}
) as scaled_dense:
    scaled_dense.z[n, j] = slope * s[j] * Sum(w[j, k] * a[n, k], k) / sqrt(size_of(k)) + b[j]
case(scaled_dense, {"N": 3, "K": 4, "J": 2})

with system("gated", inputs=[x[n, k]], parameters=[w[j, k], f[j, k]], outputs=[y[n, j]]) as gated:
    gated.y[n, j] = Sum(w[j, k] * x[n, k], k) / (1 + exp(-Sum(f[j, k] * x[n, k], k)))
case(gated, {"N": 3, "K": 4, "J": 2})

with system("residual", inputs=[x[n, k]], parameters=[w[i, k]], outputs=[y[n, i]]) as residual:
    residual.y[n, i] = x[n, i] + Sum(w[i, k] * x[n, k], k)
case(residual, {"N": 3, "K": 3, "I": 3})

# Convolution and pooling ----------------------------------------------------------------------------------------------

with system("convolution", inputs=[x[n, c, p]], parameters=[w[o, c, u], b[o]], outputs=[z[n, o, i]]) as convolution:
    convolution.z[n, o, i] = Sum(w[o, c, u] * x[n, c, i + u], c, u) + b[o]
case(convolution, {"N": 2, "C": 2, "P": 5, "O": 2, "U": 3, "I": 3})

with system("strided", inputs=[x[n, c, p]], parameters=[w[o, c, u], b[o]], outputs=[z[n, o, i]]) as strided:
    strided.z[n, o, i] = Sum(w[o, c, u] * x[n, c, 2 * i + u - 1], c, u) + b[o]
case(strided, {"N": 2, "C": 2, "P": 6, "O": 2, "U": 3, "I": 3})

with system("dilated", inputs=[x[n, c, p]], parameters=[w[o, c, u]], outputs=[z[n, o, i]]) as dilated:
    dilated.z[n, o, i] = Sum(w[o, c, u] * x[n, c, i + 2 * u - 2], c, u)
case(dilated, {"N": 2, "C": 2, "P": 5, "O": 2, "U": 3, "I": 5})

with system("strided_dilated", inputs=[x[n, c, p]], parameters=[w[o, c, u]], outputs=[z[n, o, i]]) as strided_dilated:
    strided_dilated.z[n, o, i] = Sum(w[o, c, u] * x[n, c, 2 * i + 3 * u - 1], c, u)
case(strided_dilated, {"N": 2, "C": 1, "P": 8, "O": 2, "U": 3, "I": 4})

with system("delayed", inputs=[x[n, k]], outputs=[y[n, k]]) as delayed:
    delayed.y[n, k] = x[n, k] + x[n - 1, k] / 2
case(delayed, {"N": 4, "K": 2})

with system("differences", inputs=[x[n, k]], outputs=[y[n, k]]) as differences:
    differences.y[n, k] = (x[n, k] - x[n, k - 1]) ** 2
case(differences, {"N": 2, "K": 4})

with system("max_pooling", inputs=[x[n, c, p]], outputs=[y[n, c, i]]) as max_pooling:
    max_pooling.y[n, c, i] = MaxOver(x[n, c, 2 * i + u], (u, 2))
case(max_pooling, {"N": 2, "C": 2, "P": 6, "I": 3})

with system("overlapping_pooling", inputs=[x[n, c, p]], outputs=[y[n, c, i]]) as overlapping_pooling:
    overlapping_pooling.y[n, c, i] = MaxOver(x[n, c, 2 * i + u], (u, 3))
case(overlapping_pooling, {"N": 2, "C": 2, "P": 7, "I": 3})

with system("max_over_all", inputs=[x[n, k]], outputs=[y[n, 0]]) as max_over_all:
    max_over_all.y[n, 0] = MaxOver(x[n, k], k)
case(max_over_all, {"N": 3, "K": 4})

with system("mean_pooling", inputs=[x[n, c, p]], outputs=[y[n, c]]) as mean_pooling:
    mean_pooling.y[n, c] = Sum(x[n, c, p], p) / size_of(p)
case(mean_pooling, {"N": 2, "C": 2, "P": 4})

with system("pairs", inputs=[x[n, p]], outputs=[y[n, i]]) as pairs:
    pairs.y[n, i] = x[n, 2 * i] * x[n, 2 * i + 1]
case(pairs, {"N": 2, "P": 6, "I": 3})

with system("reversed", inputs=[x[n, p]], outputs=[y[n, p]]) as reversed_:
    reversed_.y[n, p] = x[n, size_of(p) - 1 - p]
case(reversed_, {"N": 2, "P": 4})

# Activations ----------------------------------------------------------------------------------------------------------


def activation(name: str, right, **more) -> None:
    with system(name, inputs=[z[n, j]], outputs=[a[n, j]], **more) as made:
        made.a[n, j] = right(z[n, j])
    case(made, {"N": 3, "J": 3})


activation("swish", lambda z: z / (1 + exp(-z)))
activation("swish_with_slope", lambda z: z / (1 + exp(-slope * z)), settings={slope: 1.5})
activation("mish", lambda z: z * tanh(log(1 + exp(z))))
activation("gelu", lambda z: z * (1 + tanh(sqrt(2 / 3.141592653589793) * (z + 0.044715 * z**3))) / 2)
activation("selu", lambda z: 1.0507 * cases((z, z > 0), (1.67326 * (exp(z) - 1), otherwise)))
activation("softsign", lambda z: z / (1 + Abs(z)))
activation("absolute", lambda z: Abs(z))
activation("relu_as_maximum", lambda z: Max(z, 0))
activation("clipped", lambda z: Min(Max(z, -1), 1))
activation("leaky_with_slope", lambda z: cases((z, z > 0), (slope * z, otherwise)), settings={slope: 0.1})
activation("log_sigmoid", lambda z: log(1 / (1 + exp(-z))))
activation("squareplus", lambda z: (z + sqrt(z**2 + 4)) / 2)
activation("gaussian", lambda z: exp(-(z**2)))
activation("cube", lambda z: z**3 / 3)
activation("hard_sigmoid", lambda z: Max(0, Min(1, z / 6 + 0.5)))
activation("tanh_by_exponentials", lambda z: (exp(z) - exp(-z)) / (exp(z) + exp(-z)))
activation("rational", lambda z: z / sqrt(1 + z**2))
activation("steep", lambda z: 1 / (1 + exp(-z / temperature)), settings={temperature: 0.5})

with system("softmax_in_one_line", inputs=[z[n, j]], outputs=[a[n, j]]) as softmax_in_one_line:
    softmax_in_one_line.a[n, j] = exp(z[n, j]) / Sum(exp(z[n, k]), (k, size_of(j)))
case(softmax_in_one_line, {"N": 2, "J": 3})

with system("log_softmax", inputs=[z[n, j]], outputs=[a[n, j]]) as log_softmax:
    log_softmax.a[n, j] = z[n, j] - log(Sum(exp(z[n, k]), (k, size_of(j))))
case(log_softmax, {"N": 2, "J": 3})

with system("softmax_with_temperature", inputs=[z[n, j]], outputs=[a[n, j]], settings={temperature: 2}) as softmax_t:
    softmax_t.a[n, j] = exp(z[n, j] / temperature) / Sum(exp(z[n, k] / temperature), (k, size_of(j)))
case(softmax_t, {"N": 2, "J": 3})

with system("log_sum_exp", inputs=[z[n, j]], outputs=[y[n, 0]]) as log_sum_exp:
    log_sum_exp.y[n, 0] = log(Sum(exp(z[n, j]), j))
case(log_sum_exp, {"N": 2, "J": 3})

with system("maxout", inputs=[z[n, j, k]], outputs=[a[n, j]]) as maxout:
    maxout.a[n, j] = MaxOver(z[n, j, k], k)
case(maxout, {"N": 2, "J": 2, "K": 3})

with system("prelu", inputs=[z[n, j]], parameters=[s[j]], outputs=[a[n, j]]) as prelu:
    prelu.a[n, j] = cases((z[n, j], z[n, j] > 0), (s[j] * z[n, j], otherwise))
case(prelu, {"N": 3, "J": 2})

# Costs ----------------------------------------------------------------------------------------------------------------


def cost(name: str, right, *, settings=None, **more) -> None:
    with system(name, inputs=[a[n, j]], targets=[y[n, j]], outputs=[C[n]], settings=settings) as made:
        made.C[n] = right(a, y)
    case(made, {"N": 2, "J": 3}, **more)


error = a[n, j] - y[n, j]
cost("huber", lambda a, y: Sum(cases((error**2 / 2, Abs(error) <= slope), (slope * (Abs(error) - slope / 2), otherwise)), j),
     settings={slope: 0.7})  # fmt: skip
cost("hinge", lambda a, y: Sum(Max(0, 1 - y[n, j] * a[n, j]), j))
cost("squared_hinge", lambda a, y: Sum(Max(0, 1 - y[n, j] * a[n, j]) ** 2, j))
cost("absolute_error", lambda a, y: Sum(Abs(error), j))
cost("poisson", lambda a, y: Sum(exp(a[n, j]) - y[n, j] * a[n, j], j), positive=("y",))
cost("distance", lambda a, y: sqrt(Sum(error**2, j)))
cost("root_mean_square", lambda a, y: sqrt(Sum(error**2, j) / size_of(j)))
cost("log_cosh", lambda a, y: Sum(log((exp(error) + exp(-error)) / 2), j))
cost("logit_cross_entropy", lambda a, y: Sum(log(1 + exp(a[n, j])) - y[n, j] * a[n, j], j), between={"y": (0, 1)})
cost(
    "focal", lambda a, y: Sum(-y[n, j] * (1 - a[n, j]) ** 2 * log(a[n, j]), j), between={"a": (0.1, 0.9)}, shares=("y",)
)
cost("kullback_leibler", lambda a, y: Sum(y[n, j] * log(y[n, j] / a[n, j]), j), shares=("a", "y"))
cost("negative_log_likelihood", lambda a, y: -Sum(y[n, j] * a[n, j], j), shares=("y",))
cost("cosine", lambda a, y: 1 - Sum(a[n, j] * y[n, j], j)
     / sqrt(Sum(a[n, j] ** 2, j) * Sum(y[n, j] ** 2, j)))  # fmt: skip
cost("log_softmax_cross_entropy",
     lambda a, y: -Sum(y[n, j] * (a[n, j] - log(Sum(exp(a[n, k]), (k, size_of(j))))), j), shares=("y",))  # fmt: skip
cost("largest_error", lambda a, y: MaxOver(Abs(error), j))

with system(
    "gaussian_likelihood", inputs=[mu[n, j], var[n, j]], targets=[y[n, j]], outputs=[C[n]]
) as gaussian_likelihood:
    gaussian_likelihood.C[n] = Sum(log(var[n, j]) / 2 + (y[n, j] - mu[n, j]) ** 2 / (2 * var[n, j]), j)
case(gaussian_likelihood, {"N": 2, "J": 2}, positive=("var",))

with system("sum_of_exponentials", inputs=[z[n, j]], outputs=[y[n, 0], x[n, j]]) as sum_of_exponentials:
    sum_of_exponentials.e[n, j] = exp(z[n, j])
    sum_of_exponentials.y[n, 0] = Sum(sum_of_exponentials.e[n, j], j)
    sum_of_exponentials.x[n, j] = sum_of_exponentials.e[n, j] * sum_of_exponentials.y[n, 0] + 1
case(sum_of_exponentials, {"N": 2, "J": 3})

with system("sum_inside_a_sum", inputs=[z[n, j, k]], outputs=[y[n, 0]]) as sum_inside_a_sum:
    sum_inside_a_sum.y[n, 0] = Sum(log(Sum(exp(z[n, j, k]), k)), j)
case(sum_inside_a_sum, {"N": 2, "J": 2, "K": 3})
