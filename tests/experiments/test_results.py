"""Tables are written as JSON, and pages made of it."""

import json
import sys

import pytest

from defect_jax.config import UserError
from experiments import command, results

PAGE = ('Before.\n\n<!-- results: a b -->\n| stale |\n<!-- /results -->\n\n'
        'After: <!-- results: b -->\n<!-- /results -->\n')


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(results, 'FOLDER', tmp_path / 'results')
  monkeypatch.setattr(results, 'PAGES', (tmp_path / 'page.md',))
  monkeypatch.setattr(sys, 'argv', ['/somewhere/targets_study.py', '--seeds=3', '--data=/somewhere', '--publish'])
  results.publish('a', results.Table(['name', 'KID'], [['x', '0.25 ±0.125']]), {'x': 0.25})
  results.publish('b', results.Table(['name', 'KID'], [['y', '–']]))
  return tmp_path / 'results'


def test_a_file_says_how_its_table_came_about(folder):
  content = json.loads((folder / 'a.json').read_text())
  assert content.pop('version') and content.pop('date') and content.pop('machine')
  assert content == {'study': 'a', 'command': 'python -m experiments.targets_study --seeds=3',
                     'columns': ['name', 'KID'], 'rows': [['x', '0.25 ±0.125']], 'figures': {'x': 0.25}}


def test_a_page_has_the_rows_of_the_files_it_names(folder):
  written = results.page(PAGE)
  assert written == ('Before.\n\n<!-- results: a b -->\n| name | KID |\n|---|---|\n| x | 0.25 ±0.125 |\n'
                     '| y | – |\n'
                     '<!-- /results -->\n\nAfter: <!-- results: b -->\n| name | KID |\n|---|---|\n| y | – |\n'
                     '<!-- /results -->\n')
  assert results.page(written) == written


def test_files_that_do_not_fit_together_or_are_not_there_are_refused(folder):
  results.publish('b', results.Table(['name'], [['y']]))
  with pytest.raises(UserError, match='a, b stand in one table, but have different columns'):
    results.page(PAGE)
  (folder / 'b.json').unlink()
  with pytest.raises(UserError, match=r'docs/results/b\.json: cannot be read'):
    results.page(PAGE)


def test_the_command_checks_the_page_or_writes_it(folder, monkeypatch):
  results.PAGES[0].write_text(PAGE)
  monkeypatch.setattr(sys, 'argv', ['results', '--check'])
  with pytest.raises(SystemExit, match='disagree'):
    command.run(results.main, results.FLAGS)
  assert results.PAGES[0].read_text() == PAGE
  monkeypatch.setattr(sys, 'argv', ['results'])
  command.run(results.main, results.FLAGS)
  assert results.PAGES[0].read_text() == results.page(PAGE)
  monkeypatch.setattr(sys, 'argv', ['results', '--check'])
  command.run(results.main, results.FLAGS)
