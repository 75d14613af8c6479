"""Raw rows -> batches."""
