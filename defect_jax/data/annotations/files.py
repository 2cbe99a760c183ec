"""Reads the files of annotation tools, whichever they are of, and says what they mark in which photo.

Formats: LabelMe, COCO and Label Studio (JSON), Pascal VOC (XML), YOLO (text) and CVAT's masks.
"""

import collections
import dataclasses
import functools
import json
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import yaml

from defect_jax.data import photos, walk
from defect_jax.data.annotations import coco, cvat, doubts, label_studio, labelme, voc, yolo
from defect_jax.data.annotations.base import Annotation
from defect_jax.data.annotations.shapes import Marks, Shapes, bounds
from defect_jax.data.parts import GOOD, Problem
from defect_jax.data.sources import words

_BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError, MemoryError,
           yaml.YAMLError)
_OUTSIDE = 1  # px by which a shape may leave its photo without a word, since files round
_NOT_YOLO = ('classes.txt', cvat.TABLE, 'readme.txt', 'requirements.txt')


class Read(NamedTuple):
  """What is known of one photo: its class, `good` where nothing is marked, and what is marked."""
  label: str
  annotation: Annotation | None


def has_files(root: pathlib.Path) -> bool:
  """Whether a folder holds annotation files; reads few of them."""
  if (root / cvat.TABLE).is_file() and (root / cvat.FOLDER).is_dir():
    return True
  broken: list[Problem] = []
  found = next(_read_all(root, broken), None)
  return found is not None or any(_photo_beside(root / problem.file) for problem in broken)


def read_files(root: pathlib.Path, of: Mapping[str, pathlib.Path]) -> tuple[dict[str, Read], list[Problem], list[str]]:
  """What the annotation files in a folder say of its photos, by file; what is wrong with them; and notes.

  of: file, relative to `root`, -> path. Photos that no file names are not among the results, and neither are those
  whose annotation can't be used, which are problems. Opens the headers of photos.
  """
  problems: list[Problem] = []
  find = Names(of)
  by_photo = collections.defaultdict(list)
  for path, marks in _read_all(root, problems):
    name = path.relative_to(root).as_posix()
    files = find(marks.photo, path.relative_to(root))
    if len(files) == 1:
      by_photo[files[0]].append((name, marks))
    elif not files:
      kind, message = marks.wrong or ('annotation_without_photo', 'is not there')
      problems.append(Problem(marks.photo, kind, f'{message} ({name})'))
    else:
      message = f'is annotated in {name}, which may mean {files[1]}; give them names of their own'
      problems += [Problem(file, 'annotation_of_several', message) for file in files]
  read, several, unclear = {}, [], []
  for file, found in by_photo.items():
    names = [name for name, _ in found]
    wrong = next((marks.wrong for _, marks in found if marks.wrong), None)
    if len(found) > 1:
      message = f'has annotations in {names[0]} and in {names[1]}; keep one'
      problems.append(Problem(file, 'two_annotations', message))
    elif wrong:
      problems.append(Problem(file, wrong[0], f'{wrong[1]} ({names[0]})'))
    elif (one := _understand(file, of[file], found[0][1], names[0], problems)) is not None:
      read[file], labels, certain = one
      several += [file] if labels > 1 else []
      unclear += [] if certain else [file]
  cvat_read, more = _read_cvat(root, find)
  notes = [f'{len(several)} photos of several classes are of the one that covers most'] if several else []
  return cvat_read | read, [*problems, *more, *doubts.not_turned(unclear)], notes


class Names:
  """Finds the photos that an annotation file means by a name."""

  def __init__(self, files: Iterable[str]):
    self._by_name = collections.defaultdict(set)
    for file in files:
      path = pathlib.PurePosixPath(file.lower())
      for key in {path.name, path.stem}:
        self._by_name[key].add(file)

  def __call__(self, name: str, by: pathlib.PurePath) -> list[str]:
    """The files that `name`, in the annotation file `by`, may mean: those that most of its folders speak for."""
    path = pathlib.PurePosixPath(name.replace('\\', '/').lower())
    stem = path.stem if path.suffix in photos.SUFFIXES else path.name
    found = sorted(self._by_name.get(path.name) or self._by_name.get(stem) or ())
    if len(found) < 2:
      return found
    told = [folder for folder in (*path.parent.parts, *by.as_posix().lower().split('/')[:-1]) if folder]
    part = next(filter(None, map(words.part_of, (*told, *by.stem.split('_')))), '')

    def speaks_for(file):
      folders = file.lower().split('/')[:-1]
      return (f'{"/".join(folders)}/{path.name}'.endswith(str(path)), [*map(words.part_of, folders)].count(part),
              sum(folder in folders for folder in told), -sum(folder not in told for folder in folders))
    best = max(map(speaks_for, found))
    return [file for file in found if speaks_for(file) == best]


def _read_all(root: pathlib.Path, problems: list[Problem]) -> Iterator[tuple[pathlib.Path, Marks]]:
  """What each annotation file says of each photo; adds files that are broken."""
  classes = functools.cache(lambda: yolo.class_names(root))
  for path in _files(root):
    name = path.relative_to(root).as_posix()
    try:
      yield from ((path, marks) for marks in _read_one(path, classes))
    except _BROKEN as error:
      detail = f'{type(error).__name__} {error}' if isinstance(error, KeyError) else str(error)
      problems.append(Problem(name, 'broken_annotation', f'cannot be read as an annotation ({detail})'))


def _files(root):
  for top, files in walk.folders(root, 'ImageSets'.__eq__):
    for name in files:
      if not name.startswith('.') and name.lower().endswith(('.json', '.xml', '.txt')):
        yield top / name


def _read_one(path, classes):
  """What one file says; nothing if it is of no known format."""
  suffix = path.suffix.lower()
  if suffix == '.txt':
    if path.name.lower() not in _NOT_YOLO and _may_be_yolo(path):
      text = path.read_text('utf-8')
      return yolo.read(text, path.stem, classes()) if yolo.looks_like(text) or _in_labels(path) else ()
    return ()
  if suffix == '.xml':
    tree = voc.parse(path.read_bytes())
    return voc.read(tree, path.stem) if tree.tag == 'annotation' else ()
  content = json.loads(path.read_text('utf-8-sig'))
  first = content[0] if isinstance(content, list) and content else content
  if not isinstance(first, dict):
    return ()
  if 'images' in first and 'annotations' in first:
    return coco.read(content, path.stem)
  if 'data' in first and ('annotations' in first or 'completions' in first):
    return label_studio.read(content, path.stem)
  return labelme.read(content, path.stem) if 'shapes' in first else ()


def _may_be_yolo(path):
  return _in_labels(path) or _photo_beside(path)


def _photo_beside(path):
  return any(path.with_suffix(suffix).is_file() for low in photos.SUFFIXES for suffix in (low, low.upper()))


def _in_labels(path):
  return 'labels' in (path.parent.name.lower(), path.parent.parent.name.lower())


def _understand(file, path, marks, name, problems):
  """What is known of a photo, of how many classes it is, and whether it is certain how its annotation is turned.

  None, and a problem, if the annotation can't be used.
  """
  labels = {}
  for label, shape in marks.shapes:
    labels.setdefault(re.sub(r'[\\/]', '_', label).strip(), []).append(shape)
  if '' in labels:
    problems.append(Problem(file, 'unknown_class', f'has a shape without a class ({name})'))
    return None
  try:
    header = photos.header(path, file)
  except photos.PhotoError:  # a broken photo, which is told where it is read
    return Read(next(iter(labels), GOOD), None), 1, True
  size = marks.size or (header.size if marks.stored else header.upright)
  if size not in (header.size, header.upright):
    height, width = header.upright
    message = f'is {width} x {height} px, as annotated {size[1]} x {size[0]} px ({name})'
    problems.append(Problem(file, 'wrong_size', message))
    return None
  if not labels:
    return Read(GOOD, None), 0, True
  shapes = [shape for _, shape in marks.shapes]
  if not _is_inside(file, shapes, (1, 1) if marks.relative else size, size, name, problems):
    return None
  told = marks.stored is not None or (not marks.relative and header.size != header.upright)
  turn = header.orientation if marks.stored or size != header.upright else 1
  every = Shapes(file, tuple(shapes), size, marks.relative, turn)
  try:
    area = {label: dataclasses.replace(every, shapes=tuple(shapes), turn=1).read(size).sum() if len(labels) > 1 else 1
            for label, shapes in labels.items()}
  except photos.PhotoError as error:
    problems.append(Problem(file, 'broken_annotation', f'{error.reason} ({name})'))
    return None
  label = max(sorted(area), key=area.__getitem__)
  return Read(GOOD if words.is_good(label) else label, every), len(labels), told or header.orientation == 1


def _is_inside(file, shapes, sides, size, name, problems):
  """Whether any of the shapes lies in the photo; tells of those that do not, or in part."""
  height, width = sides
  across, down = _OUTSIDE * width / size[1], _OUTSIDE * height / size[0]
  cut = 0
  for left, top, right, bottom in (bounds([shape]) for shape in shapes):
    finite = math.isfinite(left + top + right + bottom)
    if not finite or left >= width or top >= height or right < 0 or bottom < 0:
      problems.append(Problem(file, 'outside_photo', f'has a shape that lies outside it ({name})'))
      return False
    cut += min(left + across, top + down) < 0 or right > width + across or bottom > height + down
  if cut:
    message = f'has {cut} shape{"s" if cut > 1 else ""} beyond its edge, cut off there ({name})'
    problems.append(Problem(file, 'outside_photo', message))
  return True


def _read_cvat(root, find):
  """As read_files, of CVAT's masks."""
  if not (root / cvat.TABLE).is_file() or not (root / cvat.FOLDER).is_dir():
    return {}, []
  read, problems = {}, []
  try:
    names = cvat.colour_names(root / cvat.TABLE)
  except (ValueError, OSError) as error:
    return {}, [Problem(cvat.TABLE, 'broken_annotation', f'cannot be read ({error})')]
  background = next((colour for colour, name in names.items() if name == 'background'), (0, 0, 0))
  names.setdefault(background, 'background')
  for stem in cvat.listed(root):
    for file in find(stem, pathlib.PurePath(stem)):
      read[file] = Read(GOOD, None)
  for path in sorted((root / cvat.FOLDER).glob('**/*.png')):
    name = path.relative_to(root).as_posix()
    files = find(path.stem, path.relative_to(root))
    if len(files) != 1:
      problems.append(Problem(name, 'annotation_without_photo', 'has no photo of its name' if not files else
                              f'may be of {files[0]} or of {files[1]}'))
      continue
    file, = files
    read.pop(file, None)
    try:
      areas = cvat.areas(path, names)
    except photos.PhotoError as error:
      problems.append(Problem(file, 'broken_annotation', f'has a mask that {error.reason} ({name})'))
    except KeyError as error:
      message = f'has the colour {error} in its mask, which {cvat.TABLE} does not name ({name})'
      problems.append(Problem(file, 'unknown_class', message))
    else:
      annotation = cvat.ColourMask(path, file, background=background) if areas else None
      read[file] = Read(max(sorted(areas), key=areas.__getitem__, default=GOOD), annotation)
  return read, problems
