"""The texts of a training, and a CLIP tokenizer of their own: every byte, and each of their words as one token."""

import collections
import itertools
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from defect_jax.diffusion.templates import fill
from defect_jax.errors import UserError

LENGTH = 77  # tokens of Stable Diffusion's texts
_LETTERS = [*range(33, 127), *range(161, 173), *range(174, 256)]
# What stands for the 256 bytes in a vocabulary of byte-pair encoding (Radford et al. 2019, section 2.2).
_SYMBOLS = [chr(code) for code in _LETTERS] + [chr(256 + place) for place in range(256 - len(_LETTERS))]
_END = '</w>'
START, STOP = '<|startoftext|>', '<|endoftext|>'


class Texts:
  """Every text of a training; the last one is empty, which stands for a text left out."""

  def __init__(self, templates: Sequence[str], classes: Sequence[str]):
    """Raises UserError for what is no template."""
    self._templates, self._classes = templates, classes
    self.all = [*(fill(template, name) for name in classes for template in templates), '']

  def check(self, ids: Int[np.ndarray, 'p t']) -> None:
    """Raises UserError if texts of two classes have the same token ids: the model could not tell these apart."""
    count, first = len(self._templates), {}
    for row, text in enumerate(ids[:-1].tolist()):
      name = self._classes[row // count]
      other = first.setdefault(tuple(text), name)
      if other != name:
        raise UserError(f'prompts: {self.all[row]!r} is the same to the model for {other} as for {name}, since it sees '
                        f'the first {ids.shape[1] - 2} tokens alone; put {{defect}} further ahead, or raise '
                        'model.text.length')

  def rows(self, labels: Sequence[str]) -> Int[np.ndarray, 'n']:
    """The text of each label, a row of `all`; templates take turns."""
    count = len(self._templates)
    return np.int32([self._classes.index(label) * count + row % count for row, label in enumerate(labels)])


def write(folder: str | os.PathLike, texts: Iterable[str] = (), length: int = LENGTH) -> int:
  """Writes the files of a tokenizer for texts of `length` tokens: their words become tokens, others are read by bytes.

  Returns the number of tokens; START and STOP are the last.
  """
  merges = _merges({word for text in texts for word in re.findall('[a-z]+', text.lower())})
  words = [*_SYMBOLS, *(f'{symbol}{_END}' for symbol in _SYMBOLS), *(''.join(pair) for pair in merges), START, STOP]
  (Path(folder) / 'vocab.json').write_text(json.dumps({word: place for place, word in enumerate(words)}))
  (Path(folder) / 'merges.txt').write_text('\n'.join(['#version: 0.2', *(' '.join(pair) for pair in merges), '']))
  settings = {'tokenizer_class': 'CLIPTokenizer', 'model_max_length': length, 'bos_token': START, 'eos_token': STOP,
              'unk_token': STOP, 'pad_token': STOP}
  (Path(folder) / 'tokenizer_config.json').write_text(json.dumps(settings))
  return len(words)


def _merges(words):
  """Pairs of tokens in the order in which byte-pair encoding joins them until every word is one token.

  The most frequent pair is joined first (Sennrich et al. 2016, algorithm 1), of equals the first by the alphabet. Not
  by the library `tokenizers`: it breaks ties by the age of tokens, which would give saved pipelines' words other ids.
  """
  split, merges = {word: [*word[:-1], word[-1] + _END] for word in sorted(words)}, []
  while pairs := collections.Counter(pair for parts in split.values() for pair in itertools.pairwise(parts)):
    best = min(pairs, key=lambda pair: (-pairs[pair], pair))
    merges.append(best)
    split = {word: _joined(parts, best) for word, parts in split.items()}
  return merges


def _joined(parts, pair):
  joined = []
  for part in parts:
    if joined and (joined[-1], part) == pair:
      joined[-1] += part
    else:
      joined.append(part)
  return joined
