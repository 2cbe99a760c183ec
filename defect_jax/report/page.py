"""Pages: self-contained HTML files, whole or not there, made of the templates in this folder."""

import base64
import json
from pathlib import Path

import jinja2

from defect_jax.report import grids, plots
from defect_jax.runs.atomic import plain, write_atomic

_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
                                undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def write(path, template, config=None, *, verdict=(), reached=False, **parts):
  """Writes a page.

  Args:
    path: of the HTML file. template: file name. config: ConfigDict or dict that is shown at the end; None: of several.
    verdict: sentences on top. reached: whether they are good news. parts: what the template itself asks for.
  """
  shown = None
  if config is not None:
    shown = json.dumps(plain(config.to_dict() if hasattr(config, 'to_dict') else config), indent=2)
  write_atomic(path, _TEMPLATES.get_template(template).render(
      config=shown, verdict=list(verdict), reached=reached, **parts))


def figure(title, drawn, caption=''):
  """A matplotlib figure as templates take it."""
  return {'title': title, 'caption': caption, 'source': _source('svg+xml', plots.svg(drawn))}


def png(array):
  """The `src` of a picture of uint8 `[H, W]` or `[H, W, 3]`, with all its bytes in it."""
  return _source('png', grids.encode_png(array))


def png_file(path):
  """The `src` of a PNG file."""
  return _source('png', path.read_bytes())


def _source(kind, data):
  return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
