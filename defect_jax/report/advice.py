"""What the figures of a run mean for a factory and what to do about it: one table of condition, sentence, command."""

from collections.abc import Callable, Mapping
from typing import Any

from defect_jax.report import detection, made_images, recognition, targets, verdict
from defect_jax.report.answers import SKIP, Answer, Facts, Rule, State, answers, verdict_of
from defect_jax.report.verdict import number, percent

SHORTEST = 8.0  # px of the network: shorter defects are lost
LARGEST = 256  # px that are suggested, at most


def of(task: str, facts: Facts) -> tuple[list[Answer], dict[str, Any]]:
  """The answers of a run of a task, and the summary's usable and reasons."""
  said = answers(task, facts, RULES)
  return said, verdict_of(said)


# What is looked at
def _long_enough(facts: Facts) -> State:
  if not (seen := facts['looked_at']):
    return SKIP
  return None if seen['defect_seen_px'] is None else seen['defect_seen_px'] >= SHORTEST


def _how_long(facts: Facts, state: State) -> str:
  seen = facts['looked_at']
  photo, side = ' x '.join(map(str, seen['photo_px'])), f'{seen["seen_px"]} x {seen["seen_px"]} px'
  tiled = facts.config.get('tiles.on')
  how = f'{number(1 / seen["scale"])} times smaller, in tiles of {side}' if tiled else f'as {side}'
  of_side = f'as they are looked at, {how}' if tiled else f'of the {seen["seen_px"]} px that are looked at'
  if state is None:
    return (f'Photos of {photo} px are looked at {how}. How long the defects are '
            f'is not known, since none are marked: those shorter than {SHORTEST / seen["scale"]:.0f} px of the photo '
            'are lost. Measure your smallest one; if it is shorter, take more pixels.')
  sizes = (f'Half of the {seen["masks"]} marked defects are shorter than {number(seen["defect_px"])} px in photos of '
           f'{photo} px, which are {number(seen["defect_seen_px"])} px {of_side}')
  return f'{sizes}: {"long enough to be seen." if state else f"below {SHORTEST:g} px a defect is lost in scaling."}'


def _larger(facts: Facts) -> Mapping[str, Any]:
  """The side at which the defects are long enough, if that is no more than LARGEST; else tiles, where there are any."""
  seen = facts['looked_at']
  if facts.config.get('classifier'):  # a classifier that was trained before stays
    return {}
  if seen['defect_seen_px'] is None:
    side = 2 * seen['seen_px']
    return {} if facts.config.get('tiles.on') or side > LARGEST or 'data.size' not in facts.config else {
        'data.size': side}
  if facts.config.get('tiles.on'):  # of which data.size is not the scale
    reduce = int(facts.config['tiles.reduce'] * seen['defect_seen_px'] / SHORTEST)
    return {'tiles.reduce': max(1, reduce)} if facts.config['tiles.reduce'] > 1 else {}
  side = 2 * seen['seen_px']
  while side < LARGEST and seen['defect_seen_px'] * side / seen['seen_px'] < SHORTEST:
    side *= 2
  if seen['defect_seen_px'] * side / seen['seen_px'] >= SHORTEST and side <= LARGEST:
    return {'data.size': side}
  return {'tiles.on': True} if 'tiles.on' in facts.config else {'data.region': 'mask'} if seen['masks'] else {}


# One folder, several things
def _mixed(code: str) -> Callable[[Facts], State]:
  """True where `mixture` was looked for and has no such thing; of classes of defects, where there are any."""
  def state(facts):
    found = facts['mixture']
    return SKIP if found is None or (code != 'mixed_products' and code not in found) else code not in found
  return state


def _sides(facts: Facts, code: str) -> str:
  return ' and '.join(f'{name} ({" and ".join(map(str, one["counts"]))})'
                      for name, one in facts['mixture'][code].items())


def _products(facts: Facts, state: State) -> str:
  if state:
    return 'The photos of each class show one product, as far as that can be seen by their looks.'
  return (f'Two products are learned as one: the photos of {_sides(facts, "mixed_products")} fall into two kinds, '
          'shown below. Put each kind into a folder of its own and train on one at a time.')


def _poses(facts: Facts, _: State) -> str:
  least = min(facts['mixture']['any_pose'].values())
  return (f'The parts lie in any pose: two of them overlap by {percent(least)}, where parts that are laid alike do '
          'by 90 % and more. What is at one place in one photo is elsewhere in the next, so images of several parts '
          'become one, and every place looks unusual. Lay the parts alike, or cut them out and turn them upright.')


def _by_light(facts: Facts, _: State) -> str:
  light = facts['mixture']['light_drifts']
  good, others = (f'{100 * level:.0f} %' for level in light['levels'])
  return (f'Good and defective photos differ in light: brightness alone tells {percent(light["auroc"])} of their pairs '
          f'apart ({good} and {others} of full brightness in the median). What is learned may be the light. Take both '
          'kinds in the same light.')


def _kinds(facts: Facts, _: State) -> str:
  return (f'One name stands for two kinds of defect: those of {_sides(facts, "mixed_kinds")} fall into two kinds, '
          'shown below. Give each a name of its own.')


# A VAE
def _known(facts: Facts, state: State) -> str:
  ratio = facts['known_ratio']
  if state is None:
    return ('Whether it knows its photos by heart is not known: nothing was held out'
            + (', and measure.known is off.' if facts.config.get('measure.known') is False else '.'))
  others = ('photos that were held out' if facts['known_how'] == 'held_out' else
            'the photos left out by a second VAE, trained on four fifths of them,')
  if not state:
    return (f'It knows its photos by heart: {others} are rebuilt {verdict.times(ratio)} worse than those trained on. '
            'It can make images near them, and says nothing of other photos. More photos mend that'
            + ('; varied ones and looser targets help.' if _varied(facts) else '.'))
  return (f'It has learned more than its photos: {others} are rebuilt with {verdict.times(ratio)} their error'
          + ('.' if ratio <= verdict.APART else ', clearly worse, but still as photos of the product.'))


def _varied(facts: Facts) -> Mapping[str, Any]:
  """Settings by which fewer photos are known by heart, where they are not mirrored yet."""
  flips = {f'data.augment.flip_{axis}': True for axis in ('horizontal', 'vertical')}
  if all(facts.config.get(key, True) for key in flips):
    return {}
  return flips | {'targets.kld': 64., 'targets.mse_of_variance': 0.04, 'steps.total': 4000}


def _samples(facts: Facts, state: State) -> str:
  distance = facts['sample_distance']
  if state is None:
    return 'How near new images are to the photos was not measured: it takes images of at least 32 px.'
  return (f'New images are {number(distance)} times as far from the photos as these are from one another: '
          + ('as near as these, or nearer.' if distance <= 1 else
             'much like the photos.' if state else
             'they do not look like photos of the product. Make images by configs/generate.py, which stays near '
             'the photos, rather than from the prior.'))


def _detail(facts: Facts) -> State:
  kept = facts['detail_kept']
  if kept is None:
    return SKIP
  return False if kept < verdict.BLURRED else True if kept >= verdict.DETAIL else None  # enough for stains alone


def _detail_words(facts: Facts, state: State) -> str:
  kept, own = facts['detail_kept'], facts['detail_kept_photo']
  of_photo = '' if own is None else f' (of what the photos show at their own size {percent(own)})'
  return (f'Of the fine detail that is looked at {percent(kept)} is kept{of_photo}: '
          f'{verdict.detail_words(kept)}.'
          + (' That is enough for stains and holes, not for cracks and scratches.' if state is None else ''))


RULES: tuple[Rule, ...] = (
    # --- Detectors: what they find, before why
    Rule('misses_defects', ('anomaly',), detection.finds, detection.finds_words, detection.mends, needed=True),
    Rule('false_alarms', ('anomaly',), detection.few_alarms, detection.alarms_words),
    Rule('few_held_out', ('anomaly',), detection.enough, detection.scarce_words),
    # --- Photos
    Rule('lost_in_scaling', ('vae', 'anomaly', 'classifier'), _long_enough, _how_long, _larger),
    Rule('mixed_products', ('vae', 'anomaly', 'classifier'), _mixed('mixed_products'), _products),
    Rule('any_pose', ('vae', 'anomaly'), _mixed('any_pose'), _poses),
    Rule('light_drifts', ('anomaly', 'classifier'), _mixed('light_drifts'), _by_light),
    Rule('mixed_kinds', ('vae', 'classifier'), _mixed('mixed_kinds'), _kinds),
    # --- A VAE
    Rule('known_by_heart', ('vae',), lambda facts: None if facts['known_ratio'] is None else
         facts['known_ratio'] <= verdict.HEART, _known, _varied, needed=True),
    Rule('samples_far_from_photos', ('vae', 'generate'), lambda facts: None if facts['sample_distance'] is None else
         facts['sample_distance'] <= made_images.FAR, _samples),
    Rule('detail_lost', ('vae',), _detail, _detail_words, targets.stricter),
    Rule('targets_unreachable', ('vae',), lambda facts: False if targets.too_low(facts) else SKIP, lambda facts, _: (
        f'The targets cannot be met together: at a KLD of {number(facts["kld_target"])} nats an MSE of '
        f'{number(facts["mse_target"])} is out of reach for these photos, which need {targets.least_kld(facts):.2f} '
        'nats.'), targets.needed),
    # --- Made images
    Rule('copies', ('generate', 'inpaint', 'inpaint_train'), made_images.new, made_images.new_words,
         made_images.farther),
    Rule('samples_far_from_photos', ('inpaint', 'inpaint_train'), made_images.like_real, made_images.like_real_words,
         made_images.more_like),
    Rule('off_the_part', ('inpaint',), made_images.on_the_part, made_images.on_the_part_words,
         made_images.onto_the_part),
    Rule('not_visible', ('generate', 'inpaint', 'inpaint_train'), made_images.seen, made_images.seen_words,
         made_images.stronger),
    Rule('kind_unknown_to_weights', ('inpaint',), made_images.known, made_images.known_words, made_images.teach),
    Rule('prompt_cut_off', ('inpaint',), made_images.read_whole, made_images.read_words),
    # --- Classifiers
    Rule('misses_defects', ('classifier',), recognition.finds, recognition.finds_words, recognition.mends, needed=True),
    Rule('false_alarms', ('classifier',), recognition.few_alarms, recognition.alarms_words, recognition.rarer),
    Rule('few_held_out', ('classifier',), recognition.enough, recognition.scarce_words, recognition.more_tested),
    Rule('looks_at_background', ('classifier',), recognition.looks, recognition.looks_words),
)
