"""Configuration file and flags -> settings of a run."""
