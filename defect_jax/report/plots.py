"""Figures of a run: small functions from data to a matplotlib Figure.

Figures are made without pyplot, which keeps them in a global list and is not safe in threads.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from defect_jax.evaluation.latent import BAND, WINDOW
from defect_jax.report.verdict import number, percent, running_mean

Values = Float[np.ndarray, 'n'] | Sequence[float]
Marks = Sequence[tuple[float, str]]  # (step, words) of vertical lines
Level = tuple[float, str]  # (value, words) of a line of reference
# Okabe and Ito's colours, which colour-blind people tell apart. What the KLD moves is red, what the MSE moves blue.
COLOURS = {'kld': '#D55E00', 'E1': '#D55E00', 'mse': '#0072B2', 'E2': '#0072B2', 'D': '#009E73', 'elbo': '#CC79A7',
           'beta': '#000000', 'E1_E2': '#CC79A7'}
_OTHERS = ('#E69F00', '#56B4E9', '#882255', '#117733')
_INK, _FAINT, _TARGET = '#222222', '#999999', '#117733'
_SIZE = (4.7, 2.9)  # inches; small, so that letters stay readable on a phone
_DPI = 160  # of what is drawn as pixels
_MOST_POINTS = 3000  # of a line; a longer one is drawn as pixels, since its path would make the page megabytes


def loss(values: Float[np.ndarray, 'steps'], *, name: str, label: str, target: Float[np.ndarray, 'steps'] | None,
         log: bool = False, level: Level | None = None, dots: tuple[Values, Values, str] | None = None,
         since: int | None = None, marks: Marks = ()) -> Figure:
  """A loss at every step (faint) and its mean of 50 steps, with its target at each step and the band around it.

  `name` picks the colour; dots: (steps, values, words) of sparse measurements; since: step from which targets hold.
  """
  figure, axes = _axes(label)
  steps, mean, colour = np.arange(1, len(values) + 1), running_mean(values), _colour(name, 0)
  axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.7, rasterized=True, label='each step')
  axes.plot(steps, mean, color=colour, linewidth=1.5, rasterized=len(values) > _MOST_POINTS, label=f'mean of {WINDOW}')
  # On a linear axis a spike of the first steps would press all the rest flat.
  shown = [mean if log else mean[len(mean) // 10:]]
  if target is not None:
    goal = f'target {number(float(target[-1]))}'
    axes.plot(steps, target, color=_TARGET, linewidth=1.1, linestyle='--', label=goal)
    axes.fill_between(steps, target * (1 - BAND), target * (1 + BAND), color=_TARGET, alpha=0.15, linewidth=0,
                      rasterized=True)
    shown.append(target)
  if level is not None:
    _draw_level(axes, level)
    shown.append([level[0]])
  if dots is not None and len(dots[0]):
    axes.plot(dots[0], dots[1], 'o', color=_INK, markersize=3.5, clip_on=False, label=dots[2])
    shown.append(dots[1])
  _frame(axes, np.concatenate(shown), log, len(values))
  return _finished(figure, axes, [*marks, *([] if since is None else [(since, f'held from {since}')])])


def closeness(ratios: Mapping[str, Float[np.ndarray, 'steps']], *, marks: Marks = ()) -> Figure:
  """How close losses stay to their targets: mean of 50 steps of loss / target, and the band around 1."""
  figure, axes = _axes('loss / target')
  axes.axhspan(1 - BAND, 1 + BAND, color=_TARGET, alpha=0.15, linewidth=0, label=f'±{percent(BAND)}')
  axes.axhline(1, color=_TARGET, linewidth=1.1, linestyle='--')
  for order, (name, values) in enumerate(ratios.items()):
    axes.plot(np.arange(1, len(values) + 1), running_mean(values), color=_colour(name, order), linewidth=1.5,
              rasterized=len(values) > _MOST_POINTS, label=name.upper())
  _close_up(axes, np.concatenate([running_mean(values)[2 * len(values) // 3:] for values in ratios.values()]))
  axes.set_xlim(0, max(map(len, ratios.values())))
  return _finished(figure, axes, marks)


def lines(series: Mapping[str, tuple[Values, Values]], *, label: str, steps_total: float, log: bool = False,
          bounds: tuple[float, float] | None = None, level: Level | None = None, marks: Marks = ()) -> Figure:
  """Several figures {name: (steps, values)} over the steps; on a logarithmic axis zeros leave a gap."""
  figure, axes = _axes(label)
  for order, (name, (steps, values)) in enumerate(series.items()):
    # Thinner from line to line, so that of two that are equal both are seen.
    axes.plot(steps, values, color=_colour(name, order), linewidth=max(0.9, 2.4 - 0.7 * order),
              rasterized=len(steps) > _MOST_POINTS, label=name)
  if log and any(np.max(values) > 0 for _, values in series.values()):
    _log_scale(axes, nonpositive='mask')
  if level is not None:
    _draw_level(axes, level)
  if bounds:
    axes.set_ylim(*bounds)
  axes.set_xlim(0, steps_total)
  return _finished(figure, axes, marks)


def bars(values: Values, *, label: str, across: str) -> Figure:
  """A bar for each of `values`, tallest first, with its number below where there is room."""
  figure, axes = _axes(label, across)
  order = np.argsort(-np.asarray(values), kind='stable')
  axes.bar(np.arange(len(values)), np.asarray(values)[order], color=COLOURS['kld'])
  axes.set_xticks(np.arange(len(values)), order, fontsize=8.5 if len(values) <= 20 else 5)
  if len(values) > 40:
    axes.set_xticks([])
  return figure


def heat(steps: Values, values: Float[np.ndarray, 'n steps'], *, label: str, unit: str) -> Figure:
  """`values` as shades: row by row over the steps, with a scale."""
  figure, axes = _axes(label)
  axes.grid(False)
  shades = axes.pcolormesh([0, *steps], np.arange(len(values) + 1) - 0.5, values, cmap='magma', vmin=0, rasterized=True)
  axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
  scale = figure.colorbar(shades, ax=axes, pad=0.02)
  scale.ax.tick_params(labelsize=8)
  scale.set_label(unit, fontsize=8.5)
  return figure


def histogram(groups: Mapping[str, Values], threshold: float, *, label: str) -> Figure:
  """Shares of scores in common bins, as outlines of the groups that have any, and a threshold."""
  groups = {name: values for name, values in groups.items() if len(values)}
  figure, axes = _axes('share of the photos', label)
  every = np.concatenate([np.asarray(values, float) for values in groups.values()])
  # A few extreme scores would press all the rest into one bin.
  low, high = np.min(every), max(np.quantile(every, 0.99), threshold)
  edges = np.linspace(low, high + 1e-9 + (high - low) * 0.02, 31)
  for order, (name, values) in enumerate(groups.items()):
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    colour = (_FAINT, COLOURS['mse'], COLOURS['kld'], COLOURS['D'], *_OTHERS)[order % 8]
    axes.stairs(counts / len(values), edges, color=colour, linewidth=1.4, label=f'{name} ({len(values)})')
  axes.axvline(threshold, color=_INK, linewidth=1.0, linestyle='--', label=f'threshold {number(threshold)}')
  return _finished(figure, axes)


def curve(groups: Mapping[str, tuple[Values, Values]], *, across: str, label: str,
          level: tuple[Values, Values, str] | None = None) -> Figure:
  """Lines {name: (x, y)} in the unit square, such as ROC curves. level: (x, y, words) of a line of reference."""
  figure, axes = _axes(label, across)
  if level is not None:
    axes.plot(level[0], level[1], color=_FAINT, linewidth=0.9, linestyle='--', label=level[2])
  for order, (name, (x, y)) in enumerate(groups.items()):
    axes.plot(x, y, color=(COLOURS['mse'], COLOURS['kld'], *_OTHERS)[order], linewidth=1.6, label=name)
  axes.set(xlim=(0, 1), ylim=(0, 1.02))
  return _finished(figure, axes)


def intervals(rows: dict[str, tuple[float, float, float]], *, label: str, level: Level | None = None) -> Figure:
  """A dot with its interval for each of {name: (low, middle, high)}, from top to bottom."""
  figure, axes = _axes('', label)
  axes.grid(False)
  for place, (low, middle, high) in enumerate(reversed(rows.values())):
    axes.plot((low, high), (place, place), color=COLOURS['mse'], linewidth=2)
    axes.plot(middle, place, 'o', color=COLOURS['mse'], markersize=5)
  axes.set_yticks(range(len(rows)), list(reversed(rows)), fontsize=8.5)
  axes.set_ylim(-0.6, len(rows) - 0.4)
  if level is not None:
    axes.axvline(level[0], color=_INK, linewidth=1.0, linestyle='--', label=level[1])
  return _finished(figure, axes)


def scatter(points: Mapping[str, Float[np.ndarray, 'n 2']], *, label: str) -> Figure:
  """Points; the first name is drawn on top."""
  figure, axes = _axes(label, 'first principal component')
  for order, (name, places) in reversed(list(enumerate(points.items()))):
    axes.plot(*places.T, 'o', color=(COLOURS['kld'], _FAINT)[order], markersize=(4.5, 2.5)[order], alpha=0.8,
              linestyle='none', label=name, rasterized=len(places) > _MOST_POINTS)
  return _finished(figure, axes)


def encoded(figure: Figure, kind: Literal['svg', 'png']) -> bytes:
  """Bytes of a figure, SVG with letters as outlines and no date in it."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format=kind, dpi=_DPI, metadata={'Date': None, 'Creator': None} if kind == 'svg' else {})
  return buffer.getvalue()


def _axes(label, across='step'):
  figure = Figure(figsize=_SIZE, layout='constrained')
  axes = figure.add_subplot()
  axes.spines[['top', 'right']].set_visible(False)
  axes.spines[['left', 'bottom']].set_color(_FAINT)
  axes.tick_params(labelsize=8.5, color=_FAINT, labelcolor=_INK, which='both')
  axes.grid(axis='y', color='#e6e6e6', linewidth=0.6)
  axes.set_axisbelow(True)
  axes.set_xlabel(across, fontsize=8.5, color=_INK)
  axes.set_ylabel(label, fontsize=8.5, color=_INK)
  axes.xaxis.set_major_locator(MaxNLocator(6, integer=across == 'step'))
  return figure, axes


def _colour(name, order):
  return COLOURS.get(name) or _OTHERS[order % len(_OTHERS)]


def _draw_level(axes, level):
  axes.axhline(level[0], color=_INK, linewidth=0.9, linestyle=(0, (1, 2)), label=f'{level[1]} {number(level[0])}')


def _frame(axes, shown, log, last):
  """Room for all that counts; a spike of the first steps may leave the frame."""
  shown = shown[np.isfinite(shown)]
  low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 1.0)
  if log and low > 0:
    _log_scale(axes, low / 1.5, high * 2)
  else:
    axes.set_ylim(0, 1.3 * high or 1)
  axes.set_xlim(0, max(last, 1))


def _close_up(axes, ends):
  """The band with room around it; a run that ends far off its target gets a logarithmic axis that shows it."""
  low, high = min(1 - 5 * BAND, ends.min()), max(1 + 5 * BAND, ends.max())
  if low > 0 and high / low > 4:
    _log_scale(axes, low / 1.3, high * 1.3)
  else:
    axes.set_ylim(low, high)


def _log_scale(axes, *bounds, **keywords):
  """With 0.002 instead of a power of ten; in between where the axis spans too little for two of them."""
  axes.set_yscale('log', **keywords)
  if bounds:
    axes.set_ylim(*bounds)
  low, high = axes.get_ylim()
  axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
  axes.yaxis.set_minor_formatter(
      FuncFormatter(lambda value, _: f'{value:g}' if f'{value:e}'[0] in '25' else '') if high / low < 1000
      else NullFormatter())


def _finished(figure, axes, marks=()):
  """The figure with vertical lines and its legend, in as many columns as fit its width."""
  for step, words in marks:
    axes.axvline(step, color=_FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    note = axes.annotate(words, (step, 1), xycoords=('data', 'axes fraction'), xytext=(2, -2),
                         textcoords='offset points', fontsize=7, color='#555555', rotation=90, va='top', ha='left')
    note.set_in_layout(False)
  handles, names = axes.get_legend_handles_labels()
  for columns in range(min(len(names), 4), 0, -1):
    legend = figure.legend(handles, names, loc='outside upper left', ncols=columns, fontsize=8, frameon=False,
                           handlelength=1.4, columnspacing=1, borderaxespad=0.2)
    for handle in legend.get_lines():
      handle.set_alpha(1)
    if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
      break
    legend.remove()
  return figure
