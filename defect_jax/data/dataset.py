"""Opens the photos of a job: listed, chosen, prepared, and ready to be read at random."""

import numpy as np

from defect_jax.config import UserError, nearest
from defect_jax.data import parts, photos, prepared
from defect_jax.data.sources import elpv, folder

SOURCES = ('elpv', 'folder')
_LEAST_SEEN = 0.5  # of a marked defect; photos that show less are told of


class PhotoSet:
  """Prepared photos; `set[i]` is photo i, uint16 `[S, S, C]` over the full range.

  Attributes:
    shape: (N, S, S, C).
    files, classes, groups, sha256: a string a photo; files are relative to the set's folder.
    boxes: int64 `[N, 4]`, the square each image shows: left, top, width, height in pixels of the upright photo.
    notes: lines for the user: skipped photos, fewer photos than asked for.
  """

  def __init__(self, source, entries, notes):
    self._source = source
    self._rows = [row for row, entry in enumerate(entries) if not entry.reason]
    kept = [entries[row] for row in self._rows]
    self.files = [entry.file for entry in kept]
    self.classes = [entry.label for entry in kept]
    self.groups = [entry.group for entry in kept]
    self.sha256 = [entry.sha256 for entry in kept]
    self.boxes = np.array([entry.box for entry in kept], np.int64).reshape(-1, 4)
    self.notes = notes
    self.shape = (len(kept), *source.dataset_info.features['image'].shape)

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, index):
    return self._source[self._rows[index]]['image']

  @property
  def nbytes(self):
    """Bytes of all images as uint16; twice as many as float32."""
    return 2 * int(np.prod(self.shape, dtype=np.int64))

  def images(self, dtype=np.float32):
    """All images `[N, S, S, C]`: float32 in [0, 1], or uint16."""
    images = np.empty(self.shape, dtype)
    for row in range(len(self)):
      images[row] = self[row] if dtype == np.uint16 else as_float(self[row])
    return images


def as_float(images):
  """uint16 over the full range to float32 in [0, 1]; everybody converts by this one rounding."""
  return images.astype(np.float32) * np.float32(1 / 65535)


def mean_image(photos):
  """Mean `[S, S, C]`, float64, of a PhotoSet, photo by photo, since a set need not fit into memory."""
  return sum(as_float(image).astype(np.float64) for image in photos) / len(photos)


def list_photos(source, path=None, cell_type='mono'):
  """parts.Record of every photo; opens none. Arguments and errors as of open_set."""
  if source not in SOURCES:
    raise UserError(f'data.source: {source!r} is none of {", ".join(SOURCES)}')
  return elpv.list_photos(cell_type, path) if source == 'elpv' else folder.list_photos(path)


def open_set(*, source, path=None, part, classes=None, few_shot=None, seed=0, geometry, cell_type='mono',
             max_broken=0.01, cache=None):
  """Lists, chooses and prepares photos; nothing else of the set is decoded.

  Args:
    source: 'elpv' or 'folder'.
    path: the folder; for elpv only if the photos lie elsewhere than in the package.
    part: 'pool', 'dev' or 'final'.
    classes: names of the classes to take; None takes all.
    few_shot: how many photos to draw; None or 0 takes all.
    seed: of the draw.
    geometry: regions.Geometry.
    cell_type: 'mono', 'poly' or 'all', for elpv.
    max_broken: share of the chosen photos that may be unusable; they are skipped, with a note each.
    cache: folder of prepared photos, see prepared.prepare.

  Returns a PhotoSet, sorted by file. Raises UserError with one line for whatever the user can mend.
  """
  if part not in parts.PARTS:
    raise UserError(f'data.part: {part!r} is none of {", ".join(parts.PARTS)}')
  listed = list_photos(source, path, cell_type)
  chosen, notes = choose(listed, part, classes, few_shot, seed)
  sources, unreadable = _fingerprints(chosen)
  check_broken(unreadable, len(chosen), max_broken)
  if len(sources) < 2:
    raise UserError(f'data: only {len(sources)} of {len(chosen)} photos in part {part} can be read; at least 2 are '
                    'needed')
  builder = elpv.Elpv if source == 'elpv' else folder.Folder
  data, entries = prepared.prepare(builder, sources, geometry, cache)
  broken = unreadable + [(entry.file, entry.reason) for entry in entries if entry.reason]
  check_broken(broken, len(chosen), max_broken)
  notes += [f'skipped {file}: {reason}' for file, reason in broken]
  notes += _cut_off([entry for entry in entries if not entry.reason and entry.seen < _LEAST_SEEN], geometry)
  photo_set = PhotoSet(data, entries, notes)
  if len(photo_set) < 2:
    raise UserError(f'data: only {len(photo_set)} usable photo in part {part}; at least 2 are needed')
  return photo_set


def _cut_off(entries, geometry):
  """Notes of photos whose defect, as far as it is marked, lies mostly outside what is looked at."""
  if not entries:
    return []
  remedy = 'take a larger data.box' if geometry.region == 'box' else 'data.fit=pad shows all of a photo'
  return [f'{entries[0].file}: less than half of its marked defect lies in what is looked at '
          f'({len(entries)} such {"photo" if len(entries) == 1 else "photos"}); {remedy}']


def choose(listed, part, classes, few_shot, seed):
  """The records of a listing to use, sorted by file, and notes; arguments and errors as of open_set."""
  if classes is not None:
    _check_classes(listed, classes)
    listed = [record for record in listed if record.label in classes]
  in_part = {record.file: record for record in listed if record.part == part}
  what = 'photo' if classes is None else f'photo of {", ".join(classes)}'
  if len(in_part) < 2:
    raise UserError(f'data: {len(in_part) or "no"} {what} in part {part} ({len(listed)} in all parts); '
                    'at least 2 are needed')
  if few_shot == 1:
    raise UserError(f'data: 1 {what} in part {part} is asked for; at least 2 are needed')
  if not few_shot:
    return [in_part[file] for file in sorted(in_part)], []
  notes = []
  if few_shot > len(in_part):
    notes.append(f'data.few_shot asks for {few_shot}; part {part} has {len(in_part)}, all are used')
  return [in_part[file] for file in parts.choose_few(in_part.values(), few_shot, seed)], notes


def _check_classes(listed, classes):
  found = sorted({record.label for record in listed})
  if not classes:
    raise UserError(f'data.defects: names no class; the photos have {", ".join(found)}')
  for name in classes:
    if name not in found:
      raise UserError(f'data.defects: no class {name!r}; the photos have {", ".join(found)}{nearest(name, found)}')


def _fingerprints(chosen):
  sources, unreadable = [], []
  for record in chosen:
    try:
      sources.append(prepared.fingerprint(record))
    except photos.PhotoError as error:
      unreadable.append((record.file, error.reason))
  return sources, unreadable


def check_broken(broken, count, max_broken):
  """UserError where of `count` photos more than the share `max_broken` are among `broken`, pairs of file and reason."""
  if len(broken) > max_broken * count:
    file, reason = broken[0]
    others = f' (and {len(broken) - 1} more of {count} chosen photos)' if len(broken) > 1 else f' (1 of {count})'
    raise UserError(f'{file}: {reason}{others}; replace or remove it, or raise data.max_broken')
