"""Photos of one part, found by their likeness, and copies of one file.

Two photos are of one part if they agree in what sets each apart from the other photos of its class: their thumbnails,
standardised per pixel over the class and with all frequencies weighing alike, correlate once aligned. What all photos
of a product share, and where they differ anyway, counts for nothing.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np
import threadpoolctl
from scipy import fft, ndimage, sparse
from scipy.cluster import hierarchy

from defect_jax.data import cache, parts, thumbnails
from defect_jax.errors import UserError

# 0.18 tells parts from one another where kinds of products, light, shifts and stripes are what most photos differ in.
AGREE = 0.18
_FORMAT = 1  # raise it with any change of what is found
_FEW = 8  # photos of a class, below which what is usual is taken from the photos of all classes
_REACH = 4  # px of a thumbnail that two photos of a part may be shifted by, 3 % of the side
_BLUR = 4.0  # px, the sigma of what counts as slow
_COARSER = 4  # times fewer pixels a side by which pairs are chosen that are compared
_CANDIDATE = 0.1  # correlation of these above which they are
_MOST = 128  # candidates of a photo
_BLOCK = 512  # photos compared with all others at a time: bounds memory
_SHOWN = 4  # clusters that a note lists


def groups(records: Sequence[parts.Record]) -> tuple[list[parts.Record], list[str]]:
  """The records with a new `group`, the file of the first photo of the same part, and notes for the user.

  Photos that can't be read, and those that are like no other, are groups of their own. Raises UserError for exact
  copies in two classes, see same_files.
  """
  first = {record.file: record.file for record in records}
  for cluster in alike(records):
    first |= dict.fromkeys((record.file for record in cluster), cluster[0].file)
  for copied in same_files(records):
    joined = {first[record.file] for record in copied}
    if len(joined) > 1:
      first |= {file: min(joined) for file, name in first.items() if name in joined}
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
  of_file = {name: record for record in records if (name := thumbnails.name_of(record))}
  known = [_FORMAT, [(name, record.label) for name, record in of_file.items()]]
  kept = cache.cache_folder() / 'likeness' / f'{hashlib.sha256(json.dumps(known).encode()).hexdigest()}.json'
  with contextlib.suppress(OSError, ValueError, KeyError):  # absent or damaged: found anew
    return [[of_file[name] for name in names] for names in json.loads(kept.read_text())]
  found = [[*names] for names in _found(of_file)]
  cache.keep(kept, json.dumps(found))
  return [[of_file[name] for name in names] for names in found]


def _found(of_file):
  """Names of thumbnails that are alike."""
  small = dict(zip(of_file, thumbnails.load([*of_file.values()]), strict=True))
  names = [name for name, thumbnail in small.items() if thumbnail is not None]
  if len(names) < _FEW:  # what is usual cannot be known
    return
  spectra = _spectra(np.stack([small[name] for name in names]), [of_file[name].label for name in names])
  for cluster in _clusters(spectra):
    yield [names[number] for number in cluster]


def _spectra(small, labels):
  """`[n, s, s / 2 + 1]`: Fourier transforms of what sets photos apart from those of their class, each of norm 1.

  Pixels are in standard deviations of the class, and all frequencies weigh alike, so that neither edges of the product
  nor stripes and gradients, which many photos share by chance, outweigh the marks of a part.
  """
  small = small.astype(np.float32)
  small = np.log(small / np.maximum(small.mean((1, 2), keepdims=True), 1e-6) + 0.05)
  small -= ndimage.gaussian_filter(small, (0, _BLUR, _BLUR))
  spectra, labels = np.empty((len(small), small.shape[1], small.shape[2] // 2 + 1), np.complex64), np.array(labels)
  for label in np.unique(labels):
    members = labels == label
    usual = small[members] if members.sum() >= _FEW else small
    spread = usual.std(0)
    spectra[members] = fft.rfft2((small[members] - usual.mean(0)) / (spread + 0.1 * np.median(spread) + 1e-6))
    power = np.mean(np.abs(spectra[members])**2, 0)
    spectra[members] /= np.sqrt(power + 0.01 * power.mean() + 1e-6)
  # Of a real image half of the columns are left out; Parseval's theorem counts them twice, but for two.
  squares = 2 * _energy(spectra) - _energy(spectra[..., [0, -1]])
  spectra /= (np.sqrt(squares) / small.shape[1] + 1e-6)[:, None, None]
  return spectra


def _energy(spectra):
  return np.linalg.norm(spectra.reshape(len(spectra), -1), axis=1)**2


def _clusters(spectra):
  """Sorted numbers of photos that are alike on average (average linkage): chains from photo to photo do not count.

  A pair that average linkage joins has a chain of pairs above AGREE, so that each part of the graph of these pairs can
  be looked at by itself. Pairs that are no candidates agree in nothing.
  """
  agreement = sparse.lil_array((len(spectra),) * 2, dtype=np.float32)
  for one, others in enumerate(_candidates(spectra)):
    agreement[one, others] = _agreement(spectra[one], spectra[others])
  agreement = agreement.tocsr()
  _, component = sparse.csgraph.connected_components(agreement >= AGREE, directed=False)
  order = np.argsort(component, kind='stable')
  for members in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
    if len(members) > 1:
      # Of photos of the same pixels rounding may say more than 1.
      apart = 1 - np.minimum(agreement[members][:, members].toarray()[np.triu_indices(len(members), 1)], 1)
      number = hierarchy.fcluster(hierarchy.linkage(apart, 'average'), 1 - AGREE, 'distance')
      yield from (own for one in np.unique(number) if len(own := members[number == one]) > 1)


def _candidates(spectra):
  """For each photo those after it that it may be alike: its nearest by their low frequencies."""
  side = thumbnails.SIDE // _COARSER
  rows = np.r_[:side // 2, -side // 2:0]
  coarse = fft.irfft2(spectra[:, rows, :side // 2 + 1])
  coarse /= np.linalg.norm(coarse, axis=(1, 2), keepdims=True) + 1e-6
  shifted = [np.roll(coarse, shift, (1, 2)).reshape(len(coarse), -1)
             for shift in itertools.product((0, 1, -1), repeat=2)]
  for start in range(0, len(coarse), _BLOCK):
    near = functools.reduce(np.maximum, (shifted[0][start:start + _BLOCK] @ other[start:].T for other in shifted))
    for row, values in enumerate(near):
      later = np.flatnonzero(values[row + 1:] >= _CANDIDATE) + row + 1
      yield start + later[np.argsort(-values[later], kind='stable')[:_MOST]]


def _agreement(spectrum, spectra):
  """Correlation of a photo with others at the best shift: their inverse Fourier transform at the shifts in reach."""
  side, shifts = len(spectrum), np.arange(-_REACH, _REACH + 1)
  rows = np.exp(2j * np.pi * np.outer(shifts, fft.fftfreq(side))).astype(np.complex64)
  columns = np.exp(2j * np.pi * np.outer(fft.rfftfreq(side), shifts)).astype(np.complex64)
  columns[1:-1] *= 2  # of a real image the other half is the same
  return (rows @ (spectra * spectrum.conj()) @ columns).real.max((1, 2)) / side**2
