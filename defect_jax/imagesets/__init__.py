"""Image sets: made images, where each comes from, and whether that is sound."""
