"""The model. This folder travels inside every checkpoint: standard library, torch and transformers only."""
