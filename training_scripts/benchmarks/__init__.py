"""Measures hf_multitask side by side with its peers; see README.md."""
