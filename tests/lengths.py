"""Rows of which only the lengths are known, for the tests of how batches are made up."""

import numpy as np


class Lengths:
    """They come in a random order."""

    def __init__(self, lengths):
        self.tokens = self.lengths = np.asarray(lengths)

    def __len__(self):
        return len(self.lengths)

    def drawn_tokens(self, seed, epoch, num_epochs):
        return int(self.tokens.sum())

    def order(self, seed, epoch, num_epochs):
        return np.random.default_rng([seed, epoch]).permutation(len(self))

    def identity(self, num_epochs):
        return {}


def lognormal(count: int, longest: int | None = None) -> Lengths:
    """Lengths as sentences have them: mean 24, sigma 0.6."""
    draws = np.random.default_rng(0).lognormal(np.log(24) - 0.6**2 / 2, 0.6, count)
    return Lengths(np.clip(draws.round(), 1, longest).astype(int))
