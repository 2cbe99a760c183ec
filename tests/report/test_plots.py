import xml.etree.ElementTree as xml

import numpy as np

from defect_jax.report import plots
from defect_jax.report.verdict import running_mean


def _line(figure, label):
  found, = (line for line in figure.axes[0].lines if str(line.get_label()).startswith(label))
  return found


def _loss(values, **changes):
  return plots.loss(values, **{'name': 'kld', 'label': 'KLD', 'target': None} | changes)


def test_loss_draws_steps_mean_target_and_band():
  values = np.linspace(20, 10, 200)
  target = np.where(np.arange(200) < 100, 16.0, 12.0)
  figure = _loss(values, target=target, level=(3.2, 'log N'), since=150, marks=[(100, 'KLD 12')])
  assert _line(figure, 'each step').get_xdata()[[0, -1]].tolist() == [1, 200]
  np.testing.assert_array_equal(_line(figure, 'mean of 50').get_ydata(), running_mean(values, 50))
  np.testing.assert_array_equal(_line(figure, 'target 12').get_ydata(), target)
  assert set(_line(figure, 'log N 3.2').get_ydata()) == {3.2}
  band = figure.axes[0].collections[0].get_paths()[0].vertices
  np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [0.95 * 12, 1.05 * 16])
  assert {note.get_text(): note.xy[0] for note in figure.axes[0].texts} == {'KLD 12': 100, 'held from 150': 150}


def test_a_spike_of_the_first_steps_does_not_press_the_rest_flat():
  values = np.full(1000, 16.0)
  values[:20] = 5000
  assert _loss(values).axes[0].get_ylim() == (0, 1.3 * 16)
  low, high = _loss(values, log=True).axes[0].get_ylim()
  assert low < 16 and high > 5000  # a logarithmic axis shows all


def test_zeros_do_not_break_a_logarithmic_axis():
  assert _loss(np.zeros(100), log=True).axes[0].get_yscale() == 'linear'
  steps = np.array([1, 2, 3])
  for values, scale in (([0.0, 0.0, 0.0], 'linear'), ([0.01, 0.0, 0.02], 'log')):
    axes = plots.lines({'E1': (steps, np.array(values))}, label='norm', steps_total=3, log=True).axes[0]
    assert axes.get_yscale() == scale
    assert scale == 'linear' or 0.005 < axes.get_ylim()[0] < 0.01  # the zero does not stretch it


def test_closeness_zooms_in_on_the_band_and_out_where_a_loss_ends_far_off():
  near = plots.closeness({'kld': np.full(100, 1.01), 'mse': np.full(100, 0.97)}).axes[0]
  assert near.get_ylim() == (0.75, 1.25) and near.get_yscale() == 'linear'
  far = plots.closeness({'kld': np.full(100, 0.03), 'mse': np.full(100, 40.0)}).axes[0]
  assert far.get_ylim()[0] < 0.03 and far.get_ylim()[1] > 40 and far.get_yscale() == 'log'


def test_streams_keep_their_colours_whatever_the_order():
  steps = np.arange(3)
  one = plots.lines({'E1': (steps, steps), 'D': (steps, steps)}, label='gain', steps_total=3)
  other = plots.lines({'D': (steps, steps), 'E2': (steps, steps), 'E1': (steps, steps)}, label='gain', steps_total=3)
  for name in ('E1', 'D'):
    assert _line(one, name).get_color() == _line(other, name).get_color()
  assert len({line.get_color() for line in other.axes[0].lines}) == 3


def test_svg_is_a_drawing_without_date():
  text = plots.encoded(_loss(np.ones(10)), 'svg')
  assert xml.fromstring(text).tag.endswith('svg') and b'<dc:date>' not in text


def test_a_legend_stays_inside_its_figure():
  groups = {'good, for the threshold': np.arange(103.), 'good, tested': np.arange(101.), 'defective': np.arange(76.)}
  figure = plots.histogram(groups, 50., label='score')
  (legend,) = figure.legends
  assert legend.get_window_extent().width <= figure.bbox.width
  assert [text.get_text() for text in legend.get_texts()][-1] == 'threshold 50'
