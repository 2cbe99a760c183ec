import numpy as np
import tifffile
from PIL import Image
from test_formats import png_16

from defect_jax.data import depth, parts

RNG = np.random.default_rng(0)


def records(folder, **files):
  """Records of files by stem, of their content."""
  for name, content in files.items():
    (folder / name).write_bytes(content)
  return [parts.Record(name, 'good', name, folder / name) for name in files]


def values(highest):
  levels = RNG.integers(0, highest, (16, 16), endpoint=True).astype(np.uint16)
  levels[3, 4] = highest
  return levels


def test_what_the_files_say_counts_while_no_value_is_higher(tmp_path):
  said = records(tmp_path, a=png_16(values(900), 12), b=png_16(values(700), 12))
  assert depth.bits_of(said) == (
      12, '12 of the 16 bits of a value are used, as the files say; data.bits says otherwise')
  # The standard has values of 12 significant bits over the full range: then there is nothing to stretch.
  assert depth.bits_of(records(tmp_path, a=png_16(values(65000), 12))) == (16, '')
  tifffile.imwrite(tmp_path / 't', values(900), extratags=[(281, 3, 1, 4095, True)])
  assert depth.bits_of([parts.Record('t', 'good', 't', tmp_path / 't')])[0] == 12


def test_the_highest_value_of_all_decides_where_files_say_nothing(tmp_path):
  for highest, bits in ((700, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14), (16384, 16), (0, 16)):
    found, line = depth.bits_of(records(tmp_path, a=png_16(values(highest)), b=png_16(values(0))))
    assert found == bits and (bits == 16 or f'seen in 2 photos, {highest};' in line)
  mixed = records(tmp_path, a=png_16(values(700), 12), b=png_16(values(700)))
  assert depth.bits_of(mixed)[0] == 10  # they do not say it alike


def test_files_of_8_bits_and_of_their_own_depth_need_no_guess(tmp_path):
  Image.fromarray(np.uint8(values(200))).save(tmp_path / 'a.png')
  assert depth.bits_of([parts.Record('a', 'good', 'a', tmp_path / 'a.png')]) == (16, '')
  pgm = b'P5 16 16 4095\n' + values(900).astype('>u2').tobytes()
  assert depth.bits_of(records(tmp_path, b=pgm)) == (12, '')
  assert depth.bits_of(records(tmp_path, c=b'broken')) == (16, '')
