"""Finds the masks of photos in the places and under the names that data sets, paint programs and people give them.

A mask is called as its photo, with or without an ending such as _mask, and lies in a folder for masks, such as
ground_truth/, or beside the photo, then with an ending. The folders on its way are its photo's, but for those that say
no more than that masks or photos are in them. A folder called as the photo may hold several masks, whose union counts.
"""

import collections
import difflib
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from defect_jax.data import photos, walk
from defect_jax.data.annotations import doubts
from defect_jax.data.annotations.base import Annotation, MaskFile, Union, Unusable
from defect_jax.data.parts import Problem
from defect_jax.data.sources import words

_ENDING = re.compile('(?i)(.+?)[ _.-]*(?:masks?|gt|ground[_-]?truth|labels?|seg|segmentation|annotations?)')
_SAID = '_mask, _GT, _label, _seg'
_NEAREST_OF = 1000
_LABEL_STUDIO = re.compile(r'task-\d+-annotation-')


class _Mask(NamedTuple):
  """A file that may be a mask, and the folders on its way, of which some say whose it is."""
  path: pathlib.Path
  folders: tuple[str, ...]


def is_mask_of(path: str | os.PathLike, names: Collection[str]) -> bool:
  """Whether a file is the mask of one of the files beside it, whose `names` are given: 10000_GT.png of 10000.png."""
  found = _ENDING.fullmatch(pathlib.PurePath(path).stem)
  return found is not None and any(found[1] + suffix in names
                                   for low in photos.SUFFIXES for suffix in (low, low.upper(), low.capitalize()))


def find_masks(root: pathlib.Path, of: Mapping[str, pathlib.Path]) -> tuple[dict[str, Annotation], list[Problem]]:
  """The masks of photos, by file, and what is wrong with the masks there are.

  of: file, relative to `root`, -> path, without masks beside photos. Opens the headers of photos with a mask, and a
  few masks. A photo with two masks where one is expected has an annotation that can't be used.
  """
  by_stem = _mask_files(root, of)
  masks, problems, known = {}, [], set()
  for file, paths in _claims(root, of, by_stem, problems).items():
    masks[file] = _annotation(root, file, paths)
    known.update(paths)
  every = {mask.path for files in by_stem.values() for mask in files}
  problems += _strays(root, of, masks, every - known)
  masks, turned = doubts.turned(masks, of)
  return masks, [*problems, *turned, *doubts.inverted(masks)]


def _mask_files(root, of):
  """{stem of the photo, in lower case: masks}; with a / behind it where it is a folder of masks."""
  by_stem: dict[str, list[_Mask]] = collections.defaultdict(list)
  taken = {*of.values()}
  for path in _images(root, {path.parent for path in taken}):
    if path in taken:
      continue
    folders = path.parent.relative_to(root).parts
    in_marks = any(map(words.is_marks, folders))
    ending = _ENDING.fullmatch(path.stem)
    for stem in {*([path.stem] if in_marks else []), *([ending[1]] if ending else [])}:
      by_stem[stem.lower()].append(_Mask(path, folders))
    if in_marks and not words.is_marks(folders[-1]):
      by_stem[f'{folders[-1].lower()}/'].append(_Mask(path, folders[:-1]))
  return by_stem


def _images(root, beside):
  """Paths of images in folders for masks, and in those `beside` of images whose names end as masks' do."""
  for here, files in walk.folders(root):
    in_marks = any(map(words.is_marks, here.relative_to(root).parts))
    if in_marks or here in beside:
      for name in files:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in photos.SUFFIXES and name[0] != '.' and (in_marks or _ENDING.fullmatch(stem)):
          yield here / name


def _claims(root, of, by_stem, problems):
  """{file: its masks}: those nearest to the photo that are not nearer to another one; adds masks of several photos."""
  wanted: dict[pathlib.Path, list] = collections.defaultdict(list)  # mask: (how near, file) of photos
  for file, path in of.items():
    folders = path.relative_to(root).parent.parts
    for stem in (path.stem.lower(), f'{path.stem.lower()}/'):
      near = collections.defaultdict(list)
      for mask in by_stem.get(stem, ()):
        if (nearness := _nearness(mask.folders, folders)) is not None:
          near[nearness].append(mask.path)
      if near:
        for mask in near[max(near)]:
          wanted[mask].append((max(near), file))
        break
  claims = collections.defaultdict(list)
  for mask, photos_of in wanted.items():
    files = [file for nearness, file in photos_of if nearness == max(photos_of)[0]]
    if len(files) > 1:  # masks are drawn of defects
      files = [file for file in files if not _is_good(file.split('/')[:-1])] or files
    if len(files) > 1:
      message = f'may be of {files[0]} or of {files[1]}; put it in a folder that is called as that of its photo'
      problems.append(Problem(mask.relative_to(root).as_posix(), 'mask_of_several', message))
    else:
      claims[files[0]].append(mask)
  return claims


def _nearness(of_mask, of_photo):
  """How near the folders of a mask are to those of a photo, to be compared; None where they contradict."""
  have = [name.lower() for name in of_photo]
  part, other = (next(filter(None, map(words.part_of, folders)), '') for folders in (of_mask, of_photo))
  if part and other and part != other:
    return None
  telling = {name.lower() for name in of_mask if not (words.is_marks(name) or words.is_filler(name) or
                                                      words.part_of(name))}
  strange = telling - {*have}
  if strange and (_is_good(of_photo) or not all(map(words.is_defective, strange))):
    return None
  # The deeper a folder, the more it says.
  deep = sum(2**have.index(name) for name in telling - strange)
  return deep, part == other, -len({*have} - telling)


def _is_good(folders):
  return any(map(words.is_good, folders))


def _annotation(root, file, paths):
  if len(paths) == 1:
    return MaskFile(paths[0], file)
  stem = pathlib.PurePath(file).stem.lower()
  if all(path.parent.name.lower() == stem for path in paths):
    return Union(tuple(MaskFile(path, file) for path in sorted(paths)))
  one, other, *_ = (path.relative_to(root).as_posix() for path in sorted(paths))
  return Unusable(file, f'has {len(paths)} masks, {one} and {other}; keep one')


def _strays(root, of, masks, strays):
  """One problem for each folder for masks that holds masks of no photo."""
  by_folder = collections.defaultdict(list)
  for path in sorted(strays):
    folders = path.relative_to(root).parent.parts
    if (at := next((at for at, name in enumerate(folders) if words.is_marks(name)), None)) is not None:
      by_folder['/'.join(folders[:at + 1])].append(path)
  lacking = [file for file in of if file not in masks]
  lacking = [file for file in lacking if not _is_good(file.split('/')[:-1])] or lacking
  for folder, paths in by_folder.items():
    count = f'{len(paths)} image{"s" if len(paths) > 1 else ""}'
    said = f'holds {count} that belong to no photo, such as {paths[0].relative_to(root).as_posix()}'
    if lacking:
      nearest, file = _nearest(paths[:_NEAREST_OF], lacking[:_NEAREST_OF])
      stem, below = pathlib.PurePath(file).stem, f'{folder}/{pathlib.PurePath(file).parent.name}/'.replace('//', '/')
      said += (f'; for {file} looked in {below} and {folder}/ for {stem}.*, {stem}_mask.* and {stem}/000.*, and beside '
               f'it for {stem} with {_SAID}; nearest is {nearest.relative_to(root).as_posix()}')
    if any(_LABEL_STUDIO.match(path.name) for path in paths):
      said += ". The names of Label Studio's PNG files do not tell the photo; export JSON, too"
    yield Problem(f'{folder}/', 'masks_without_photo', said)


def _nearest(paths, files):
  """The mask and the photo whose names are most alike."""
  def alike(path, file):
    return difflib.SequenceMatcher(None, path.stem.lower(), pathlib.PurePath(file).stem.lower()).ratio()
  file = min(files)
  return max(paths, key=lambda path: alike(path, file)), file
