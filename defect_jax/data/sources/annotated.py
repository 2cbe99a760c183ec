"""Photos with the files of an annotation tool, which say what is marked and of which class.

As the tools lay them out: COCO (images/ and annotations/instances_*.json), YOLO (images/ and labels/, with train/, val/
and test/), Pascal VOC and CVAT (JPEGImages/ with Annotations/ or SegmentationClass/), LabelMe and Label Studio (JSON
files beside the photos or above them).
"""

import builtins
import dataclasses
import os
import pathlib
import re

from defect_jax.config import UserError
from defect_jax.data import annotations, parts
from defect_jax.data.sources import tree, words

TITLE = 'photos with annotation files'
_WANTED = 'photos with annotation files (COCO, YOLO, Pascal VOC, CVAT masks, LabelMe, Label Studio)'
_MASKS = ('segmentationclass', 'segmentationobject')


def missing(root: pathlib.Path) -> builtins.list[str]:
  """What the folder lacks to be of this layout; folders named as good or defective say the class themselves."""
  known = [folder.name for folder in _folders(root) if words.is_good(folder.name) or words.is_defective(folder.name)]
  if known:
    return [f'no class folders such as {known[0]}/']
  return [] if annotations.has_files(root) else ['annotation files']


def _folders(root):
  tops = tree.subfolders(root)
  return [*tops, *(folder for top in tops if not _is_marks(top.name) for folder in tree.subfolders(top))]


def list(path: str | os.PathLike | None, key: str = 'data.path') -> parts.Listing:
  """Lists the photos of a folder that the config's `key` names, sorted by file; opens their headers.

  Classes: those of the annotations, of several the one that covers most; `good` where nothing is marked in a photo that
  the annotations name, or that lies in a folder called so. Other photos are left out, which is a problem, as is each
  photo whose annotation can't be used. Raises UserError.
  """
  root = tree.root_of(path, key, _WANTED)
  of = {photo.relative_to(root).as_posix(): photo for photo in tree.photos_below(root, _is_marks)}
  read, problems, notes = annotations.read_files(root, of)
  left_out = of.keys() - read.keys()
  problems = [dataclasses.replace(one, message=f'{one.message}; it is left out') if one.file in left_out else one
              for one in problems]
  told = {problem.file for problem in problems}
  found, unknown = [], []
  for file, photo in of.items():
    folders = file.split('/')[:-1]
    if file in read or any(map(words.is_good, folders)):
      label = read[file].label if file in read else parts.GOOD
      found.append(tree.Found(photo, label, next(filter(None, map(_part, folders)), '')))
    elif file not in told:
      unknown.append(file)
  if not found:
    reason = f'; such as {problems[0]}' if problems else ''
    raise UserError(f'{key}: {root} has no {_WANTED} that can be used{reason}')
  if unknown:
    message = (f'is left out, as {len(unknown)} photos are, since no annotation file names it; move good photos into a '
               'folder good/, or save an annotation without shapes')
    problems.append(parts.Problem(unknown[0], 'not_annotated', message))
  masks = {file: one.annotation for file, one in read.items() if one.annotation}
  return tree.listing(root, found, masks, problems, note='; '.join(notes))


def _is_marks(name):
  return words.is_marks(name) or name.lower() in _MASKS


def _part(folder):
  """'train' of train2017, too."""
  return words.part_of(re.sub(r'[\d_-]+$', '', folder))
