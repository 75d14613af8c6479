"""From the inner products of the tasks' gradients to the factor of each gradient.

Letters of the shapes: T tasks. All are told a Gramian (T, T) in float64 whose diagonal has the mean 1, without a zero
on it, of at least two tasks, and return (T,) float64. Those whose paper averages gradients are scaled so that the
learning rate keeps the meaning it has for the sum of the tasks' losses.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

CAGRAD_RADIUS = 0.5
"""The radius c of CAGrad; among the paper's."""
NASH_REGULARISATION = 1e-4
"""Added to the diagonal, as torchjd does for UPGrad: gradients that cancel out would have infinite factors."""


def upgrad(gramian_TT: Tensor) -> Tensor:
    """Each gradient is projected onto those that lower no task's progress, and the projections are summed.

    The plain sum where no two gradients conflict. Quinton and Rey 2024, "Jacobian descent", by torchjd; its mean of
    the projections times T.
    """
    from torchjd.aggregation import UPGradWeighting

    weights_T: Tensor = UPGradWeighting()(gramian_TT)
    return len(gramian_TT) * weights_T


def pcgrad(gramian_TT: Tensor) -> Tensor:
    """From each gradient, what points against another is taken away, the others in random order; then they are summed.

    The plain sum where no two gradients conflict. Yu et al. 2020, by torchjd. It draws from torch's generator.
    """
    from torchjd.aggregation import PCGradWeighting

    weights_T: Tensor = PCGradWeighting()(gramian_TT)
    return weights_T


def imtl_g(gramian_TT: Tensor) -> Tensor:
    """The sum has the same projection onto every gradient's direction; the factors add up to T, and may be negative.

    Small gradients get large factors, so that the encoder's step is smaller than that of the sum where the norms
    differ much. Liu et al. 2021, by torchjd; its shares times T.
    """
    from torchjd.aggregation import IMTLGWeighting

    weights_T: Tensor = IMTLGWeighting()(gramian_TT)
    return len(gramian_TT) * weights_T


def mgda(gramian_TT: Tensor) -> Tensor:
    r"""T times the shortest vector in the convex hull of the gradients, $\min_{w \ge 0, \sum w = 1} w^\top G w$.

    It is near the smallest gradient, and 0 where no direction is good for all tasks: small by design. Désidéri 2012;
    Sener and Koltun 2018, whose MGDA-UB has the gradients of each text's embedding in place of the virtual layer's.
    Solved exactly, where their Frank-Wolfe iterations end at a tolerance.
    """
    from qpsolvers import solve_qp

    count = len(gramian_TT)
    gramian = _array(gramian_TT) + 1e-10 * np.eye(count)  # quadprog needs it to be definite
    shares = solve_qp(
        gramian, np.zeros(count), A=np.ones((1, count)), b=np.ones(1), lb=np.zeros(count), solver="quadprog"
    )
    if shares is None:
        raise FloatingPointError(f"MGDA must find weights, found none for the gradients' products {gramian.tolist()}.")
    return torch.from_numpy(count * np.clip(shares, 0.0, None))


def cagrad(gramian_TT: Tensor) -> Tensor:
    r"""The direction near the mean gradient $g_0$ that is best for the task it is worst for,

    $$ \max_d \min_t \langle g_t, d \rangle \;\text{ with }\; \lVert d - g_0 \rVert \le c \lVert g_0 \rVert, \qquad
       d = g_0 + \frac{c \lVert g_0 \rVert}{\lVert g_w \rVert} g_w, \quad
       w = \arg\min_{w \ge 0, \sum w = 1} \langle g_w, g_0 \rangle + c \lVert g_0 \rVert \lVert g_w \rVert, $$

    times $T / (1 + c)$, which makes it the plain sum where all gradients are equal; c = 0.5. It is 0 where $g_w$ is.
    Liu et al. 2021, "CAGrad", solved as in their code; torchjd's would bring cvxpy, and take milliseconds.
    """
    gramian = _array(gramian_TT)
    count = len(gramian)
    mean = np.full(count, 1 / count)
    radius = CAGRAD_RADIUS * _root(mean @ gramian @ mean)

    def objective(shares: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        products = gramian @ shares
        size = max(_root(shares @ products), 1e-12)
        return float(products @ mean) + radius * size, gramian @ mean + radius * products / size

    found = minimize(
        objective,
        mean,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 200},
    )
    size = _root(found.x @ gramian @ found.x)
    if size < 1e-4:
        return torch.zeros(count, dtype=torch.float64)
    return torch.from_numpy((mean + radius / size * found.x) * count / (1 + CAGRAD_RADIUS))


def nashmtl(gramian_TT: Tensor) -> Tensor:
    r"""The bargain in which all tasks gain alike, $G \alpha = 1 / \alpha$ elementwise, $\alpha > 0$.

    The encoder's gradient has the length that the sum of the tasks' would have if they were orthogonal,
    $\sum_t \lVert M_t \rVert^2$ its square, however long each is. Navon et al. 2022. The solution is unique, the
    minimum of the convex $\frac{1}{2} \alpha^\top G \alpha - \sum_t \log \alpha_t$, and found by damped Newton steps,
    in place of the paper's (and torchjd's) sequence of convex programs that starts at the last batch's result.
    """
    gramian = _array(gramian_TT) + NASH_REGULARISATION * np.eye(len(gramian_TT))
    alpha = 1 / np.sqrt(np.diag(gramian) * len(gramian))
    for _ in range(100):
        slope = gramian @ alpha - 1 / alpha
        step = np.linalg.solve(gramian + np.diag(alpha**-2), slope)
        decrement = _root(slope @ step)
        alpha = alpha - step / (1 + decrement)  # the function is self-concordant: this stays positive, and converges
        if decrement < 1e-12:
            break
    return torch.from_numpy(alpha)


def _root(square: Any) -> float:
    """The square root of what rounding may have made negative."""
    return math.sqrt(max(float(square), 0.0))


def _array(gramian_TT: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = gramian_TT.numpy()
    return found
