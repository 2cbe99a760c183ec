"""What the README and docs/results.md show exists: every command parses, every file is there."""

import importlib.util
import re
from pathlib import Path

import pytest

from defect_jax.config import from_command_line, table_of
from defect_jax.schema import check
from experiments import results

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page: (ROOT / page).read_text() for page in (
    'README.md', 'docs/results.md', 'docs/choosing_targets.md', 'docs/glossary.md')}
README = '\n'.join(PAGES.values())
JOBS = re.findall(r'^(?:\./launch\.sh|python -m defect_jax\.main --config=)\s*(configs/.*)$', README, re.MULTILINE)
MODULES = sorted(set(re.findall(r'-m (experiments\.\w+)', README)))
FILES = [(ROOT / page).parent / file for page, text in PAGES.items()
         for file in re.findall(r'\]\((?!http)([^)#]+)(?:#[^)]*)?\)', text)]
ANCHORS = [(page if not file else str(((ROOT / page).parent / file).resolve().relative_to(ROOT)), anchor)
           for page, text in PAGES.items() for file, anchor in re.findall(r'\]\(([^)#]*)#([^)]+)\)', text)]
# A sentence with a gap per figure, and where the figures stand: file in docs/results/, row, column, which number.
_SOLAR, _TILES = 'augmentation_study_final_elpv_resnet', 'augmentation_study_final_magnetic_tile_vgg16'
_POINTS, _DEV_POINTS = 'against classic, points of balanced accuracy (95 %)', 'points of balanced accuracy (95 %)'
_BEST, _KID, _BOTH = 'and half of each of the last two', 'KID (95 % interval)', 'runs at both targets'
_FILLED = 'KID (95 %) against 100 held-out areas of defects'
QUOTED = [
    ('README.md', 'AUROC {} on solar cells, {} on ball screws', [
        ('anomaly_study_final_image', row, 'VAE', 0) for row in ('solar cells', 'ball screws (bsdata)')]),
    ('README.md', 'KID {} where the photos themselves', [('samplers_study', 'mosaic', _KID, 0)]),
    ('README.md', 'they arrive in {} of {} seeds', [
        ('targets_study_vae_split_seeds', 'solar cells, seeds 0 to 9', _BOTH, place) for place in (0, 1)]),
    ('README.md', 'conventional training in {} of {}', [
        ('targets_study_vae_joint_seeds', 'solar cells, seeds 0 to 2, conventional training', _BOTH, place)
        for place in (0, 1)]),
    ('README.md', 'Mosaics have a KID of {}', [('samplers_study', 'mosaic', _KID, 0)]),
    ('README.md', 'samples of the prior have {}.', [('samplers_study', 'prior', _KID, 0)]),
    ('README.md', 'with mosaics it does, {} against {}', [
        ('thesis_figure3', f'{method}, mosaic', 'KID', 0) for method in ('split', 'conventional')]),
    ('README.md', 'half inpainting) is {} points of balanced accuracy ahead of classic augmentation ({} to {})',
     [(_SOLAR, _BEST, _POINTS, place) for place in range(3)]),
    ('README.md', 'images of the VAE by {} ({} to {})', [
        (_TILES, 'and images of the VAE by E1, E2, D', _POINTS, place) for place in range(3)]),
    ('README.md', 'merely cut and pasted by {} ({} to {})', [
        (_TILES, 'and defects cut and pasted', _POINTS, place) for place in range(3)]),
    ('README.md', 'the network {} points on solar cells of dev', [
        ('augmentation_study_dev_elpv', 'all 163 of the pool, nothing made', _DEV_POINTS, 0)]),
    ('README.md', 'defects with a KID of {}, nearer to real ones than cutting and pasting ({})', [
        ('inpaint_fillings_elpv', row, _FILLED, 0) for row in ('the pipeline', 'defects cut and pasted')]),
    ('docs/results.md', 'is {} points ahead of classic augmentation where', [(_SOLAR, _BEST, _POINTS, 0)]),
    ('docs/results.md', 'though the surroundings alone tell of {}.', [
        ('inpaint_classes', 'likewise by the text of good areas, named as the defect', 'break', 0)])]
OPTIONS = re.findall(r'`(--config\.[\w.]+=[^`\s]+)`', README)


@pytest.mark.parametrize('job', JOBS)
def test_a_job_is_a_valid_command(job):
  words = [word for word in job.split() if not word.startswith('--workdir')]
  _, config, rest = from_command_line([f'--config={words[0]}', *words[1:]])
  assert rest == []
  check(config, table_of(config))


@pytest.mark.parametrize('option', OPTIONS)
def test_an_option_is_a_key_of_its_job(option):
  key = option.removeprefix('--config.').partition('=')[0]
  group = 'data' if key == 'measure.known' else key.partition('.')[0]
  job = {'sampler': 'generate', 'made': 'classifier', 'classifier': 'classifier'}
  job |= dict.fromkeys(('lora', 'masks', 'filter', 'weights'), 'inpaint')
  job |= dict.fromkeys(('mode', 'photos', 'tiles', 'score', 'threshold', 'measure', 'detectors'), 'anomaly')
  job = job.get(group, 'vae_split')
  _, config, rest = from_command_line([f'--config=configs/{job}.py', option])
  assert rest == []
  check(config, table_of(config))


def test_what_is_pointed_to_exists():
  assert JOBS and MODULES and FILES and OPTIONS
  assert all(file.exists() for file in FILES)
  assert all(importlib.util.find_spec(module) for module in MODULES)


def test_links_into_pages_lead_to_headings():
  headings = {(page, re.sub(r'[^\w -]', '', line.lower()).strip().replace(' ', '-'))
              for page, text in PAGES.items() for line in re.findall(r'^#+ (.*)$', text, re.MULTILINE)}
  assert ANCHORS and set(ANCHORS) <= headings


def test_the_tables_of_the_results_are_those_of_the_files():
  assert all(results.page(text) == text for page, text in PAGES.items() if page.startswith('docs/'))
  named = {name for text in PAGES.values() for names in re.findall('<!-- results: (.*) -->', text)
           for name in names.split()}
  assert named == {file.stem for file in results.FOLDER.iterdir()}


@pytest.mark.parametrize(('page', 'sentence', 'cells'), QUOTED)
def test_a_quoted_figure_stands_in_a_table(page, sentence, cells):
  text = ' '.join(PAGES[page].split())
  pattern = re.escape(sentence).replace(r'\{\}', r'([+-]?\d+(?:\.\d+)?)')
  match, = re.finditer(pattern, text)
  for quoted, (name, row, column, place) in zip(match.groups(), cells, strict=True):
    table = results.read(name)
    cell, = (of[table.columns.index(column)] for of in table.rows if of[0] == row)
    number = re.findall(r'[+-]?\d+(?:\.\d+)?', cell)[place]
    digits = len(quoted.partition('.')[2])
    assert abs(float(quoted) - float(number)) <= 0.5001 * 10 ** -digits, f'{quoted} of {cell}'
