#!/usr/bin/env bash
# Pillow 13.0.0: photos of more than 8 bits in formats that allow them.
# Expected: a JPEG 2000 of 12 bits gives its values, 0 to 4095, or these over all of 16 bits, 0 to 65535; a PPM of 16
# bits gives 16 bits, or is refused.
# Seen: the JPEG 2000 gives mode I;16 with every value times 16, so 65520 is white; the PPM gives 8 bits (mode RGB)
# without a word.
# Exit status 0: still so. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 imagecodecs==2026.3.6
"$folder/venv/bin/python" - <<'PY'
import io
import sys

import imagecodecs
import numpy as np
from PIL import Image

values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
coded = imagecodecs.jpeg2k_encode(values, level=0, bitspersample=12, reversible=True)
assert (imagecodecs.jpeg2k_decode(coded) == values).all()
with Image.open(io.BytesIO(coded)) as image:
  mode, read = image.mode, np.asarray(image)
print(f'JPEG 2000 of 12 bits: mode {mode}, highest value {read.max()} for {values.max()}')
deep = np.stack([values * 16] * 3, -1)
with Image.open(io.BytesIO(b'P6 64 64 65535\n' + deep.astype('>u2').tobytes())) as image:
  colour, eight = image.mode, np.asarray(image)
print(f'PPM of 16 bits: mode {colour}, {eight.dtype}, highest value {eight.max()} for {deep.max()}')
sys.exit(not (mode == 'I;16' and (read == values * 16).all() and colour == 'RGB' and eight.dtype == np.uint8))
PY
