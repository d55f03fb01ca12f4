import t from 'tap'
import { RevCursor } from '../../db/rev-cursor.ts'

/** A cursor that looks at each of these points in turn, and where it reads from at the last. */
function reads(...points: [last: number, running: string][]): number {
  const cursor = new RevCursor()
  let from = -1
  for (const [last, running] of points) {
    from = cursor.from({ last, running })
    cursor.moveTo({ last, running })
  }
  return from
}

t.test('reads from where it stood', async (t) => {
  t.equal(reads([10, '5:5:']), 0)
  t.equal(reads([10, '5:5:'], [10, '5:5:']), 10)
  t.equal(reads([10, '5:5:'], [12, '7:7:'], [15, '9:9:']), 12)
})

t.test('goes back behind a transaction that has ended, to where it was first seen', async (t) => {
  t.equal(reads([10, '5:5:'], [20, '6:8:6'], [30, '6:9:6']), 20, 'not while it runs')
  t.equal(reads([10, '5:5:'], [20, '6:8:6'], [30, '6:9:6'], [40, '10:10:']), 10)
  t.equal(
    reads([10, '5:5:'], [20, '6:8:6'], [30, '6:9:6,8'], [40, '8:10:8']),
    10,
    'the earliest that ended counts',
  )
  t.equal(reads([10, '5:5:'], [20, '6:8:6'], [30, '6:9:6,8'], [40, '6:10:6']), 20)
  t.equal(reads([10, '5:5:'], [20, '6:8:6'], [40, '10:10:'], [50, '11:11:']), 40, 'once')
})

t.test('cannot place what was running at its first look', async (t) => {
  const cursor = new RevCursor()
  cursor.moveTo({ last: 10, running: '5:6:5' })
  t.ok(cursor.isVague)
  cursor.moveTo({ last: 11, running: '7:7:' })
  t.notOk(cursor.isVague)
  t.equal(reads([10, '5:6:5'], [20, '7:7:']), 0)
})

t.test('starts over on a server that is behind', async (t) => {
  t.equal(reads([10, '5:5:'], [8, '9:9:']), 0)
  t.equal(reads([10, '5:5:'], [12, '4:4:']), 0)
  t.equal(reads([10, '5:5:'], [8, '9:9:'], [9, '10:10:']), 8, 'and then goes on')
})
