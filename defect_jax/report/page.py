"""Pages: self-contained HTML files, whole or not there. A page is a list of sections, a section a title and blocks;
page.html draws each kind of block."""

import base64
import io
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib import figure as matplotlib_figure
from PIL import Image

from defect_jax.report import explained, grids, plots
from defect_jax.report.answers import Answer, verdict_of
from defect_jax.report.verdict import number
from defect_jax.runs.atomic import write_atomic

_FINAL: set[Path] = set()  # pages of this process that are as they stay
_WRITING = threading.Lock()
Metrics = Sequence[Mapping[str, Any]]  # lines of metrics.jsonl
_THUMBNAIL = 96  # px, the longer side
_LEADING = 3  # figures that a table of them begins with; the others are folded
_WIDEST = 1800  # px of a picture
_PNG = 24_000  # bytes of a picture that is kept as it is; 48 of them, as text, are half of the 3 MB of a page
Column = tuple[Int[np.ndarray, 'n'], Float[np.ndarray, 'n']]
_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
                                undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


class Figure(NamedTuple):
  """A picture with a title above and a caption below; for `source` see `png`."""
  title: str
  source: str
  caption: str = ''


class Pair(NamedTuple):
  """A photo beside its heat map, with words below; a score before them is red where it is `missed`."""
  words: str
  photo: str
  heatmap: str
  score: str = ''
  missed: bool = False


class Text(NamedTuple):
  """A paragraph, or with another tag a heading, on what follows: no content of its own."""
  text: str
  tag: str = 'p'
  style: str = ''


class Sentences(NamedTuple):
  """Each a paragraph."""
  sentences: Sequence[str]
  style: str = ''


class Lines(NamedTuple):
  """A list, of which the first 50 are shown and the others counted."""
  lines: Sequence[str]


class Table(NamedTuple):
  """Each cell is a text, or (text, style): strong, met or missed. A wide table is scrolled on small screens."""
  rows: Sequence[Sequence[str | tuple[str, str]]]
  names: Sequence[str]
  wide: bool = True


class Figures(NamedTuple):
  figures: Sequence[Figure]
  large: bool = False


class Pairs(NamedTuple):
  pairs: Sequence[Pair]
  alt: str


class Called(NamedTuple):
  """What a run calls a photo. verdict: ok, ng or error. why: see reasons.why. truth: its class where that is known.
  picture: see `thumbnail`. right: whether the verdict is right, None where nobody has said."""
  file: str
  verdict: str
  why: str
  score: float | None = None
  sha256: str = ''
  truth: str = ''
  picture: str = ''
  right: bool | None = None


class Verdicts(NamedTuple):
  """A list of photos to go through: filtered by verdict, each marked as right or wrong, and saved as CSV with the
  columns file, sha256, verdict, right (1, 0, or nothing where it is not marked)."""
  rows: Sequence[Called]


class Tiles(NamedTuple):
  """Small pictures; {} in `alt` is the number of each, from `first` on. width: px at least. names: below each."""
  sources: Sequence[str]
  alt: str
  first: int = 1
  width: int = 104
  names: Sequence[str] = ()


class Commands(NamedTuple):
  """What can be done, why ('' where it goes with the one above), and the command for it, with a button to copy it."""
  commands: Sequence[tuple[str, str, str]]


class Pictures(NamedTuple):
  """Wide pictures, one below the other: (source, caption) each; {} in `alt` is the number of each."""
  pictures: Sequence[tuple[str, str]]
  alt: str
  narrow: bool = False


Block = Text | Sentences | Lines | Table | Figures | Pairs | Verdicts | Tiles | Commands | Pictures


class Folded(NamedTuple):
  """Blocks that are shown once the title is clicked; left out where none of them has content."""
  title: str
  blocks: Sequence[Block]


class Section(NamedTuple):
  """Left out of the page where none of its blocks has content; `name`: to link to it."""
  title: str
  blocks: Sequence[Block | Folded]
  name: str = ''


def write(path: Path, title: str, sections: Iterable[Section], config: str = '', *, verdict: Iterable[str] = (),
          reached: bool = False, about: str = '', answers: Sequence[Answer] = (),
          next_step: Answer | None = None, reload: int = 0, final: bool = True,
          measured: str = 'How it was measured') -> None:
  """Writes a page: the title with one line `about` the run, the `answers` to whether it can be used, the verdict's
  sentences, green where the goal is `reached`, the sections, and the text of config.json where there is one.

  measured: heading of the verdict, below answers. reload: seconds after which it loads itself anew; 0: never.
  final: False: it replaces no final one.
  """
  shown = [section._replace(blocks=[block for block in section.blocks
                                    if not isinstance(block, Folded) or _has_content(block.blocks)])
           for section in sections if _has_content(section.blocks)]
  text = _TEMPLATES.get_template('page.html').render(
      title=title, sections=shown, config=config.strip(), verdict=list(verdict), reached=reached, about=about,
      answers=answers, next_step=next_step, usable=verdict_of(answers)['usable'],
      copied=any(answer.command for answer in (*answers, *filter(None, [next_step]))) or any(
          isinstance(block, Commands) for section in shown for block in _unfolded(section.blocks)),
      kind=lambda block: type(block).__name__, reload=reload,
      measured=measured)
  with _WRITING:
    if final:
      _FINAL.add(path.resolve())
    if final or not is_final(path):
      write_atomic(path, text)


def is_final(path: Path) -> bool:
  """Whether a page was written by this process that stays."""
  return path.resolve() in _FINAL


def _has_content(blocks: Iterable[Block | Folded]) -> bool:
  return any(block[0] and not isinstance(block, Text) for block in _unfolded(blocks))


def _unfolded(blocks: Iterable[Block | Folded]) -> Iterator[Block]:
  for block in blocks:
    if isinstance(block, Folded):
      yield from block.blocks
    else:
      yield block


def facts(summary: Mapping[str, Any], names: Mapping[str, str]) -> Section:
  """The table of key figures, words -> key of the summary, each with what it says: three, and the others folded."""
  rows = [(words, number(summary[key]), explained.of(key)) for words, key in names.items()]
  return Section('', leading(rows, ('Key figure', 'Value', 'What it says')))


def leading(rows: Sequence[Sequence[str | tuple[str, str]]], names: Sequence[str]) -> list[Block | Folded]:
  """A table of the first three rows, and a folded one of the others."""
  more = rows[_LEADING:]
  blocks: list[Block | Folded] = [Table(rows[:_LEADING], names, wide=False)]
  if more:
    blocks.append(Folded(f'{len(more)} more figures', [Table(more, names, wide=False)]))
  return blocks


def column(metrics: Metrics, key: str) -> Column:
  """(steps, values) of the lines of metrics.jsonl that have a number under `key`."""
  points = [(row['step'], row[key]) for row in metrics if row.get(key) is not None]
  return np.array([step for step, _ in points], int), np.array([value for _, value in points], float)


def columns(metrics: Metrics, keys: Mapping[str, str]) -> dict[str, Column]:
  """{name: column} of the given {name: key}, without columns that are empty."""
  return {name: values for name, key in keys.items() if len((values := column(metrics, key))[0])}


def figure(title: str, drawn: matplotlib_figure.Figure, caption: str = '') -> Figure:
  """A plot as a page takes it."""
  return Figure(title, _source('svg+xml', plots.encoded(drawn, 'svg')), caption)


def png(picture: grids.Picture | Path) -> str:
  """The `src` of a picture or of a PNG file, with all its bytes in it."""
  return _source('png', picture.read_bytes() if isinstance(picture, Path) else grids.encode_png(picture, small=False))


def picture(levels: grids.Picture) -> str:
  """The `src` of one of many pictures: as PNG where that is small, else as a JPEG of high quality, at most 1800 px
  long, so that the page stays below 3 MB."""
  data = grids.encode_png(levels)
  return _source('png', data) if len(data) <= _PNG else _source('jpeg', jpeg(levels, _WIDEST, 88))


def thumbnail(levels: UInt8[np.ndarray, 'h w 3'], side: int = _THUMBNAIL) -> str:
  """The `src` of a small JPEG of a picture, see `jpeg`."""
  return _source('jpeg', jpeg(levels, side))


def jpeg(levels: grids.Picture, side: int = _THUMBNAIL, quality: int = 80) -> bytes:
  """A JPEG of a picture, as a thumbnail of a few thousand bytes; side: of the longer side, at most."""
  image, data = Image.fromarray(levels), io.BytesIO()
  image.thumbnail((side, side))
  image.save(data, 'jpeg', quality=quality)
  return data.getvalue()


def _source(kind: str, data: bytes) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
