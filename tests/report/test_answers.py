"""How rules become answers, and what a page shows of them."""

from defect_jax.report import page
from defect_jax.report.answers import SKIP, Facts, Rule, answers, verdict_of


def _facts(**summary):
  return Facts(summary, {}, lambda changes: ' '.join(f'--config.{key}={value}' for key, value in changes.items()))


def _rule(code, key, needed=False, changes=None):
  return Rule(code, ('vae',), lambda facts: facts[key], lambda facts, state: f'{code} is {state}.',
              lambda facts: changes or {}, needed)


RULES = (_rule('one', 'a'), _rule('two', 'b', changes={'data.size': 128}), _rule('three', 'c', needed=True))


def test_what_speaks_against_comes_first_and_what_is_fine_last():
  said = answers('vae', _facts(a=True, b=False, c=None), RULES)
  assert [(one.code, one.state, one.sentence) for one in said] == [
      ('two', False, 'two is False.'), ('three', None, 'three is None.'), ('one', True, 'one is True.')]
  assert [one.command for one in said] == ['--config.data.size=128', '', '']


def test_no_command_where_all_is_well_and_nothing_of_other_tasks_or_skipped_rules():
  said = answers('vae', _facts(a=SKIP, b=True, c=True), RULES)
  assert [(one.code, one.command) for one in said] == [('two', ''), ('three', '')]
  assert answers('anomaly', _facts(a=True, b=True, c=True), RULES) == []


def test_a_run_is_usable_where_nothing_speaks_against_it_and_what_is_needed_is_known():
  assert verdict_of(answers('vae', _facts(a=True, b=True, c=True), RULES)) == {'usable': True, 'reasons': []}
  assert verdict_of(answers('vae', _facts(a=None, b=True, c=True), RULES))['usable'] is True
  assert verdict_of(answers('vae', _facts(a=True, b=True, c=None), RULES))['usable'] is None
  assert verdict_of(answers('vae', _facts(a=False, b=False, c=None), RULES)) == {
      'usable': False, 'reasons': ['one', 'two']}
  assert verdict_of([])['usable'] is None


def test_too_few_held_out_photos_mean_that_it_is_not_known():
  few = _rule('few_held_out', 'a')
  assert verdict_of(answers('vae', _facts(a=False, b=True), (few, RULES[1]))) == {
      'usable': None, 'reasons': ['few_held_out']}
  assert verdict_of(answers('vae', _facts(a=False, b=False), (few, RULES[1]))) == {
      'usable': False, 'reasons': ['few_held_out', 'two']}


def test_a_page_begins_with_the_answer(tmp_path):
  path = tmp_path / 'page.html'
  page.write(path, 'A run', [], answers=answers('vae', _facts(a=True, b=False, c=True), RULES), verdict=['Targets.'])
  text = path.read_text()
  places = [text.index(words) for words in ('Can I use it?', 'Not as it is.', 'two is False.', 'Targets.')]
  assert places == sorted(places)
  assert 'class="against"' in text and '<button type="button">Copy</button>' in text
  page.write(path, 'A run', [], answers=answers('vae', _facts(a=True, b=True, c=True), RULES))
  assert 'Yes, by all that was measured.' in path.read_text() and '<script' not in path.read_text()
