import t from 'tap'
import { F, SourceTable } from '../../stage1/guard-table.ts'

const never = () => -1
const key = (low: number, high = 1) => ({ high, low })

/** Claims an entry and marks it as in use. */
function enter(table: SourceTable, low: number, dispensable: (at: number) => number = never): number {
  const at = table.claim(key(low), dispensable)
  if (at >= 0) table.words[at + F.state] = 1
  return at
}

t.test('what was entered is found, and nothing else', async (t) => {
  const table = new SourceTable(1024)
  t.equal(table.find(key(5)), -1)
  const at = enter(table, 5)
  t.equal(table.find(key(5)), at)
  t.strictSame(table.keyAt(at), key(5))
  t.equal(table.find(key(6)), -1)
  t.equal(table.find(key(5, 2)), -1, 'both words count')
  t.equal(table.find(key(0, 0)), -1, 'an empty entry is nobody')
})

t.test('sources of one set are told apart by both words', async (t) => {
  const table = new SourceTable(16)
  const entered = new Map<number, number>()
  for (let high = 1; high <= 12; high++) {
    const at = table.claim(key(5, high), never)
    if (at < 0) continue
    table.words[at + F.state] = 1
    entered.set(high, at)
  }
  t.ok(entered.size >= 8)
  for (const [high, at] of entered) t.equal(table.find(key(5, high)), at)
})

t.test('the size is fixed: 32 bytes an entry, a power of two', async (t) => {
  t.equal(new SourceTable(1024).bytes, 32 * 1024)
  t.equal(new SourceTable(1025).bytes, 64 * 1024)
})

t.test('hardly anybody is without a place before nearly all are taken', async (t) => {
  for (let run = 0; run < 20; run++) {
    const table = new SourceTable(4096)
    let refused = 0
    for (let low = 0; low < 0.8 * 4096; low++) if (enter(table, low) < 0) refused++
    t.ok(refused < 0.02 * 4096, `${refused} refused`)
    t.equal([...table.entries()].length, Math.ceil(0.8 * 4096) - refused)
  }
})

t.test('the most dispensable goes, and its words with it', async (t) => {
  const table = new SourceTable(16)
  for (let low = 1; low <= 100; low++) enter(table, low)
  const all = [...table.entries()]
  t.equal(all.length, 16, 'two sets, all in use')
  for (const at of all) table.words[at + F.score] = 77
  const best = all[3] as number
  t.equal(table.claim(key(999), never), -1)
  // Both choices may be the same set, so all of them are asked of a source that has two.
  const claimed = new Set(
    Array.from({ length: 50 }, (_, i) => table.claim(key(999 + i), (at) => (at === best ? 9 : -1))),
  )
  t.ok(claimed.has(best))
  t.ok([...claimed].every((at) => at === best || at === -1))
  t.equal(table.words[best + F.score], 0)
  t.equal(table.words[(all[2] as number) + F.score], 77)
})

t.test('two tables place the same sources differently', async (t) => {
  const places = (table: SourceTable) => Array.from({ length: 50 }, (_, low) => enter(table, low)).join()
  t.not(places(new SourceTable(4096)), places(new SourceTable(4096)), 'nobody can aim')
})
