"""The folders below a folder."""

import os
import pathlib
from collections.abc import Callable, Iterator

HIDDEN = ('.', '@')  # beginnings of names of folders; the latter are of network drives


def folders(root: pathlib.Path, leave_out: Callable[[str], bool] = lambda name: False
            ) -> Iterator[tuple[pathlib.Path, list[str]]]:
  """(folder, names of the files in it, sorted) of `root` and all below it, linked ones too, each once.

  Hidden folders, and those of names to `leave_out`, are not looked into.
  """
  seen = set()
  for top, below, files in os.walk(root, followlinks=True):
    if (real := os.path.realpath(top)) in seen:  # a link back to where it lies
      below.clear()
      continue
    seen.add(real)
    # Sorted, so that of two links to one folder the first counts on every machine.
    below[:] = sorted(name for name in below if not name.startswith(HIDDEN) and not leave_out(name))
    yield pathlib.Path(top), sorted(files)
