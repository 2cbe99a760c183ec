"""Scripts over many runs: studies, figures, benchmarks."""
