"""The error that a user can mend, and the hint that goes with it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
  """A mistake the user can fix: one line with the file or key, the reason and the remedy."""


def nearest(name: object, names: Iterable[object]) -> str:
  """A hint in brackets: the most similar of `names`, or all of them if none is similar and they are few."""
  known = [str(n) for n in names]
  matches = difflib.get_close_matches(str(name), known, 1, 0.6)
  matches = matches or [n for n in known if n.rpartition('.')[2] == str(name).rpartition('.')[2]]
  if matches:
    return f' (did you mean {matches[0]}?)'
  return f' (known: {", ".join(known)})' if 0 < len(known) <= 12 else ''
