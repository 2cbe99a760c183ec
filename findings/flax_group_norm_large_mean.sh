#!/usr/bin/env bash
# flax 0.12.8 (jax 0.10.2), linen.GroupNorm, LayerNorm and BatchNorm by default: features whose mean is large beside
# their spread.
# Expected: a normalised group has a standard deviation of 1, whatever its mean.
# Seen: the variance is E[x^2] - E[x]^2 in float32, which cancels: with mean 1000 and spread 0.5 the result is far from
# 1. With use_fast_variance=False it is 1.
# Exit status 0: still so. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 flax==0.12.8
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PY'
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp


def deviation(mean, **settings):
  x = mean + 0.5 * jax.random.normal(jax.random.key(0), (1, 16, 16, 8))
  norm = nn.GroupNorm(2, use_scale=False, use_bias=False, **settings)
  return float(jnp.std(norm.apply({}, x)))


usual, large = deviation(0.), deviation(1000.)
safe = deviation(1000., use_fast_variance=False)
print(f'standard deviation after GroupNorm: mean 0: {usual:.3f}; mean 1000: {large:.3f}; mean 1000 without the fast '
      f'variance: {safe:.3f}')
sys.exit(not (abs(usual - 1) < 0.01 and abs(safe - 1) < 0.01 and abs(large - 1) > 0.1))
PY
