"""Weights -> what people read and use."""
