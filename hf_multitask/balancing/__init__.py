"""The gradient of each task: seen, compared and combined."""
