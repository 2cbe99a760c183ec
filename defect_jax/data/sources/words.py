"""What people call folders: of good photos, defective ones, training and testing, and days, shifts and lines."""

import functools
import re
import unicodedata
from collections.abc import Iterable

from defect_jax.errors import UserError


def _plain(name):
  """Without case, accents, spaces and punctuation."""
  return re.sub(r'[\W_]+', '', _folded(name))


@functools.cache
def _folded(name):
  """Lower case without accents: Turkish dotless i, Polish l and Vietnamese d are plain letters too."""
  text = unicodedata.normalize('NFKD', name.casefold()).translate(str.maketrans('ıłđøß', 'ildos'))
  return unicodedata.normalize('NFC', ''.join(letter for letter in text if not unicodedata.combining(letter)))


def _listed(text):
  return frozenset(map(_plain, text.split()))


# Each without its spaces, see _plain. English, German; French, Spanish, Italian, Portuguese, Romanian;
# Dutch, Swedish, Danish, Norwegian, Finnish; Polish, Czech, Slovak, Hungarian; Turkish, Vietnamese, Indonesian;
# Russian, Ukrainian; Chinese, Japanese, Korean, Thai.
_GOOD = _listed("""
  good goods ok okay io ok1 pass passed passing normal normals fine golden reference clean intact undamaged healthy
  flawless faultless perfect accept accepted acceptable approved conforming compliant nodefect nodefects nondefect
  nondefective notdefective defectfree withoutdefect withoutdefects undefective undefected nofault noerror noanomaly
  nonanomalous nocrack nocracks uncracked
  gut gute guter gutes gutteil inordnung fehlerfrei fehlerlos einwandfrei defektfrei mangelfrei unbeschadigt iotteil
  ioteil okteil unauffallig
  bon bons bonne bonnes conforme conformes sansdefaut sansdefauts sain accepte
  bueno buenos buena buenas correcto correctos sindefecto sindefectos aceptado aprobado apto
  buono buoni buona buone conformi senzadifetti senzadifetto accettato
  bom bons boa boas semdefeito semdefeitos aprovado aceito bun bune faradefecte
  goed goede goedgekeurd godkand godkanda bra felfri god gode godkjent godkendt feilfri fejlfri hyva hyvat virheeton
  dobry dobra dobre dobrze bezwad bezwady zgodny zgodne bezvad bezvady bezchyb jo jok megfelelo hibatlan
  iyi saglam kusursuz hatasiz uygun kabul normali tot dat baik bagus lulus
  годен годные годный годная хороший хорошие хорошо норма нормальные исправные исправный бездефектов бездефекта
  придатні придатний добрі
  良 良品 良好 好 好品 合格 合格品 正常 正常品 正品 無缺陷 无缺陷 無瑕疵 无瑕疵 無異常 异常无 优 可 適合 欠陥なし
  異常なし
  양품 양호 정상 합격 정상품 ดี ผ่าน ปกติ
""")
_DEFECTIVE = _listed("""
  ng nog ngs nok nio notok nook ko bad bads defect defects defective defectives defected fail fails failed failure
  failures fault faults faulty abnormal abnormals abnormality anomaly anomalies anomalous anomal reject rejects
  rejected broken damaged damage scrap unacceptable nonconforming nonconformity nongood notgood nogood notpass
  nonnormal
  schlecht schlechte schlechtteil nichtinordnung nichtok ausschuss fehler fehlerhaft fehlerhafte defekt defekte
  defektteil mangelhaft fehlteil nioteil nokteil ngteil auffallig anomalie anomalien beschadigt
  mauvais mauvaise mauvaises defaut defauts defectueux defectueuse nonconforme nonconformes rebut rebuts rejete
  malo malos mala malas defecto defectos defectuoso defectuosos defectuosa noconforme noconformes rechazado rechazo
  noapto
  cattivo cattivi difetto difetti difettoso difettosi difettosa nonconformi scarto scarti
  ruim ruins defeito defeitos defeituoso defeituosos defeituosa reprovado rejeitado naoconforme naoconformes refugo
  rau rele defecte defectele
  fout foute foutief slecht afgekeurd underkand underkanda dalig daliga felaktig darlig defekter feil fejl viallinen
  vialliset hylatty
  zly zla zle wadliwy wadliwe wadliwa wada wady niezgodny niezgodne brak braki vadne vadny vadna vada vady spatne
  zmetek zmetky chybne chybny rossz hibas hiba hibak selejt
  kotu hatali hata kusurlu kusur bozuk uygunsuz ret loi hong xau khongdat cacat rusak gagal
  брак бракованные негоден негодные негодный дефект дефекты дефектные дефектный плохой плохие плохо неисправные
  неисправный аномалия аномалии непридатні погані
  不良 不良品 不合格 不合格品 异常 異常 異常品 异常品 缺陷 缺陷品 有缺陷 瑕疵 瑕疵品 次品 坏 壞 坏品 废品 廢品 欠陥
  欠陥品 否 不可 不適合
  불량 불량품 비정상 불합격 결함 결함품 이상 ไม่ดี เสีย ไม่ผ่าน ผิดปกติ
""")
_EITHER = _listed('positive negative pos neg 0 1 true false yes no')
_PARTS = {'train': 'train training trn traindata 训练 训练集 訓練 学習 entrenamiento treino addestramento entrainement',
          'val': 'val valid validation validate dev 验证 验证集 検証 validacion validacao validierung',
          'test': 'test testing tst eval 测试 测试集 評価 テスト prueba teste'}
_PART_OF = {word: part for part, words in _PARTS.items() for word in _listed(words)}
# Words that say nothing of a class: 'OK images', 'photos_ng', 'Gutteile 2'.
_FILLERS = _listed("""
  image images img imgs photo photos picture pictures pic pics foto fotos bild bilder teil teile part parts piece
  pieces sample samples specimen specimens product products item items data dataset raw rgb set class label all only
  my folder the example examples imagen imagenes immagini imagens zdjecia
""")
_ENDS = re.compile('(画像|写真|图片|图像|照片|样本|樣本|圖片|圖像|사진|이미지|의)$')
# Folders of what is marked, which hold no photos.
MARKS = _listed("""
  groundtruth groundtruths gt gts mask masks labels annotation annotations ann anns segmentation segmentations
  labelme json xml
""")
_COUNTED = '|'.join(sorted(_listed("""
  day date shift line lot batch charge week kw cw month workpiece part piece camera cam station series run unit
  serial sn no nr session sample set seq sequence product machine tag schicht linie los serie kamera woche turno
  linea ligne equipe lote lotto jour dia giorno zmiana linia partia vardiya hat gun смена линия партия день
""")))
_MONTHS = ('jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|'
           'oct(?:ober)?|nov(?:ember)?|dec(?:ember)?')
_GROUP = re.compile(
    rf'(?:{_COUNTED})(?:[\s_.#-]*\d+|[\s_.#-]+[a-z])|'
    r'[\d\s_.:#-]*\d[\d\s_.:#t-]*|'
    r'\d+[年月日号班线線批][\d年月日线線]*|'
    r'(?:班|线|線|批次?|ライン|ロット|라인|로트)[\s_-]*(?:\d+|[a-z])|[早中晚夜白日]班|'
    r'(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|'
    r'(?:early|late|night|day|morning|evening)[\s_-]?shift|(?:fruh|spat|nacht|tag)schicht|'
    rf'(?:\d{{1,4}}[\s_-]*)?(?:{_MONTHS})[\s_-]*\d{{1,4}}(?:[\s_-]*\d{{1,4}})?|\d{{1,4}}[\s_-]*(?:{_MONTHS})')


def is_good(name: str) -> bool:
  """Whether a folder of this name, in any case and in a factory's language, holds photos without a defect."""
  return _meaning(name) in _GOOD


def is_defective(name: str) -> bool:
  """Whether a folder of this name holds defective photos of no particular class."""
  return _meaning(name) in _DEFECTIVE


def part_of(name: str) -> str:
  """'train', 'val' or 'test' for the name of such a folder, else ''."""
  return _PART_OF.get(_plain(name), '')


def is_filler(name: str) -> bool:
  """Whether a folder's name says nothing but that it holds photos."""
  return bool(words := _words(name)) and all(word in _FILLERS for word in words)


def is_marks(name: str) -> bool:
  """Whether a folder of this name holds masks or annotation files."""
  return _plain(name) in MARKS


def is_group(name: str) -> bool:
  """Whether a name is that of a day, shift, line, lot, camera or workpiece, or a number, rather than of a class."""
  return bool(_GROUP.fullmatch(_folded(_apart(name)).strip()))


def check_clear(names: Iterable[str], where: str) -> None:
  """Raises UserError for classes whose names mean good to some people and defective to others."""
  names = sorted(names)
  if len(names) > 1 and all(_plain(name) in _EITHER for name in names):
    raise UserError(f'{where} has the classes {" and ".join(names)}, which may mean either; call the good one good')


@functools.cache
def _meaning(name):
  """The name without numbers and without words that say nothing of a class, as _plain."""
  if (plain := _plain(name)) in _GOOD | _DEFECTIVE:
    return plain
  rest = _ENDS.sub('', ''.join(word for word in _words(name) if word not in _FILLERS))
  return rest if rest in _GOOD | _DEFECTIVE else re.sub('(teile|bilder|fotos)$', '', rest)


def _words(name):
  """Its words without accents."""
  return re.findall(r'[^\W\d_]+', _folded(_apart(name)))


def _apart(name):
  """Capitals within begin a word."""
  return re.sub(r'(?<=[a-z]{2})(?=[A-Z])', ' ', name)
