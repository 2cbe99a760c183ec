"""What the figures of made images mean: copies, defects beside the part or that nobody sees, kinds nobody taught."""

from collections.abc import Mapping
from typing import Any

from defect_jax.report.answers import SKIP, Facts, State
from defect_jax.report.verdict import percent

COPIES = 0.15  # share of copies up to which images count as new; of new real photos 0.05 would count as copies
BESIDE = 0.1  # share of defects beside the part, up to which a set can be used
SEEN = 0.75  # share of made defects that are seen over that of real ones, from which on they are defects to the eye
TELLS = 0.5  # share of real defects that are seen, below which the measure says nothing
_HOTTEST, _STRONGEST = 2.0, 8.0  # temperature and guidance that are suggested, at most
_CANDIDATES = 4
_STEP = 8  # px: sides of a crop are multiples of it


def new(facts: Facts) -> State:
  """Whether the images are new."""
  return None if facts['memorised_fraction'] is None else facts['memorised_fraction'] <= COPIES


def new_words(facts: Facts, state: State) -> str:
  """The share of copies, and what else helps against them."""
  if state is None:
    return 'Whether the images are new or copies is not known: too few real photos were there to compare them with.'
  share = percent(facts['memorised_fraction'])
  if state:
    return f'{share} of the images are copies of a photo (of new real photos 5 % would count as such).'
  return (f'{share} of the images are copies of a photo: a classifier learns nothing new from those. '
          + ('Draw images farther from the photos; if that does not help, train the VAE on more photos.'
             if 'vae' in facts.config else 'Let defects lie elsewhere, or teach the weights more photos.'))


def farther(facts: Facts) -> Mapping[str, Any]:
  """Settings by which fewer images are copies."""
  config = facts.config
  if 'vae' not in config:
    return {'masks.moved': True} if config.get('masks.moved') is False else {}
  if config['sampler.name'] == 'posterior':
    return {'sampler.name': 'mosaic'}
  if config['sampler.candidates'] < _CANDIDATES:
    return {'sampler.candidates': _CANDIDATES}
  hotter = min(round(1.5 * config['sampler.temperature'], 2), _HOTTEST)
  return {'sampler.temperature': hotter} if hotter > config['sampler.temperature'] else {}


def on_the_part(facts: Facts) -> State:
  """Whether the defects lie on the part, where it does not fill the photos."""
  return SKIP if facts['beside_part'] is None else facts['beside_part'] <= BESIDE


def on_the_part_words(facts: Facts, state: State) -> str:
  """The share beside the part."""
  beside, count = len(facts['beside_images']), facts['changes_seen']
  if not beside:
    return f'All defects lie on the part ({count} images were looked at).'
  words = f'{beside} of {count} defects that were looked at lie beside the part ({percent(facts["beside_part"])})'
  return f'{words}.' if state else f'{words}: background with the label of a defect.'


def onto_the_part(facts: Facts) -> Mapping[str, Any]:
  """Settings that keep defects on the part: where real ones lie, or in the box that the part fills in all photos."""
  config, box = facts.config, facts['part_box']
  crop = config['geometry.crop']
  if config['masks.kind'] == 'real' and config['masks.moved'] and config['geometry.target'] is None and len(crop) == 2:
    return {'masks.moved': False}
  if box is None or config['masks.kind'] not in ('box', 'random', 'real') or len(crop) != 2:
    return {}
  if config['geometry.mode'] == 'masked':  # which looks at the mask's surroundings, however large the crop
    sides = tuple(max(side, -(-length // _STEP) * _STEP) for side, length in zip(crop, box[2:], strict=True))
    return {'geometry.target': tuple(box)} | ({'geometry.crop': sides} if sides != tuple(crop) else {})
  inside = [(start + (length - min(length, side)) // 2, min(length, side))
            for start, length, side in zip(box[:2], box[2:], crop, strict=True)]
  return {'geometry.target': tuple(start for start, _ in inside) + tuple(length for _, length in inside)}


def seen(facts: Facts) -> State:
  """Whether as many made defects are seen as real ones."""
  if facts['visible'] is None:
    return SKIP
  real = facts['visible_real']
  return None if real is not None and real < TELLS else facts['visible'] >= SEEN * (1 if real is None else real)


def seen_words(facts: Facts, state: State) -> str:
  """The share of made defects that are seen, beside that of real ones."""
  share, real = percent(facts['visible']), facts['visible_real']
  beside = '' if real is None else f'; of real defects {percent(real)} by the same measure'
  words = f'{share} of the images show a defect where good photos show none{beside}'
  if state:
    return f'{words}.'
  if state is None:
    return f'{words}, which is too few to say anything: look at the images.'
  return words + (': the others are photos of good parts, whatever the label says.' if 'vae' not in facts.config else
                  ': the VAE smooths defects away. Train one that keeps more detail, by a lower targets.mse.')


def stronger(facts: Facts) -> Mapping[str, Any]:
  """Settings by which more of a defect is seen."""
  config = facts.config
  if 'vae' in config:
    return {}
  if config['sampler.strength'] < 1:
    return {'sampler.strength': 1.0}
  if config['sampler.content'] != 'noise':
    return {'sampler.content': 'noise'}
  guidance = min(2 * config['sampler.guidance'], _STRONGEST)
  return {'sampler.guidance': guidance} if guidance > config['sampler.guidance'] else {}


def known(facts: Facts) -> State:
  """Whether the weights were taught what they are asked for."""
  return None if facts['unknown_kinds'] is None else not facts['unknown_kinds']


def known_words(facts: Facts, state: State) -> str:
  """What the weights know, and what they don't."""
  if state is None:
    return ('Whether the weights know these defects is not known, since there is no classes.json beside them: look at '
            'the images.')
  taught = ', '.join(facts['known_kinds'] or ())
  if state:
    return f'The weights were taught what is asked for: {taught}.'
  asked = ', '.join(facts['unknown_kinds'])
  if facts['model'] == 'random':
    return f'The weights are random and know no defect: the images show noise where {asked} should be.'
  if not taught:
    return (f'No weights know {asked}, which is a verdict and no look: name in defects and prompts what the defect '
            'looks like.')
  return (f'The weights were taught {taught}, not {asked}: what they made is no {asked}. Teach them by photos of it, '
          'or ask for what they know.')


def teach(facts: Facts) -> Mapping[str, Any] | str:
  """How weights come to know a kind: by the photos, where these are one's own; else what the weights know is asked."""
  config, known_kinds = facts.config, facts['known_kinds']
  if config.get('photos') not in (None, 'default'):
    return ('python -m defect_jax.main --config=configs/inpaint_train.py '
            f'--config.data.path={config["photos"]} --workdir=runs/taught')
  return {'defects': tuple(known_kinds)} if known_kinds else {'weights': 'default'}


def read_whole(facts: Facts) -> State:
  """Says something of prompts that are cut off alone."""
  return None if facts['cut_prompts'] else SKIP


def read_words(facts: Facts, state: State) -> str:
  """What of the prompts is not read."""
  lost = facts['cut_prompts']
  more = f' (and of {len(lost) - 1} more)' if len(lost) > 1 else ''
  return f'The weights do not read the end of a prompt: "{lost[0]}"{more} is cut off. Put what matters first.'
