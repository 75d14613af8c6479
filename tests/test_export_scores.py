"""Batches of the scored split are joined as the Trainer joins them."""

import numpy as np
import pytest
from transformers.trainer_pt_utils import nested_concat

from hf_multitask.exporting.scores import joined


@pytest.mark.parametrize("shapes", [[(3,), (2,)], [(3, 4), (2, 4)], [(3, 4), (1, 7), (2, 2)], [(3, 4, 2), (2, 5, 2)]])
@pytest.mark.parametrize("padding", [0, -100])
def test_joined_batches_are_those_of_nested_concat(shapes, padding):
    numbers = np.random.default_rng(0)
    batches = [numbers.integers(0, 9, shape) for shape in shapes]
    expected = batches[0]
    for batch in batches[1:]:
        expected = nested_concat(expected, batch, padding_index=padding)
    np.testing.assert_array_equal(joined(batches, padding), expected)
