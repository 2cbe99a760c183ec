"""What the README and docs/results.md show exists: every command parses, every file is there."""

import importlib.util
import re
from pathlib import Path

import pytest

from defect_jax.config import from_command_line, table_of
from defect_jax.schema import check

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page: (ROOT / page).read_text() for page in ('README.md', 'docs/results.md')}
README = '\n'.join(PAGES.values())
JOBS = re.findall(r'^(?:\./launch\.sh|python -m defect_jax\.main --config=)\s*(configs/.*)$', README, re.MULTILINE)
MODULES = sorted(set(re.findall(r'-m (experiments\.\w+)', README)))
FILES = [(ROOT / page).parent / file for page, text in PAGES.items()
         for file in re.findall(r'\]\((?!http)([^)#]+)(?:#[^)]*)?\)', text)]
ANCHORS = [(page if not file else str(((ROOT / page).parent / file).resolve().relative_to(ROOT)), anchor)
           for page, text in PAGES.items() for file, anchor in re.findall(r'\]\(([^)#]*)#([^)]+)\)', text)]
OPTIONS = re.findall(r'`(--config\.[\w.]+=[^`\s]+)`', README)


@pytest.mark.parametrize('job', JOBS)
def test_a_job_is_a_valid_command(job):
  words = [word for word in job.split() if not word.startswith('--workdir')]
  _, config, rest = from_command_line([f'--config={words[0]}', *words[1:]])
  assert rest == []
  check(config, table_of(config))


@pytest.mark.parametrize('option', OPTIONS)
def test_an_option_is_a_key_of_its_job(option):
  group = option.removeprefix('--config.').partition('.')[0].partition('=')[0]
  job = {'sampler': 'generate', 'made': 'classifier', 'classifier': 'classifier'}
  job |= dict.fromkeys(('lora', 'masks', 'filter', 'weights'), 'inpaint')
  job |= dict.fromkeys(('mode', 'photos', 'tiles', 'score', 'threshold', 'measure'), 'anomaly')
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
