"""Rows from file to file, at any size: read chunk by chunk, answered part by part, joined in the end."""
