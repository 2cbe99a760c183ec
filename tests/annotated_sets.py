"""A few real photos with annotation files as tools write them: what each set must be read as."""

import base64
import io
import json

import laid_out
import numpy as np
import pycocotools.mask
from PIL import Image

LABEL = 'blowhole'


class Set:
  """Writes a set. right: {file: (label, folder, mask)}, mask None where nothing is marked."""

  def __init__(self, root, photo_sets):
    self.root, self.right = root, {}
    self.good, self.bad = laid_out.tiles(photo_sets)

  def photos(self, name='{}.png'):
    """Lays out all photos: (number, file, photo, mask), mask None in good ones."""
    for number, (photo, mask) in enumerate([*((photo, None) for photo in self.good[:2]), *self.bad]):
      file = name.format(f'{number:03d}')
      write_image(self.root / file, photo)
      self.right[file] = 'good' if mask is None else LABEL, '', mask
      yield number, file, photo, mask

  def text(self, file, content):
    path = self.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_image(path, image):
  path.parent.mkdir(parents=True, exist_ok=True)
  (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)


def box_of(mask):
  """Left, top, right, bottom in px: the box that holds the mask, which it becomes."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] = True
  return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def strips(mask):
  """Polygons that hold one run of pixels of a row each, by way of the pixels' numbers."""
  for y, row in enumerate(mask):
    edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
      yield [(start, y), (end - 1, y), (end - 1, y), (start, y)]


def labelme(made, shape_of=None):
  def polygons(mask):
    return [{'label': LABEL, 'points': points, 'shape_type': 'polygon'} for points in strips(mask)]
  for _, file, photo, mask in made.photos():
    shapes = [] if mask is None else (shape_of or polygons)(mask)
    made.text(file.replace('.png', '.json'), {
        'version': '6.3.1', 'flags': {}, 'shapes': shapes, 'imagePath': file, 'imageData': None,
        'imageHeight': photo.shape[0], 'imageWidth': photo.shape[1]})


def labelme_rectangles(made):
  def rectangle(mask):
    left, top, right, bottom = box_of(mask)
    return [{'label': LABEL, 'points': [[right, bottom], [left, top]], 'shape_type': 'rectangle'}]
  labelme(made, rectangle)


def labelme_masks(made):
  def crop(mask):
    left, top, right, bottom = box_of(mask.copy())
    data = io.BytesIO()
    Image.fromarray(mask[top:bottom, left:right]).save(data, 'PNG')
    return [{'label': LABEL, 'points': [[left, top], [right - 1, bottom - 1]], 'shape_type': 'mask',
             'mask': base64.b64encode(data.getvalue()).decode()}]
  labelme(made, crop)


def coco(made, segmentation):
  content = {'images': [], 'annotations': [], 'categories': [{'id': 7, 'name': LABEL}]}
  for number, file, photo, mask in made.photos('images/train2017/{}.png'):
    made.right[file] = made.right[file][0], 'train', mask
    content['images'].append({'id': number, 'file_name': file.rpartition('/')[2], 'height': photo.shape[0],
                              'width': photo.shape[1]})
    if mask is not None:
      segment, box = segmentation(mask)
      content['annotations'].append({'id': 50 + number, 'image_id': number, 'category_id': 7, 'iscrowd': 0, 'bbox': box,
                                     'segmentation': segment})
  made.text('annotations/instances_train2017.json', content)


def polygons(mask):
  return [[value for point in points for value in point] for points in strips(mask)], []


def compressed(mask):
  runs = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
  return {'size': [*mask.shape], 'counts': runs['counts'].decode()}, []


def uncompressed(mask):
  pixels = mask.T.reshape(-1)
  edges = np.flatnonzero(np.diff(np.concatenate([[0], pixels.astype(int), [1 - int(pixels[-1])]])))
  return {'size': [*mask.shape], 'counts': np.diff([0, *edges]).tolist()}, []


def boxes(mask):
  left, top, right, bottom = box_of(mask)
  return [], [left, top, right - left, bottom - top]


def yolo(made, lines, names='names: [scratch, blowhole]\n'):
  for number, file, photo, mask in made.photos('images/{}.png'):
    part = ('train', 'val', 'test')[number % 3]
    new = f'images/{part}/{number:03d}.png'
    (made.root / new).parent.mkdir(exist_ok=True)
    (made.root / file).rename(made.root / new)
    made.right[new] = made.right.pop(file)[0], part, mask
    sides = np.array(photo.shape[::-1])
    made.text(f'labels/{part}/{number:03d}.txt', '' if mask is None else '\n'.join(
        f'1 {" ".join(f"{value:.6f}" for value in values)}' for values in lines(mask, sides)))
  made.text('data.yaml', f'train: images/train\nval: images/val\ntest: images/test\nnc: 2\n{names}')


def yolo_polygons(mask, sides):
  return ((np.array(points) / sides).reshape(-1) for points in strips(mask))


def yolo_boxes(mask, sides):
  left, top, right, bottom = box_of(mask)
  return [np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]) / np.tile(sides, 2)]


def voc(made):
  for number, file, photo, mask in made.photos('JPEGImages/{}.png'):
    marked = ''
    if mask is not None:
      left, top, right, bottom = box_of(mask)
      sides = f'<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>'
      marked = f'<object><name>{LABEL}</name><difficult>0</difficult><bndbox>{sides}</bndbox></object>'
    made.text(f'Annotations/{number:03d}.xml', f'<annotation><folder>JPEGImages</folder><filename>{number:03d}.png'
              f'</filename><size><width>{photo.shape[1]}</width><height>{photo.shape[0]}</height><depth>1</depth></size>'
              f'<segmented>0</segmented>{marked}</annotation>')
    assert file in made.right


def cvat(made):
  stems = []
  for number, _, _, mask in made.photos('JPEGImages/{}.png'):
    stems.append(f'{number:03d}')
    if mask is not None:
      colours = np.zeros((*mask.shape, 3), np.uint8) + np.uint8([0, 128, 0])
      colours[mask] = 250, 50, 83
      write_image(made.root / f'SegmentationClass/{number:03d}.png', colours)
      write_image(made.root / f'SegmentationObject/{number:03d}.png', colours)
  made.text('ImageSets/Segmentation/default.txt', '\n'.join(stems))
  made.text('labelmap.txt', f'# label:color_rgb:parts:actions\nbackground:0,128,0::\n{LABEL}:250,50,83::\n')


def label_studio(made, result=None):
  tasks = []
  for number, file, photo, mask in made.photos():
    size = {'original_height': photo.shape[0], 'original_width': photo.shape[1], 'image_rotation': 0}
    marked = [] if mask is None else [size | (result or brush)(mask)]
    tasks.append({'id': number, 'data': {'image': f'/data/upload/1/1a2b3c4d-{file}'}, 'annotations': [
        {'id': 90 + number, 'was_cancelled': False, 'result': marked}]})
  made.text('project-1-at-2026-01-01.json', tasks)


def brush(mask):
  levels = np.zeros((*mask.shape, 4), np.uint8)
  levels[mask] = 250, 50, 0, 128
  levels[0, :, :3] = 9  # of what is transparent, the colour says nothing
  return {'type': 'brushlabels', 'value': {'format': 'rle', 'rle': pack(levels.reshape(-1)), 'brushlabels': [LABEL]}}


def rectangle(mask):
  left, top, right, bottom = box_of(mask)
  height, width = mask.shape
  return {'type': 'rectanglelabels', 'value': {
      'x': 100 * left / width, 'y': 100 * top / height, 'width': 100 * (right - left) / width,
      'height': 100 * (bottom - top) / height, 'rotation': 0, 'rectanglelabels': [LABEL]}}


def pack(levels):
  """Levels as @thi.ng/rle-pack packs them: runs of a level, and where it changes at once, levels one by one."""
  kinds = (3, 4, 8, 16)  # bits of the four kinds of lengths
  bits = [f'{len(levels):032b}', f'{7:05b}', *(f'{kind - 1:04b}' for kind in kinds)]
  edges = np.flatnonzero(np.diff(levels.astype(int))) + 1
  parts = []  # (whether one level repeats, levels)
  for run in np.split(levels, edges):
    if len(run) < 5 and parts and not parts[-1][0]:
      parts[-1][1].extend(run.tolist())
    else:
      parts.append((len(run) > 4, run.tolist()))
  for repeats, run in parts:
    for start in range(0, len(run), 2**16):
      part = run[start:start + 2**16]
      kind = next(at for at, size in enumerate(kinds) if len(part) <= 2**size)
      bits.append(f'{int(repeats)}{kind:02b}{len(part) - 1:0{kinds[kind]}b}')
      bits += [f'{level:08b}' for level in (part[:1] if repeats else part)]
  text = ''.join(bits)
  return [int(text[at:at + 8].ljust(8, '0'), 2) for at in range(0, len(text), 8)]


FORMATS = {
    'labelme polygons': labelme, 'labelme rectangles': labelme_rectangles, 'labelme masks': labelme_masks,
    'coco polygons': lambda made: coco(made, polygons), 'coco compressed': lambda made: coco(made, compressed),
    'coco uncompressed': lambda made: coco(made, uncompressed), 'coco boxes': lambda made: coco(made, boxes),
    'yolo polygons': lambda made: yolo(made, yolo_polygons), 'yolo boxes': lambda made: yolo(made, yolo_boxes),
    'voc': voc, 'cvat': cvat, 'label studio brushes': label_studio,
    'label studio boxes': lambda made: label_studio(made, rectangle)}


def make(name, root, photo_sets):
  """Lays out a set below `root`; returns it."""
  made = Set(root / 'set', photo_sets)
  FORMATS[name](made)
  return made
