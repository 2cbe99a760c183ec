"""The code of Label Studio's brushes: the RGBA levels of a photo's pixels, packed by @thi.ng/rle-pack.

Bits: 32 of how many levels there are, 5 of how many bits a level has (less 1), 4 times 4 of how many a length has (less
1). Then chunks: one bit whether a level repeats, 2 of the kind of length, the length (less 1), the level or levels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

_HEAD = 32 + 5 + 4 * 4


def checked(code: Sequence[int], size: tuple[int, int]) -> bytes:
  """A brush's code, given as numbers. Raises ValueError if it is not of a photo of this size, (height, width)."""
  data = bytes(code)
  if len(data) * 8 < _HEAD or int.from_bytes(data[:4], 'big') != 4 * size[0] * size[1]:
    raise ValueError(f'a brush is of {int.from_bytes(data[:4], "big") // 4} px, its photo {size[1]} x {size[0]} px')
  return data


def decode(code: bytes, size: tuple[int, int]) -> UInt8[np.ndarray, 'h w']:
  """The alpha levels of a brush's code. Raises ValueError for a damaged one."""
  bits, place = np.unpackbits(np.frombuffer(code, np.uint8)), 0

  def take(count):
    nonlocal place
    place += count
    if place > len(bits):
      raise ValueError('a brush ends too early')
    return int(np.packbits(np.pad(bits[place - count:place], (-count % 8, 0))).tobytes().hex(), 16)
  total, word = take(32), take(5) + 1
  lengths = [take(4) + 1 for _ in range(4)]
  if total != 4 * size[0] * size[1] or word != 8:
    raise ValueError(f'a brush has {total} levels of {word} bits')
  out, at = np.zeros(total, np.uint8), 0
  while at < total:
    repeats, length = take(1), take(lengths[take(2)]) + 1
    if at + length > total:
      raise ValueError('a brush covers more than its photo')
    if repeats:
      out[at:at + length] = take(8)
    else:
      place += 8 * length
      if place > len(bits):
        raise ValueError('a brush ends too early')
      out[at:at + length] = np.packbits(bits[place - 8 * length:place])
    at += length
  return out.reshape(*size, 4)[..., 3]
