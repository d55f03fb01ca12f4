import t from 'tap'
import type { Aor } from '../../stage2/directory.ts'
import { Lookups } from '../../stage2/lookups.ts'
import { settled } from '../support/fake-transport.ts'

const aor = (key: string) => ({ key }) as Aor

/** A database that answers when told to. */
function slowDatabase() {
  const queries: { keys: string[]; answer(...rows: string[]): void; fail(): void }[] = []
  const lookups = new Lookups<string>(
    (aors) =>
      new Promise((resolve, reject) => {
        const keys = aors.map(({ key }) => key)
        queries.push({ keys, answer: (...rows) => resolve(rows), fail: () => reject(new Error('gone')) })
      }),
    (row) => row.split(' ')[0] ?? '',
  )
  const done: string[] = []
  const find = (key: string) =>
    void lookups.find(aor(key)).then(
      (rows) => done.push(`${key}: ${rows}`),
      (error: Error) => done.push(`${key}: ${error.message}`),
    )
  return { queries, done, find }
}

t.test('one query is in flight, and the next takes all that was asked for meanwhile', async (t) => {
  const { queries, done, find } = slowDatabase()
  for (const key of ['a', 'b', 'a']) find(key)
  await settled()
  for (const key of ['c', 'd', 'a']) find(key)
  await settled()
  t.same(
    queries.map(({ keys }) => keys),
    [['a', 'b']],
  )
  queries[0]?.answer('a 1', 'a 2')
  await settled()
  t.same(done, ['a: a 1,a 2', 'a: a 1,a 2', 'b: '])
  t.same(queries[1]?.keys, ['c', 'd', 'a'])
  queries[1]?.fail()
  await settled()
  t.same(done.slice(3), ['c: gone', 'd: gone', 'a: gone'])
  find('e')
  await settled()
  queries[2]?.answer('e')
  await settled()
  t.equal(done.at(-1), 'e: e', 'a failure is of those who asked')
})

t.test('a query is bounded, and so is what waits', async (t) => {
  const { queries, done, find } = slowDatabase()
  find('first')
  await settled()
  for (let i = 0; i < 2_001; i++) find(`u${i}`)
  await settled()
  t.same(done, ['u2000: too many users are looked for in PostgreSQL'])
  queries[0]?.answer()
  await settled()
  t.equal(queries[1]?.keys.length, 250)
})
