"""The table of lengths that are seen."""

from experiments import defect_length as study


def test_shares_by_length():
  rows = study.table({'tiles': [(1.5, 0.95), (2.0, 0.5), (9.0, 0.91), (100.0, 0.99)], 'screws': [(9.0, 0.9)]}).rows
  assert rows[0] == ['0 to 2 px', '50% of 2', '–']  # 0.9 is not above 0.9
  assert rows[3] == ['8 to 16 px', '100% of 1', '0% of 1']
  assert rows[-1] == ['above 32 px', '100% of 1', '–']
