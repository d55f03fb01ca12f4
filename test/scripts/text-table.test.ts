import t from 'tap'
import { counted, section, textTable } from '../../scripts/text-table.ts'

t.test('columns are as wide as they must be; numbers and percentages are aligned to the right', async (t) => {
  t.same(
    textTable(
      ['Who', 'Count', 'Share'],
      [
        ['müller', 1_000_000, '50.0 %'],
        ['x', 2, '5.0 %'],
      ],
    ),
    ['Who         Count   Share', 'müller  1,000,000  50.0 %', 'x               2   5.0 %'],
  )
  t.same(
    textTable(
      ['A', 'B'],
      [
        [null, 1],
        ['x', undefined],
      ],
    ),
    ['A  B', '-  1', 'x  -'],
  )
  t.same(textTable(['A', 'B'], []), ['A  B'])
  t.equal(section('Title', ['a', 'b']), 'Title\n  a\n  b')
  t.same([counted(1, 'slot'), counted(0, 'slot')], ['1 slot', '0 slots'])
})
