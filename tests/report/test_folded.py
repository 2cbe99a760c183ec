"""Blocks of a page that are shown once their title is clicked."""

from defect_jax.report import page


def written(tmp_path, *blocks):
  page.write(tmp_path / 'page.html', 'run', [page.Section('scores', blocks)])
  return (tmp_path / 'page.html').read_text()


def test_folded_blocks_are_drawn_within_details_and_their_commands_can_be_copied(tmp_path):
  text = written(tmp_path, page.Table([('first',)], ('Score',)), page.Folded('All 2 scores', [
      page.Text('Sorted.'), page.Table([('a<b',), ('second',)], ('Score',)), page.Commands([('Judge', 'why', 'ls')])]))
  inside = text[text.index('<details class="folded">'):text.index('</details>')]
  assert '<summary>All 2 scores</summary>' in inside and 'a&lt;b' in inside and 'Sorted.' in inside
  assert text.index('first') < text.index('<details') and "'.command button'" in text


def test_folded_blocks_without_content_are_left_out_and_are_no_content_of_a_section(tmp_path):
  empty = page.Folded('All', [page.Text('Sorted.'), page.Table([], ('Score',))])
  assert '<section' not in written(tmp_path, empty)
  text = written(tmp_path, page.Lines(['a line']), empty)
  assert 'a line' in text and '<details' not in text
