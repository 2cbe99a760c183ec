"""The manifest of a made set: manifest.jsonl, a line per image that says where it comes from and how it was made."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from defect_jax.config import UserError
from defect_jax.runs.atomic import plain, write_atomic

NAME = 'manifest.jsonl'
PHOTOS = 'photos.json'
METHODS = ('vae', 'inpaint', 'cutpaste')
_FILES = ('file', 'mask', 'crop_file', 'difference_file')  # of the set itself
_ADDED = ('other_source', 'bits')  # keys that older sets lack
# What the values of these fields must be, in words, and the test of it.
_RULES: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (('file', 'label', 'config_hash'), 'a text', lambda value: isinstance(value, str) and value != ''),
    (('source_sha256', 'source_part', 'prompt', 'model', 'sampler'), 'a text or null',
     lambda value: isinstance(value, str | None)),
    (('filter',), 'an object or null', lambda value: isinstance(value, dict | None)),
    (('method',), f'one of {", ".join(METHODS)}', METHODS.__contains__),
    (('bits',), 'a whole number from 9 to 15 or null', lambda value: value is None or value in range(9, 16)),
    (('index', 'seed'), 'a whole number from 0 on', lambda value: type(value) is int and value >= 0),
    ((*_FILES, 'source', 'other_source'), 'a relative path without ..', lambda value: value is None or (
        isinstance(value, str) and value != '' and not value.startswith('/') and '..' not in value.split('/'))),
    (('crop', 'target'), '4 whole numbers', lambda value: value is None or (
        isinstance(value, tuple) and len(value) == 4 and all(type(side) is int for side in value))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
  """A made image; None where something does not apply to its method.

  The fields are the keys of a line, but for `label`, which is `class` there. `file`, `mask`, `crop_file` and
  `difference_file` are relative to the set, `source` and `other_source`, a second photo that a part of the image comes
  from, to the folder of the photos. Boxes are (left, top, width, height) in pixels of the source.
  `changed_outside_mask` is a number of pixels; `bits`, which only lines of such images have, how many bits the values
  of a 16-bit file take if fewer than 16. Raises ValueError for values that no image can have.
  """
  file: str
  label: str
  method: str
  index: int
  seed: int
  source: str | None = None
  source_sha256: str | None = None
  source_part: str | None = None
  mask: str | None = None
  crop: tuple[int, int, int, int] | None = None
  target: tuple[int, int, int, int] | None = None
  crop_file: str | None = None
  difference_file: str | None = None
  prompt: str | None = None
  model: str | None = None
  sampler: str | None = None
  steps: int | None = None
  guidance: float | None = None
  strength: float | None = None
  changed_outside_mask: int | None = None
  filter: dict[str, Any] | None = None
  config_hash: str
  other_source: str | None = None
  bits: int | None = None

  def __post_init__(self) -> None:
    for fields, words, fits in _RULES:
      for name in fields:
        if not fits(getattr(self, name)):
          raise ValueError(f'{_key(name)} must be {words}, not {getattr(self, name)!r}')

  @classmethod
  def of(cls, values: Mapping[str, Any]) -> 'Made':
    """Made of a dict with the keys of a line, NumPy values allowed; ValueError for a missing key or a wrong value."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                              for key, value in plain(values).items()}
    try:
      return cls(label=fields.pop('class', None), **fields)
    except TypeError as error:
      raise ValueError(str(error).removeprefix('Made.__init__() ')) from error

  def files(self) -> list[str]:
    """Paths of the files of the set that the line names."""
    return [name for name in map(self.__getattribute__, _FILES) if name is not None]

  def line(self) -> str:
    """The image's line of manifest.jsonl, with its end."""
    values = {_key(field.name): getattr(self, field.name) for field in dataclasses.fields(self)
              if field.name != 'bits' or self.bits}
    return json.dumps(values, allow_nan=False) + '\n'

  @classmethod
  def parse(cls, line: bytes | str) -> 'Made':
    """Made of a line; keys of a newer version are passed over. ValueError for a missing key or a wrong value."""
    values = json.loads(line)
    if not isinstance(values, dict):
      raise ValueError('not an object')
    keys = [_key(field.name) for field in dataclasses.fields(cls)]
    if missing := [key for key in keys if key not in values and key not in _ADDED]:
      raise ValueError(f'lacks {", ".join(missing)}')
    return cls.of({key: values.get(key) for key in keys})


class Known(NamedTuple):
  """What a set knows of photos. sha256: of those that its generator was trained on, and those that it was made from.
  region: the config's data.region of a VAE, None of other generators. geometry: values of its config's `data` by key
  (size, channels, region, box, fit), none where the set does not say them."""
  sha256: frozenset[str]
  region: str | None
  geometry: Mapping[str, Any] = {}


def read(root: str | Path) -> list[Made]:
  """The images of a made set, sorted by index; `read_manifest` also checks that the files are there.

  Raises UserError, naming the line, for what is malformed, a path that leads out of the set, an index that comes twice.
  """
  path = Path(root) / NAME
  try:
    lines = path.read_bytes().splitlines()
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror}); name the folder of a made set') from error
  made: dict[int, Made] = {}
  for number, line in enumerate(lines, 1):
    try:
      image = Made.parse(line)
      if image.index in made:
        raise ValueError(f'index {image.index} comes twice')
    except ValueError as error:
      raise UserError(f'{path}:{number}: not the line of a made image ({error}); take it out or make the set again'
                      ) from error
    made[image.index] = image
  return [made[index] for index in sorted(made)]


def read_manifest(root: str | Path) -> list[Made]:
  """`read`, of a set with all files that the lines name; UserError naming the first that is missing."""
  made = read(root)
  for image in made:
    for key in _FILES:
      if (name := getattr(image, key)) is not None and not (Path(root) / name).is_file():
        raise UserError(f'{Path(root) / NAME}: {key} {name} of image {image.index} is missing; put it back or '
                        'make the set again')
  return made


def digest(root: str | Path) -> str:
  """SHA-256 (hex) of a set: of its manifest and of each image."""
  root = Path(root)
  digests = [hashlib.sha256((root / made.file).read_bytes()).digest() for made in read_manifest(root)]
  return hashlib.sha256((root / NAME).read_bytes() + b''.join(digests)).hexdigest()


def write_known(root: str | Path, sha256: Iterable[str], region: str | None = None,
                geometry: Mapping[str, Any] | None = None) -> None:
  """Writes photos.json, see `Known`."""
  Path(root).mkdir(parents=True, exist_ok=True)
  write_atomic(Path(root) / PHOTOS, json.dumps({
      'sha256': sorted(set(sha256)), 'region': region, 'geometry': plain(geometry)}, indent=2) + '\n')


def read_known(root: str | Path) -> Known | None:
  """What photos.json holds; None where a set does not say it."""
  try:
    values = json.loads((Path(root) / PHOTOS).read_bytes())
    return Known(frozenset(values['sha256']), values['region'], values.get('geometry') or {})
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _key(name):
  return 'class' if name == 'label' else name
