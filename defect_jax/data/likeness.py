"""Photos of one part, found by their likeness, and copies of one file.

Two photos are of one part if they agree in what sets each apart from the other photos of its class: their thumbnails
without slow changes of light, standardised per pixel over the class, correlate once aligned. What all photos of a
product share, and where they differ anyway, counts for nothing.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import threadpoolctl
from scipy import ndimage, sparse
from scipy.cluster import hierarchy
from scipy.spatial import distance

from defect_jax.data import parts, thumbnails
from defect_jax.errors import UserError

# Of magnetic_tile's good photos 0.45 joins three quarters of the pairs of one group and 8 of 10,000 of two groups.
AGREE = 0.45
_FEW = 8  # photos of a class, below which what is usual is taken from the photos of all classes
_REACH = 2  # px of a thumbnail that two photos of a part may be shifted by, 3 % of the side
_BLUR = 2.0  # px, the sigma of what counts as slow
_CANDIDATE = 0.25  # correlation at half the size above which a pair is compared
_MOST = 64  # candidates of a photo
_BLOCK = 512  # photos compared with all others at a time: bounds memory
_SHOWN = 4  # clusters that a note lists


def groups(records: Sequence[parts.Record]) -> tuple[list[parts.Record], list[str]]:
  """The records with a new `group`, the file of the first photo of the same part, and notes for the user.

  Photos that can't be read, and those that are like no other, are groups of their own. Raises UserError for exact
  copies in two classes, see same_files.
  """
  first = {record.file: record.file for record in records}
  for cluster in (*alike(records), *same_files(records)):
    names = sorted({first[record.file] for record in cluster})
    first |= {file: names[0] for file, name in first.items() if name in names}
  grouped = [dataclasses.replace(record, group=first[record.file]) for record in records]
  return grouped, _notes(grouped)


def clusters(records: Iterable[parts.Record]) -> list[tuple[str, ...]]:
  """The files of each group that has several, in the order of the records."""
  files = collections.defaultdict(list)
  for record in records:
    files[record.group].append(record.file)
  return [tuple(names) for names in files.values() if len(names) > 1]


def same_files(records: Iterable[parts.Record]) -> list[list[parts.Record]]:
  """Records whose files are the same, byte for byte, as lists of two and more.

  Raises UserError where they are of two classes. Files that can't be read are left out.
  """
  copies = [photos_of for same_size in _by(records, lambda record: record.photo.stat().st_size)
            for photos_of in _by(same_size, lambda record: hashlib.sha256(record.photo.read_bytes()).digest())]
  for copied in copies:
    other = next((record for record in copied if record.label != copied[0].label), None)
    if other:
      raise UserError(f'data: {copied[0].file} ({copied[0].label}) and {other.file} ({other.label}) are the same '
                      'photo, byte for byte, which cannot be of two classes; remove one of them')
  return copies


def across_classes(records: Sequence[parts.Record]) -> list[tuple[str, str]]:
  """Pairs of files of two classes that show the same part, the first pair of each two classes and group."""
  found = {}
  for cluster in alike(records):
    for one, other in itertools.combinations(cluster, 2):
      if one.label != other.label:
        found.setdefault((one.label, other.label, cluster[0].file), (one.file, other.file))
  return [*found.values()]


def _notes(records):
  """A line for each class of which photos are of one part."""
  notes = []
  for label in sorted({record.label for record in records}):
    members = [record for record in records if record.label == label]
    shown = [_names(cluster) for cluster in clusters(members)]
    if shown:
      more = f', and {len(shown) - _SHOWN} more' if len(shown) > _SHOWN else ''
      count = len({record.group for record in members})
      notes.append(f'{len(members)} photos of {label} show {count} different parts, by their likeness: '
                   f'{"; ".join(shown[:_SHOWN])}{more}; photos of one part are kept together. If that is wrong, say so '
                   'in an index.csv (path, group)')
  return notes


def _names(files):
  """'ng/1.png to 5.png (5)'."""
  return f'{files[0]} to {files[-1].rpartition("/")[2]} ({len(files)})'


def _by(records, key):
  """Lists of the records that a key agrees for, of two and more."""
  same = collections.defaultdict(list)
  for record in records:
    try:
      same[key(record)].append(record)
    except OSError:
      continue
  return [together for together in same.values() if len(together) > 1]


@threadpoolctl.threadpool_limits.wrap(1, 'blas')  # several threads a product of this size took 7 times as long
def alike(records: Sequence[parts.Record]) -> list[list[parts.Record]]:
  """Records that show one part, as lists of two and more, whatever their classes."""
  small = thumbnails.load(records)
  read = [number for number, thumbnail in enumerate(small) if thumbnail is not None]
  if len(read) < _FEW:  # what is usual cannot be known
    return []
  features = _deviations(np.stack([small[number] for number in read]), [records[number].label for number in read])
  return [[records[read[number]] for number in cluster] for cluster in _clusters(features)]


def _deviations(small, labels):
  """`[n, s, s]`: what sets each photo apart from those of its class, in standard deviations."""
  small = small.astype(np.float32)
  small = np.log(small / np.maximum(small.mean((1, 2), keepdims=True), 1e-6) + 0.05)
  small -= ndimage.gaussian_filter(small, (0, _BLUR, _BLUR))
  labels, everything = np.array(labels), small.copy()
  for label in np.unique(labels):
    members = labels == label
    usual = everything[members] if members.sum() >= _FEW else everything
    spread = usual.std(0)
    small[members] = (small[members] - usual.mean(0)) / (spread + 0.1 * np.median(spread) + 1e-6)
  return small


def _clusters(features):
  """Sorted numbers of photos that are alike on average (average linkage): chains from photo to photo do not count.

  A pair that average linkage joins has a chain of pairs above AGREE, so that each part of the graph of these pairs can
  be looked at by itself.
  """
  centred = _inner(features, (0, 0), _REACH)
  edges = [(one, other) for one, candidates in enumerate(_candidates(features))
           for other in candidates[_agreement(features[one], centred[candidates]) >= AGREE]]
  ones, others = np.array(edges, int).reshape(-1, 2).T
  graph = sparse.coo_array((np.ones(len(edges)), (ones, others)), shape=(len(features),) * 2)
  _, component = sparse.csgraph.connected_components(graph, directed=False)
  order = np.argsort(component, kind='stable')
  for members in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
    if len(members) > 1:
      yield from _linked(features, centred[members], members)


def _linked(features, centred, members):
  agreement = np.stack([_agreement(features[one], centred) for one in members])
  apart = np.maximum(1 - np.maximum(agreement, agreement.T), 0)  # of photos of the same pixels it may be below 0
  np.fill_diagonal(apart, 0)
  tree = hierarchy.linkage(distance.squareform(apart, checks=False), 'average')
  number = hierarchy.fcluster(tree, 1 - AGREE, 'distance')
  return [members[number == one] for one in np.unique(number) if np.sum(number == one) > 1]


def _candidates(features):
  """For each photo those after it that it may be alike: its nearest at half the size."""
  half = features.reshape(len(features), thumbnails.SIDE // 2, 2, thumbnails.SIDE // 2, 2).mean((2, 4))
  centred, shifted = _inner(half, (0, 0), 1), [_inner(half, shift, 1) for shift in _shifts(1)]
  for start in range(0, len(half), _BLOCK):
    near = functools.reduce(np.maximum, (centred[start:start + _BLOCK] @ other[start:].T for other in shifted))
    for row, values in enumerate(near):
      later = np.flatnonzero(values[row + 1:] >= _CANDIDATE) + row + 1
      yield start + later[np.argsort(-values[later], kind='stable')[:_MOST]]


def _agreement(photo, centred):
  """Correlation of a photo at its best shift with others."""
  shifted = np.concatenate([_inner(photo[None], shift, _REACH) for shift in _shifts(_REACH)])
  return (centred @ shifted.T).max(1)


def _shifts(reach):
  return itertools.product(range(-reach, reach + 1), repeat=2)


def _inner(features, shift, margin):
  """The photos without a margin, shifted within it, as vectors of mean 0 and norm 1, or 0."""
  side = features.shape[1] - 2 * margin
  top, left = (margin + along for along in shift)
  inner = features[:, top:top + side, left:left + side].reshape(len(features), side**2)
  inner = inner - inner.mean(1, keepdims=True)
  return inner / (np.linalg.norm(inner, axis=1, keepdims=True) + 1e-6)
