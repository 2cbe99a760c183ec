"""flax.linen modules: keywords in, no config, no optimizer."""
