"""Attention in pieces, for as many tokens as a large crop has: exact, and only a slice of the scores in memory.

diffusers' own memory-efficient attention counts keys twice where their number is no multiple of its piece (16,384): at
1344 px, with 28,224 tokens, it is wrong.
"""

import jax
import jax.numpy as jnp

SCORES = 2**28  # bytes of scores in memory at a time


def attend(query, key, value, scores=SCORES):
  """softmax(query key^T / sqrt(D)) value.

  Args:
    query `[B, Q, H, D]`, key and value `[B, K, H, D]`: H heads of D features.
    scores: bytes that the scores may take at a time; more are made slice by slice of the queries, and once more in a
      backward pass, which would else keep all slices.

  Returns `[B, Q, H, D]`, of the dtype of `value`. Scores and their softmax are float32.
  """
  batch, queries, heads, features = query.shape
  # Heads beside the batch: the products below are then of matrices that lie in one piece, which CPUs do far faster.
  query, key, value = (of.swapaxes(1, 2).reshape(batch * heads, -1, features) for of in (query, key, value))
  query = query * features**-0.5
  row = batch * heads * key.shape[1] * 4  # bytes of one query's scores
  pieces = -(-queries // max(1, scores // row))
  if pieces == 1:
    found = _attend(query, key, value)
  else:
    piece = -(-queries // pieces)
    padded = jnp.pad(query, [(0, 0), (0, pieces * piece - queries), (0, 0)])
    split = padded.reshape(-1, pieces, piece, features).swapaxes(0, 1)
    found = jax.lax.map(jax.checkpoint(lambda part: _attend(part, key, value)), split)  # [pieces, B H, piece, D]
    found = found.swapaxes(0, 1).reshape(-1, pieces * piece, features)[:, :queries]
  return found.reshape(batch, heads, queries, features).swapaxes(1, 2)


def _attend(query, key, value):
  logits = jnp.einsum('bqd,bkd->bqk', query, key, preferred_element_type=jnp.float32)
  # The sum divides what comes out, not the weights: a pass less over the scores.
  weights = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True)))
  found = jnp.einsum('bqk,bkd->bqd', weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
  return (found / jnp.sum(weights, -1, keepdims=True)).astype(value.dtype)
