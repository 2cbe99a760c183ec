#!/usr/bin/env bash
# pillow 13.0.0, ImageDraw.polygon with the same colour for fill and outline, as masks are drawn from polygons: one that
# is narrower than a pixel, such as a crack.
# Expected: its outline is drawn, so its pixels touch one another.
# Seen: the outline is left out where its colour is the fill's, and the fill has gaps: of the 18 columns that the polygon
# crosses some are empty. The outline alone crosses all of them, and so does a line along the corners.
# Exit status 0: still so. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import sys

from PIL import Image, ImageDraw

CRACK = [(1, 2), (18, 9), (18, 9), (1, 2)]


def columns(draw):
  image = Image.new('1', (20, 12))
  draw(ImageDraw.Draw(image))
  return sum(any(image.getpixel((x, y)) for y in range(12)) for x in range(20))


both = columns(lambda draw: draw.polygon(CRACK, fill=1, outline=1))
outline = columns(lambda draw: draw.polygon(CRACK, outline=1))
line = columns(lambda draw: draw.line([*CRACK, CRACK[0]], fill=1))
print(f'columns of 18 with a pixel: fill and outline {both}, outline alone {outline}, line {line}')
sys.exit(not (both < 18 and outline == line == 18))
PY
