import pytest

from defect_jax.data.sources import words
from defect_jax.errors import UserError

# Pairs of folders as factories have them, good first.
_PAIRS = """
good/defective OK/NG ok/nok Good/Bad normal/abnormal PASS/FAIL IO/NIO i.O./n.i.O. no_defect/defect defect-free/defects
non-defective/defective OK_parts/NG_parts 01_good/02_bad good_images/bad_images GoodParts/BadParts undamaged/damaged
Gutteile/Schlechtteile in_Ordnung/nicht_in_Ordnung fehlerfrei/Fehler unauffällig/auffällig ok-Bilder/nok-Bilder
良品/不良品 正常/異常 合格/不合格 良品画像/不良画像 OK图片/NG图片 正常/异常 无缺陷/缺陷 양품/불량 정상/비정상
bueno/malo sin_defectos/defectos conforme/no_conforme Sans_défaut/Défauts buoni/difettosi conforme/non-conforme bom/ruim
aprovado/reprovado dobre/złe zgodne/niezgodne İYİ/KÖTÜ sağlam/hatalı годные/брак Хорошие/Плохие đạt/không_đạt tốt/lỗi
goed/fout godkänd/underkänd hyvät/vialliset ผ่าน/ไม่ผ่าน
"""


@pytest.mark.parametrize('pair', _PAIRS.split())
def test_good_and_defective_are_known_in_the_languages_of_factories(pair):
  good, defective = pair.split('/')
  assert (words.is_good(good), words.is_defective(good)) == (True, False)
  assert (words.is_good(defective), words.is_defective(defective)) == (False, True)


@pytest.mark.parametrize('name', ['crack', 'scratch', 'okra', 'goodyear', 'positive', 'line', 'lost', '2026-11-02',
                                  'surface', 'hole', 'normal_map'])
def test_other_names_are_neither(name):
  assert not words.is_good(name) and not words.is_defective(name)


@pytest.mark.parametrize('name', [
    '2026-11-02', '20261102', '2.11.2026', 'shift1', 'Shift_B', 'line 2', 'LINE-3', 'lot4711', 'Schicht 2', 'KW45',
    'cam1', '7', 'Nachtschicht', 'Monday', 'Nov 2', '2026年11月2日', '3号线', '夜班'])
def test_days_shifts_and_lines_are_groups(name):
  assert words.is_group(name)


@pytest.mark.parametrize('name', [
    'line', 'lost', 'crack', 'scratch 1', 'mark1', 'spot', 'day', 'cams', 'types', 'sets'])
def test_classes_are_no_groups(name):
  assert not words.is_group(name)


def test_names_that_may_mean_either_are_asked_for():
  words.check_clear(['good', 'positive'], 'x')
  for names in (['positive', 'Negative'], ['0', '1']):
    with pytest.raises(UserError, match='may mean either; call the good one good'):
      words.check_clear(names, 'data.path: photos')
