import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadCluster, saveCluster } from '../../db/cluster-file.ts'
import type { MapSnapshot } from '../../db/map-store.ts'

const folder = await mkdtemp(join(tmpdir(), 'tandem-cluster-file-'))
t.teardown(() => rm(folder, { recursive: true }))
const path = join(folder, 'state', 's1.map')

const saved = {
  savedAt: 1_700_000_000_000,
  keys: { current: Buffer.alloc(32, 1), previous: Buffer.alloc(32, 2) },
  snapshot: { version: 7, ranges: [{ first: 0, last: 16383, group: 'a' }] } as unknown as MapSnapshot,
}

t.test('comes back as it was saved, for its owner only', async (t) => {
  await saveCluster(path, saved)
  t.same(await loadCluster(path), saved)
  t.equal((await stat(path)).mode & 0o777, 0o600)
  await saveCluster(path, { ...saved, savedAt: 1, keys: { ...saved.keys, previous: undefined } })
  const again = await loadCluster(path)
  t.equal(again?.savedAt, 1)
  t.equal(again?.keys.previous, undefined)
  t.same(await readdir(join(folder, 'state')), ['s1.map'], 'nothing is left behind')
})

t.test('a damaged file is no file', async (t) => {
  await saveCluster(path, saved)
  const text = await readFile(path, 'utf8')
  for (const damaged of [text.replace('"version":7', '"version":8'), text.slice(0, -9), '', 'x\n', '\n']) {
    await writeFile(path, damaged)
    t.equal(await loadCluster(path), undefined)
  }
  t.equal(await loadCluster(join(folder, 'none')), undefined)
})
