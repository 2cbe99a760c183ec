"""How long a job of several like parts will take, such as the trainings of all folds."""


class Forecast:
  """Says how long the whole job will take as soon as the first part has a rate, and again after one and two parts where
  that was wrong: the first has what is compiled once in it.

    forecast = Forecast(6, '5 folds and the detector that stays')
    inner = Workdir(folder, workdir, forecast)   # the progress line of a training in there gives it the rate
    forecast.of_part(seconds)                    # what a whole part took, with all that is not training
  """

  def __init__(self, parts: int, words: str):
    """parts: how many there are still to do, each of about the same length. words: what they are."""
    self._parts, self._words, self._said = parts, words, 0.
    self._done: list[float] = []

  def of_training(self, seconds: float) -> None:
    """Takes how long the training of one part will take; only the first counts."""
    if not self._said:
      self._say(self._parts * seconds)

  def of_part(self, seconds: float) -> None:
    """Takes how long a part took; says so if the job will take a quarter more or less than was said."""
    self._done.append(seconds)
    whole = sum(self._done) + (self._parts - len(self._done)) * seconds
    if len(self._done) <= min(2, self._parts - 1) and abs(whole - self._said) > self._said / 4:
      self._say(whole)

  def _say(self, seconds):
    self._said = seconds
    print(f'forecast: about {duration(seconds)} in all: {self._words}', flush=True)


def duration(seconds: float) -> str:
  """Such as '40 s', '6 min' and '2.5 h'."""
  if seconds < 90:
    return f'{max(1., seconds):.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
