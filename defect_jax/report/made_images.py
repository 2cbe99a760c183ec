"""What the figures of made images mean: copies, defects beside the part or that nobody sees, kinds nobody taught."""

from collections.abc import Mapping
from typing import Any

from defect_jax.report.answers import SKIP, Facts, State
from defect_jax.report.verdict import number, percent
from defect_jax.runs import command

COPIES = 0.15  # share of copies up to which images count as new; of new real photos 0.05 would count as copies
BESIDE = 0.1  # share of defects beside the part, up to which a set can be used
SEEN = 2 / 3  # share of made defects that are seen over that of real ones, from which on they are defects to the eye
TELLS = 0.5  # share of real defects that are seen, below which the measure says nothing
FAR = 2.0  # sample_distance above which images of a VAE are not like its photos
# The same of made defects, which lie at other places than real ones. On ball screws pits by the default weights have
# 2.2, noise by random ones 4.7.
FAR_CHANGED = 3.0
_STRONGEST = 8.0  # guidance that is suggested, at most
_CANDIDATES = 4, 16  # that are suggested, from and to
_OF_PHOTOS = 'path', 'source', 'cell_type', 'defects', 'few_shot', 'size', 'channels', 'region', 'fit'  # keys of data
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
  if new(facts) is None:
    return {}
  if 'vae' not in config:
    return {'masks.moved': True} if config.get('masks.moved') is False else {}
  # Of solar cells drawn between two photos 62 % were copies, of the best of four candidates 8 %; noise half as strong
  # again changed nothing.
  candidates = min(max(_CANDIDATES[0], 2 * config['sampler.candidates']), _CANDIDATES[1])
  more = {'sampler.candidates': candidates} if candidates > config['sampler.candidates'] else {}
  return ({'sampler.name': 'mosaic'} if config['sampler.name'] == 'posterior' else {}) | more


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


def like_real(facts: Facts) -> State:
  """Whether made defects are about as near to real ones as these are to one another."""
  return None if facts['sample_distance'] is None else facts['sample_distance'] <= FAR_CHANGED


def like_real_words(facts: Facts, state: State) -> str:
  """How far made defects are from real ones."""
  if state is None:
    return 'How like real defects they look is not known: there are too few real ones with masks among the photos.'
  words = (f'Made defects are {number(facts["sample_distance"])} times as far from real ones as these are from one '
           'another')
  return f'{words}: much like them.' if state else f'{words}: they do not look like real ones.'


def more_like(facts: Facts) -> Mapping[str, Any] | str:
  """A longer training, of the weights or by them."""
  if like_real(facts) is None:
    return {}
  return {'steps.total': 2 * facts.config['steps.total']} if 'steps.total' in facts.config else teach(facts)


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


def stronger(facts: Facts) -> Mapping[str, Any] | str:
  """Settings by which more of a defect is seen."""
  config = facts.config
  if seen(facts) is None:
    return {}
  if 'vae' in config:
    return sharper(facts)
  if 'steps.total' in config:  # a training
    return {'steps.total': 2 * config['steps.total']}
  if config['sampler.strength'] < 1:
    return {'sampler.strength': 1.0}
  if config['sampler.content'] != 'noise':
    return {'sampler.content': 'noise'}
  guidance = min(2 * config['sampler.guidance'], _STRONGEST)
  return {'sampler.guidance': guidance} if guidance > config['sampler.guidance'] else {}


def sharper(facts: Facts) -> str:
  """The command of a VAE of the same photos that keeps more detail: with half the MSE target. The config of the VAE is
  among the facts', its keys behind `vae.`."""
  config, key = facts.config, 'vae.targets.mse'
  if not config.get(key) and not config.get(key := 'vae.targets.mse_of_variance'):
    return ''
  kept = {f'vae.data.{name}': config.get(f'vae.data.{name}') for name in _OF_PHOTOS}
  settings = {name.removeprefix('vae.'): value for name, value in (kept | {key: config[key] / 2}).items()
              if value is not None}
  return command.of_job('vae_split', settings, f'{config["vae"]}_sharper')


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
  if known_kinds is None and not facts['unknown_kinds']:
    return {}
  if config.get('photos') not in (None, 'default'):
    return command.of_job('inpaint_train', {'data.path': config['photos']}, 'runs/taught')
  return {'defects': tuple(known_kinds)} if known_kinds else {'weights': 'default'}


def read_whole(facts: Facts) -> State:
  """Says something of prompts that are cut off alone."""
  return None if facts['cut_prompts'] else SKIP


def read_words(facts: Facts, state: State) -> str:
  """What of the prompts is not read."""
  lost = facts['cut_prompts']
  more = f' (and of {len(lost) - 1} more)' if len(lost) > 1 else ''
  return f'The weights do not read the end of a prompt: "{lost[0]}"{more} is cut off. Put what matters first.'
