"""Photos: decoding, regions, parts by group, tfds builders, batches."""
