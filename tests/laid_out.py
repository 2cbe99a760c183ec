"""A few real photos with masks, laid out as published sets are: what each layout must be read as."""

import numpy as np
from PIL import Image

_GOOD, _DEFECTIVE = 6, 4


def tiles(photo_sets):
  """Good photos [h, w], and pairs of defective photos and their masks, bool [h, w]."""
  root = photo_sets / 'magnetic_tile/magnetic_tile'
  good = [_grey(path) for path in sorted((root / 'train/good').iterdir())[:_GOOD]]
  bad = sorted((root / 'test/blowhole').iterdir())[:_DEFECTIVE]
  return good, [(_grey(path), _grey(root / f'ground_truth/blowhole/{path.stem}_mask.png') > 0) for path in bad]


def _grey(path):
  return np.asarray(Image.open(path).convert('L'))


class _Set:
  """Writes a set and notes what is right: `right` is {file: (label, group, folder, mask)}, group None for its own."""

  def __init__(self, root, photo_sets):
    self.root, self.right = root, {}
    self.good, self.bad = tiles(photo_sets)

  def put(self, file, array):
    path = self.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)

  def photo(self, file, array, label='good', folder='', mask=None, mask_file=None, group=None):
    self.put(file, array)
    if mask_file:
      self.put(mask_file, np.uint8(np.zeros(array.shape, bool) if mask is None else mask) * 255)
    self.right[file] = label, group, folder, mask


def mvtec(made, ok='good', bad='crack', mask='{}_mask.png', val=None):
  for number, photo in enumerate(made.good):
    top, folder = ('train', 'train') if number < 4 else ('test', 'test') if number == 4 or not val else (val, 'val')
    made.photo(f'{top}/{ok}/{number:03d}.png', photo, folder=folder)
  for number, (photo, marked) in enumerate(made.bad):
    made.photo(f'test/{bad}/{number:03d}.png', photo, bad, 'test', marked,
               f'ground_truth/{bad}/{mask.format(f"{number:03d}")}')


def mvtec_loco(made):
  mvtec(made, bad='structural_anomalies', mask='{}/000.png', val='validation')
  # The second mask of a photo: both are marked.
  file = 'test/structural_anomalies/000.png'
  more = np.zeros(made.bad[0][1].shape, bool)
  more[:9, :9] = True
  made.put('ground_truth/structural_anomalies/000/001.png', np.uint8(more) * 255)
  made.right[file] = *made.right[file][:3], made.right[file][3] | more


def mvtec_ad2(made):
  for number, photo in enumerate(made.good):
    top, folder = (('train', 'train'), ('validation', 'val'), ('test_public', 'test'))[number // 2]
    for light in ('regular', 'overexposed'):
      made.photo(f'{top}/good/{number:03d}_{light}.png', photo, folder=folder, group=f'{top}/good/{number:03d}')
  for number, (photo, marked) in enumerate(made.bad):
    made.photo(f'test_public/bad/{number:03d}_shift_1.png', photo, 'bad', 'test', marked,
               f'test_public/ground_truth/bad/{number:03d}_shift_1_mask.png', f'test_public/bad/{number:03d}')
  made.put('test_private/000_regular.png', made.good[0])


def visa(made):
  for number, photo in enumerate(made.good):
    made.photo(f'Data/Images/Normal/{number:04d}.JPG', photo, folder='train' if number < 4 else 'test')
  for number, (photo, marked) in enumerate(made.bad):
    made.photo(f'Data/Images/Anomaly/{number:03d}.JPG', photo, 'Anomaly', 'test', marked,
               f'Data/Masks/Anomaly/{number:03d}.png')
  (made.root / 'split_csv').mkdir()
  name = made.root.name
  rows = [f'{name},{folder},{label},{name}/{file},' for file, (label, _, folder, _) in made.right.items()]
  rows = ['object,split,label,image,mask', *rows, 'other,train,,other/1.JPG,']
  (made.root / 'split_csv/1cls.csv').write_text('\n'.join(rows))


def kolektor(made):
  for number, photo in enumerate(made.good):
    part = f'kos{number // 2:02d}'
    made.photo(f'{part}/Part{number}.jpg', photo, mask_file=f'{part}/Part{number}_label.bmp', group=part)
  for number, (photo, marked) in enumerate(made.bad):
    part = f'kos{number // 2:02d}'
    made.photo(f'{part}/Part9{number}.jpg', photo, 'defect', '', marked, f'{part}/Part9{number}_label.bmp', part)


def kolektor2(made):
  for number, (photo, marked) in enumerate([*((photo, None) for photo in made.good), *made.bad], 10000):
    top, label = ('train', 'test')[number % 2], 'good' if marked is None else 'defect'
    made.photo(f'{top}/{number}.png', photo, label, top, marked, f'{top}/{number}_GT.png')


def dagm(made):
  for number, photo in enumerate(made.good):
    made.photo(f'{("Train", "Test")[number % 2]}/{number:04d}.PNG', photo, folder=('train', 'test')[number % 2])
  for number, (photo, marked) in enumerate(made.bad, 500):
    top = ('Train', 'Test')[number % 2]
    made.photo(f'{top}/{number:04d}.PNG', photo, 'defect', top.lower(), marked, f'{top}/Label/{number:04d}_label.PNG')


def severstal(made):
  for number, photo in enumerate(made.good):
    made.photo(f'train_images/{number:04d}.jpg', photo)
  rows = ['ImageId,ClassId,EncodedPixels']
  for number, (photo, marked) in enumerate(made.bad):
    made.photo(f'train_images/bad{number}.jpg', photo, f'defect_{number + 1}', '', marked)
    rows.append(f'bad{number}.jpg,{number + 1},{runs(marked)}')
  (made.root / 'train.csv').write_text('\n'.join(rows))


def runs(marked):
  """EncodedPixels of a mask, pixel by pixel: start from 1 and length of each run, down the columns."""
  pairs, before = [], False
  for place, pixel in enumerate(marked.T.reshape(-1).tolist(), 1):
    if pixel and not before:
      pairs.append([place, 0])
    if pixel:
      pairs[-1][1] += 1
    before = pixel
  return ' '.join(f'{start} {length}' for start, length in pairs)


# Name of the source: the folder's name, and what lays it out.
LAYOUTS = {
    'mvtec_ad': ('bottle', mvtec), 'mvtec_ad2': ('sheet_metal', mvtec_ad2), 'mvtec_loco': ('pushpins', mvtec_loco),
    'btad': ('01', lambda made: mvtec(made, 'ok', 'ko', '{}.png')), 'visa': ('candle', visa),
    'visa made over': ('pcb1', lambda made: mvtec(made, bad='bad', mask='{}.png')), 'mpdd': ('tubes', mvtec),
    'kolektor': ('sdd', kolektor), 'kolektor2': ('sdd2', kolektor2), 'dagm': ('Class1', dagm),
    'severstal': ('steel', severstal)}


def make(name, root, photo_sets):
  """Lays out a set below `root`; returns its folder and what is right, see _Set."""
  folder, lay_out = LAYOUTS[name]
  made = _Set(root / folder, photo_sets)
  lay_out(made)
  return made.root, made.right
