"""The photos of a classifier: real ones by class and part, held-out ones among them, and made ones beside them."""

import contextlib
import dataclasses
import math

import numpy as np

from defect_jax.config import UserError
from defect_jax.data import dataset, parts, prepared
from defect_jax.data.dataset import InMemory
from defect_jax.data.photos import PhotoError
from defect_jax.tasks.classifier import made_images
from defect_jax.tasks.classifier.lots import DEFECT, GOOD, label_of

_FEW = 5  # workpieces of a class in a measured part, below which a note says so


@dataclasses.dataclass(frozen=True)
class Material:
  """What a classifier is trained and measured on.

  classes: names, good first. validation may be empty, as are all but test where a trained classifier is measured.
  skipped: photos. lines: for the user, those on skipped photos too.
  """
  classes: list
  real: InMemory
  validation: InMemory
  test: InMemory
  made: InMemory
  skipped: list
  lines: list

  @property
  def train(self):
    return InMemory.joined([self.real, self.made])

  @property
  def seen(self):
    """SHA-256 of what is trained on, or chosen by, and of what such images were made from."""
    return frozenset(sha for photos in (self.real, self.made, self.validation) for sha in photos.sha256 if sha)


def open_material(config):
  """Material of a config. Raises UserError for what cannot be trained on, before anything is written."""
  listed = [_Listed(config, number, source, path) for number, (source, path) in enumerate(real_sets(config.data))]
  names = _defects(config.data.defects, [record for of in listed for record in of.records])
  classes = [GOOD, DEFECT] if config.data.merge else [GOOD, *names]
  part, notes, opened = config.measure.part, [], []
  tested = [pair for of in listed for pair in of.test(names, part)]
  chosen = [] if config.classifier else [pair for of in listed for pair in of.pool(names)]
  _check_memory(config, sum(2 * photos.nbytes for _, photos in tested + chosen))  # before they are read
  test = _once(_numbered(tested, classes, part, opened), part, notes)
  notes += few_workpieces(test, classes)
  if config.classifier:
    none = test.only([])
    return _material(classes, none, none, test, none, opened, notes)
  # Those of dev and of final, whichever is measured on: a later run may measure this classifier on the other.
  apart = {sha: file for of in listed for sha, file in of.apart()}
  pool = _without_copies(_once(_numbered(chosen, classes, 'pool', opened), 'pool', notes), apart, notes)
  _check_classes(pool, classes, 'pool')
  held = hold_out(pool.labels, pool.groups, config.validation.share, config.seed)
  real, validation = pool.only(~held), pool.only(held)
  records = [record for of in listed for record in of.records]
  # Of two sets with a file of one name the held-out one counts: better a refusal than a leak.
  part_of = {record.file: record.part for record in sorted(records, key=lambda record: record.part != 'pool')}
  mates = [pair for of in listed for pair in of.mates(set(validation.groups))]
  held_out = made_images.Held(set(validation.files).union(file for _, file in mates),
                              set(validation.sha256).union(sha for sha, _ in mates))
  made = made_images.load(config, real, classes, names, part_of, apart, held_out)
  _check_memory(config, sum(2 * of.nbytes for of in (real, validation, test, made)))
  return _material(classes, real, validation, test, made, [*opened, made], notes)


def _material(classes, real, validation, test, made, opened, notes):
  skipped = [*dict.fromkeys(photo for of in opened for photo in of.skipped)]
  return Material(classes, real, validation, test, made, skipped, [*dict.fromkeys([*dataset.lines(*opened), *notes])])


def real_sets(data):
  """Pairs (source, path) of every real set that a config names."""
  return [(data.source, data.path), *(('elpv', None) if name == 'elpv' else ('folder', name) for name in data.more)]


def hold_out(labels, groups, share, seed):
  """Which photos early stopping looks at, bool `[N]`: about `share` of each class, whole groups, drawn by `seed`.

  The rarest class chooses first. UserError where a class has too few groups to be on both sides.
  """
  held, groups = set(), np.array(groups)
  if not share:
    return np.zeros(len(labels), bool)
  groups_of = {label: set(groups[labels == label].tolist()) for label in np.unique(labels)}
  for label in sorted(groups_of, key=lambda label: int(np.sum(labels == label))):
    own = groups[labels == label]
    order = sorted(groups_of[label], key=lambda group: parts.digest(f'{seed}/validation/{group}'))
    wanted, have = max(1, math.floor(share * len(own))), int(np.isin(own, list(held)).sum())
    for group in order:
      if have >= wanted:
        break
      # A group that would leave nothing of some class to train on stays.
      if group not in held and not any(of <= held | {group} for of in groups_of.values()):
        held.add(group)
        have += int(np.sum(own == group))
    if not have:
      raise UserError(f'validation.share = {share:g}: a class has {len(own)} photos of {len(order)} groups, too few to '
                      'hold some out and train on others; set it to 0, or take more photos')
  return np.isin(groups, list(held))


class _Listed:
  """The records of one real set, and how they are opened."""

  def __init__(self, config, number, source, path):
    """number: of the set among those that the config names."""
    self._config, self._number, self._source, self._path = config, number, source, path
    self.records = dataset.list_photos(source, path, cell_type=config.data.cell_type)
    self._sha256 = {}  # of files that were opened

  def pool(self, names):
    """Pairs (self, Dataset) of the pool's good photos and of few-shot defective ones, as far as there are any."""
    data = self._config.data
    for wanted, count in (((GOOD,), data.good), (names, data.few_shot)):
      if self._has(wanted, 'pool'):
        yield self, self._open(wanted, 'pool', count)

  def test(self, names, part):
    """The pair of all photos of the classes in a part, if there are any."""
    if self._has((GOOD, *names), part):
      yield self, self._open((GOOD, *names), part, 0)

  def apart(self):
    """Pairs (SHA-256, file) of all photos outside the pool."""
    return self._digests(record for record in self.records if record.part != 'pool')

  def mates(self, groups):
    """Pairs (SHA-256, file) of the pool's photos of some groups of all sets, whether they were drawn or not."""
    return self._digests(record for record in self.records
                         if record.part == 'pool' and self.group(record.group) in groups)

  def _digests(self, records):
    """Pairs (SHA-256, file); a photo that cannot be read can be no copy of one that is trained on."""
    for record in records:
      with contextlib.suppress(PhotoError):
        yield self._sha256.get(record.file) or prepared.photo_sha256(record), record.file

  def _has(self, wanted, part):
    return any(record.label in wanted and record.part == part for record in self.records)

  def _open(self, wanted, part, count):
    here = dataset.labels_of(self.records)
    changes = {'source': self._source, 'path': self._path, 'part': part, 'few_shot': count,
               'defects': [name for name in wanted if name in here]}
    photos = dataset.load(records=self.records, seed=self._config.seed, **self._config.data.to_dict() | changes)
    self._sha256 |= zip(photos.files, photos.sha256, strict=True)
    return photos

  def group(self, name):
    """The name of a group among those of all sets."""
    # Groups of two sets that share a name are two groups, wherever the sets lie: what is held out follows from these.
    return f'{self._source} {self._number}: {name}' if self._number else f'{self._source}: {name}'


def _defects(wanted, records):
  """Names of the wanted classes of defects, all of them where none are named."""
  defective = [record for record in records if record.label != GOOD]
  dataset.check_classes(wanted, defective)
  if not defective:
    raise UserError('data: the photos are all good, so there is nothing to tell apart; add photos of a defect')
  return list(wanted) or dataset.labels_of(defective)


def _numbered(chosen, classes, part, opened):
  """One Dataset with numbered classes of pairs of _Listed and Dataset, which are added to `opened`; UserError where a
  class has no photos."""
  if not chosen:
    raise UserError(f'data: the part {part} has no photos of these classes; add photos, or name others')
  opened += [photos for _, photos in chosen]
  joined = InMemory.joined([
      InMemory(photos.images(), np.array([label_of(name, classes) for name in photos.labels], np.int32), photos.files,
               [*map(listed.group, photos.groups)], photos.sha256) for listed, photos in chosen])
  _check_classes(joined, classes, part)
  return joined


def few_workpieces(test, classes):
  """Lines about classes whose intervals can hardly tell how much other workpieces would differ."""
  for label, name in enumerate(classes):
    count = len({test.groups[row] for row in np.flatnonzero(test.labels == label)})
    if count < _FEW:
      yield f'the tested photos of {name} show {count} workpiece{"s" * (count > 1)}: intervals are too narrow'


def _once(photos, part, notes):
  """The photos without photos that are in it already, under another name or in another set."""
  first = {}
  for row, sha in enumerate(photos.sha256):
    first.setdefault(sha, row)
  again = [row for row, sha in enumerate(photos.sha256) if first[sha] != row]
  if again:
    notes.append(f'{len(again)} photos of the part {part} are in it twice and count once; such as '
                 f'{photos.files[again[0]]}, which is {photos.files[first[photos.sha256[again[0]]]]}')
  return photos.only(sorted(first.values()))


def _without_copies(pool, apart, notes):
  """The photos of the pool without photos that stand in dev or final under another name."""
  known = np.array([of in apart for of in pool.sha256])
  if known.any():
    row = int(np.argmax(known))
    notes.append(f'{known.sum()} photos of the pool are of dev or final too, under another name, so are not trained '
                 f'on; such as {pool.files[row]}, which is {apart[pool.sha256[row]]}')
  return pool.only(~known)


def _check_classes(photos, classes, part):
  missing = [name for label, name in enumerate(classes) if not np.any(photos.labels == label)]
  if missing:
    raise UserError(f'data: the part {part} has no photos of {", ".join(missing)}; leave the class out of data.defects '
                    'or add photos')


def _check_memory(config, nbytes):
  size = nbytes / 2**20
  if size > config.data.resident_mb:
    raise UserError(f'data.resident_mb = {config.data.resident_mb:g}: the photos take {size:.0f} MB; raise it, or take '
                    'fewer photos (data.good) or a smaller data.size')
