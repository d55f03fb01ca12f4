import t from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import { NotDurable, type Written } from '../../stage2/binding-writer.ts'
import { GroupCommit } from '../../stage2/group-commit.ts'

const row = (key: string): BindingRow => ({ aor: 'alice@example.com', key }) as BindingRow

/** A database that commits when told to. */
function slowDatabase(maxWaiting?: number) {
  const batches: {
    keys: string[]
    commit(): void
    spool(): void
    fail(): void
    refuse(key: string): void
  }[] = []
  const commits = new GroupCommit(
    (rows) =>
      new Promise<Written>((resolve, reject) => {
        const keys = rows.map(({ key }) => key)
        batches.push({
          keys,
          commit: () => resolve({ rev: batches.length * 100, newer: [], failed: [] }),
          spool: () => resolve('spooled'),
          refuse: (key) =>
            resolve({
              rev: 1,
              newer: [],
              failed: [{ row: rows.find((r) => r.key === key) as BindingRow, error: 'bad' }],
            }),
          fail: () => reject(new Error('gone')),
        })
      }),
    maxWaiting,
  )
  const done: string[] = []
  const add = (...keys: string[]) =>
    commits.add({
      rows: keys.map(row),
      committed: ({ rev }) => done.push(`${keys} ${rev}`),
      spooled: () => done.push(`${keys} spooled`),
      failed: (error) => done.push(`${keys} ${error instanceof NotDurable ? 'refused' : 'failed'}`),
    })
  return { batches, commits, done, add }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

t.test('what comes while a batch is in flight makes the next one', async (t) => {
  const { batches, commits, done, add } = slowDatabase()
  add('a')
  add('b')
  await settle()
  add('c')
  add('d', 'e')
  await settle()
  t.same(
    batches.map(({ keys }) => keys),
    [['a', 'b']],
    'one in flight',
  )
  t.equal(commits.backlog, 2)
  batches[0]?.commit()
  await settle()
  t.same(batches[1]?.keys, ['c', 'd', 'e'])
  t.same(done, ['a 100', 'b 100'])
  batches[1]?.commit()
  await commits.drained()
  t.same(done.slice(2), ['c 200', 'd,e 200'])
})

t.test('a row that PostgreSQL cannot hold fails alone', async (t) => {
  const { batches, done, add } = slowDatabase()
  add('a')
  add('b', 'c')
  await settle()
  batches[0]?.refuse('c')
  await settle()
  t.same(done, ['a 1', 'b,c failed'])
})

t.test('a batch that fails fails alone', async (t) => {
  const { batches, done, add } = slowDatabase()
  add('a')
  await settle()
  add('b')
  batches[0]?.fail()
  await settle()
  batches[1]?.commit()
  await settle()
  t.same(done, ['a failed', 'b 200'])
})

t.test('a batch is bounded', async (t) => {
  const { batches, add } = slowDatabase()
  for (let i = 0; i < 600; i++) add(`k${i}`)
  await settle()
  t.equal(batches[0]?.keys.length, 250)
})

t.test('what went to the spool is told from what PostgreSQL has', async (t) => {
  const { batches, commits, done, add } = slowDatabase()
  add('a')
  await settle()
  batches[0]?.spool()
  await commits.drained()
  t.same(done, ['a spooled'])
})

t.test('it refuses what would wait too long, and takes more when there is room', async (t) => {
  const { batches, commits, done, add } = slowDatabase(3)
  add('a', 'b', 'c')
  t.equal(commits.isFull, true)
  add('d')
  t.same(done, ['d refused'])
  await settle()
  t.equal(commits.isFull, false, 'what is in flight waits no longer')
  add('e')
  batches[0]?.commit()
  await settle()
  batches[1]?.commit()
  await commits.drained()
  t.same(done.slice(1), ['a,b,c 100', 'e 200'])
})
