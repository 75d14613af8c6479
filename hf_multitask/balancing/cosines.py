"""The cosines between the tasks' gradients."""

from collections.abc import Sequence
from itertools import combinations

from torch import Tensor


def pair_cosines(names: Sequence[str], gradients_TP: Tensor, group: str = "") -> dict[str, float]:
    r"""By `conflict/<a>|<b>`, or `conflict/<a>|<b>/<group>`, the cosine of each pair's gradients,

    $$ \cos(a, b) = \frac{\langle g_a, g_b \rangle}{\lVert g_a \rVert \, \lVert g_b \rVert}. $$

    The pairs are in the order of the names. One is left out if a gradient of it is zero or has a number that is not
    finite.

    Args:
        names: Those of the T tasks.
        gradients_TP: A gradient of each.
        group: The name of the parameters that the gradients are of, if they are of some.
    """
    norms_T = gradients_TP.norm(dim=1)
    units_TP = gradients_TP / norms_T[:, None]  # first, so that no product of tiny numbers is lost
    cosines_TT = (units_TP @ units_TP.T).clamp(-1.0, 1.0).tolist()
    usable = [place for place, norm in enumerate(norms_T.tolist()) if 0.0 < norm < float("inf")]
    end = f"/{group}" if group else ""
    return {f"conflict/{names[a]}|{names[b]}{end}": cosines_TT[a][b] for a, b in combinations(usable, 2)}
