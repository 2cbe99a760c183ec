"""Keys of a config that makes defects by inpainting."""

from ml_collections import ConfigDict

from defect_jax.errors import UserError
from defect_jax.registry import SOURCES
from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple
from defect_jax.schema import Key, Table
from defect_jax.tasks.keys import common


def table() -> Table:
  return common.head('inpaint', 4, 'Images made at once.', 4096) | {
      'dtype': common.DTYPE,
      'weights': Key('default', Optional(Text()), text='default, which knows pitting on ball screws; a run of '
                     "inpaint_train; a folder; the hub's name of a pipeline; random."),
      'lora': Key(None, Optional(Text()), text='A file or folder of LoRA weights that are merged into them.'),
      'count': Key(1000, Integer(1, 10**6), 'images', 'How many are made.'),
      'variants': Key(1, Integer(1), text='Images of a photo in a row; with one mask for all, it is encoded once.'),
      'photos': Key('default', Optional(Text()), path=True, text='Those that are changed: a folder in MVTec AD layout, '
                    'with ok/ and ng/, or of photos alone; default, for the default weights: metal surfaces.'),
      'source': Key('auto', Choice('auto', *SOURCES), text='The layout of the photos. auto: as their folder is.',
                    added=True, before='folder', open=True),
      **common.split(),
      'bits': common.IMAGES['bits'],
      'part': Key('pool', Choice('pool', 'dev'), text='Of the photos, where they are split by hash or folders.'),
      'classes': Key((), Names(least=0), open=True, text='Of the photos that are changed; none named: good, or all '
                     'where none is good.'),
      'defects': Key(('pitting',), Names(), text='Every one in turn, with every prompt.'),
      'prompts': Key(('a close-up photo of a {defect} on a metal surface',), Tuple(Text()),
                     text='Each in turn; {defect} stands for the class.'),
      'negative_prompt': Key(None, Optional(Text()), text='What shall not be seen.'),
      'geometry': {
          'mode': Key('masked', Choice('crop', 'masked'),
                      text="masked: the mask's surroundings, scaled. crop: the crop at its own resolution."),
          'crop': Key((256, 256), Tuple(Integer(0), 2), 'px', 'left,top,width,height, or width,height: laid around the '
                      'target area, or anywhere.'),
          'target': Key(None, Optional(Tuple(Integer(0), 2)), 'px',
                        'All that may change: a box, or width,height anywhere in the crop; none: all of the crop.'),
          'feather': Key(4, Integer(0, 1024), 'px', 'Masks fade over so many.'),
          'padding': Key(32, Integer(0), 'px', 'What masked shows around the mask at least.')},
      'masks': {
          'read': common.MASKS,
          'kind': Key('random', Choice('box', 'polygon', 'png', 'real', 'random'), text='box: all of the target area. '
                      "random: blobs. real: the defect's masks among the photos. png: a file. polygon: corners."),
          'polygon': Key(None, Optional(Tuple(Number(), 6)), 'px', 'x1,y1,x2,y2,... in the photo.'),
          'file': Key(None, Optional(Text()), text="A mask of the photos' size, for png."),
          'size': Key((0.1, 0.4), Tuple(Number(above=0, high=1), 2),
                      text="Of blobs: diameter over the target area's shorter side, from and to."),
          'scale': Key((0.7, 1.3), Tuple(Number(above=0, high=100), 2), text='Of real masks: factor from and to.'),
          'moved': Key(True, Boolean(), text='Real masks are moved anywhere, turned and scaled; False: each stays '
                       'where it lies in its own photo, for defects that belong to a place.')},
      'sampler': {
          'name': Key('dpmsolver++', Choice('ddim', 'dpmsolver++', 'euler', 'pndm'), text='How noise is removed.'),
          'steps': Key(20, Integer(1), 'steps', 'More are slower.'),
          'guidance': Key(4.0, Number(1, 100), text='How strongly the prompt counts.'),
          'strength': Key(1.0, Number(above=0, high=1), text='Below 1: begins closer to the photo.'),
          'content': Key('noise', Choice('noise', 'original'), text='What the mask holds in the beginning.')},
      'filter': {
          'candidates': Key(1, Integer(1, 100), text="Per mask; of those that by VGG16's features read as the asked "
                            'defect and are near enough to real ones, the surest is kept. Above 1 it takes real '
                            'defects with masks among the photos.'),
          'places': Key(1, Integer(1, 100), text='Target areas, masks and noise tried in a photo while none does.'),
          'quantile': Key(0.95, Number(above=0, high=1),
                          text='Near enough: as this share of the real ones are to those of other groups.')},
      'measure': {
          'part': Key('dev', Choice('dev', 'final'), text='Real defects that the made ones are compared with.'),
          'size': Key(64, Integer(32, 512), 'px', 'Each as a square around its mask, scaled to this.')},
      'share': {
          'process': Key(0, Integer(0), text='Number of this process, from 0 on.', path=True),
          'processes': Key(1, Integer(1), text='Processes that make one set, each with its own --workdir.', path=True)},
      'set': Key(None, Optional(Text()), text='Folder of the set that several processes make.', path=True)}


def check(config: ConfigDict) -> None:
  """Raises UserError for values that do not go together."""
  common.check_prompts(config.prompts)
  g, m, s = config.geometry, config.masks, config.share
  if s.process >= s.processes:
    raise UserError(f'share.process = {s.process}: there are {s.processes} processes, counted from 0')
  if config.part == config.measure.part:
    raise UserError(f'measure.part = {config.measure.part}: images are made of photos of this part; choose another')
  for key, pair in (('size', m.size), ('scale', m.scale)):
    if len(pair) != 2 or pair[0] > pair[1]:
      raise UserError(f'masks.{key} = {pair}: give two numbers, the smaller first')
  for kind, key in (('polygon', 'polygon'), ('png', 'file')):
    if (m.kind == kind) != (m[key] is not None):
      raise UserError(f'masks.{key}: belongs to masks.kind = {kind}, which takes it; set both or neither')
  if m.kind in ('polygon', 'png') and g.target is not None and len(g.target) == 2:
    raise UserError(f'geometry.target = {g.target}: anywhere in the crop it would miss the mask of masks.kind = '
                    f'{m.kind}; give it as left,top,width,height, or leave it out')
  if s.processes > 1 and config.set is None:
    raise UserError(f'share.processes = {s.processes}: several processes fill one set; name its folder in set')
  if not m.moved:
    _check_unmoved(m.kind, g)


def _check_unmoved(kind: str, geometry: ConfigDict) -> None:
  if kind != 'real':
    raise UserError(f'masks.moved = False: masks of the kind {kind} lie nowhere yet; set masks.kind=real, or leave it')
  if geometry.target is not None or len(geometry.crop) != 2:
    raise UserError('masks.moved = False: the mask says where the target area is and the crop is laid around it; leave '
                    'geometry.target out and give geometry.crop as width,height')
  if min(geometry.crop) <= 2 * geometry.feather:
    raise UserError(f'geometry.feather = {geometry.feather}: leaves nothing of a crop of {geometry.crop} px; make it '
                    'less')


def settle(config: ConfigDict) -> list[str]:
  """See settling.settle; the photos that come with the package have fixed parts."""
  from defect_jax.tasks.keys import settling  # which takes as long as all else before a mistake is refused
  if config.photos in (None, 'default'):
    for name, value in (('source', 'folder'), ('split', 'hash'), ('classes', ('good',)), ('bits', 16)):
      config[name] = value
    return []
  return settling.settle(config, config, elpv={}, own={'classes': settling.good_or_all}, otherwise='none', key='photos',
                         path=config.photos, plain=True, masks=config.masks.read)
