import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import type { SubscriberRow } from '../../db/subscriber-store.ts'
import { frame } from '../../stage2/framed-file.ts'
import { loadSnapshot, saveSnapshot } from '../../stage2/snapshot.ts'
import { binding } from '../support/cluster.ts'
import { testFolder } from '../support/database.ts'
import { subscriber } from '../support/member-bench.ts'

const NOW = Date.UTC(2002, 5, 1)
const folder = await testFolder(t)

async function* of<T>(...batches: T[][]): AsyncGenerator<T[]> {
  yield* batches
}

async function load(path: string) {
  const users: SubscriberRow[] = []
  const bindings: BindingRow[] = []
  const head = await loadSnapshot(path, {
    subscribers: (rows) => void users.push(...rows),
    bindings: (rows) => void bindings.push(...rows),
  })
  return { head, users, bindings }
}

const many = (count: number) =>
  Array.from({ length: count }, (_, n) => binding(`sip:bob@192.0.2.${n}`, NOW, { rev: n, cseq: n }))

t.test('users and live bindings come back as they were; only their owner may read them', async (t) => {
  const path = join(folder, 'state/a1.bindings')
  const bob = subscriber('bob', { ha1Md5: 'f'.repeat(32), enabled: false })
  const dead = [
    binding('sip:gone@x', NOW, { deleted: true }),
    binding('sip:ended@x', NOW, { expiresAt: NOW }),
  ]
  const rows = many(1_001)
  const head = { savedAt: NOW, position: 77 }
  const saved = { subscribers: of([bob], []), bindings: of(rows.slice(0, 500), dead, rows.slice(500)) }
  t.equal(await saveSnapshot(path, head, saved), 1_002)
  const loaded = await load(path)
  t.strictSame(loaded, { head, users: [bob], bindings: rows })
  t.equal((await stat(path)).mode & 0o777, 0o600)
})

t.test('of a damaged one what is whole serves, and everything is to be read again', async (t) => {
  const path = join(folder, 'damaged.bindings')
  await saveSnapshot(
    path,
    { savedAt: NOW, position: 77 },
    { subscribers: of([subscriber('bob')]), bindings: of(many(450)) },
  )
  const { size } = await stat(path)
  await truncate(path, size - 20)
  const loaded = await load(path)
  t.same(loaded.head, { savedAt: NOW, position: 0 })
  t.equal(loaded.users.length, 1)
  t.ok(loaded.bindings.length >= 400)
  const bytes = await readFile(path)
  bytes[10] = 0
  await writeFile(path, bytes)
  t.same((await load(path)).head, undefined)
})

t.test('without one, or with one of another release, there is none', async (t) => {
  t.same(await load(join(folder, 'missing')), { head: undefined, users: [], bindings: [] })
  const path = join(folder, 'other.bindings')
  await writeFile(path, frame('{"format":"tandem-snapshot 99"}'))
  t.equal((await load(path)).head, undefined)
})

t.test('one that cannot be written leaves the last one', async (t) => {
  const path = join(folder, 'kept.bindings')
  const head = { savedAt: NOW, position: 1 }
  await saveSnapshot(path, head, { subscribers: of([subscriber('bob')]), bindings: of<BindingRow>([]) })
  async function* failing(): AsyncGenerator<BindingRow[]> {
    yield many(3)
    throw new Error('half-way')
  }
  await t.rejects(
    saveSnapshot(
      path,
      { savedAt: NOW + 1, position: 2 },
      { subscribers: of<SubscriberRow>(), bindings: failing() },
    ),
  )
  t.same((await load(path)).head, head)
})
