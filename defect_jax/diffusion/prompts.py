"""The texts of a training."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from defect_jax.diffusion.templates import fill
from defect_jax.errors import UserError


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
