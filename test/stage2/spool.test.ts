import { appendFile, open, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import type { BindingRow } from '../../db/binding-store.ts'
import { Spool, SpoolFull, type SpoolOptions } from '../../stage2/spool.ts'
import { change } from '../support/cluster.ts'
import { testFolder } from '../support/database.ts'

const NOW = Date.UTC(2002, 5, 1)
const folder = await testFolder(t)
let files = 0

const newPath = () => join(folder, `${++files}.spool`)
const log = pino({ level: 'silent' })
const openSpool = (path: string, more: Partial<SpoolOptions> = {}) =>
  Spool.open({ path, maxBytes: 1_000_000, log, ...more })
const row = (n: number, more: Partial<BindingRow> = {}) => change(`sip:bob@192.0.2.${n}`, NOW, more)

async function contents(spool: Spool, from = 0): Promise<string[][]> {
  const batches: string[][] = []
  for await (const { rows } of spool.read(from)) batches.push(rows.map(({ contact }) => contact.slice(16)))
  return batches
}

t.test('what was appended is read in order, by the next process too', async (t) => {
  const path = newPath()
  const spool = await openSpool(path)
  t.equal(spool.isEmpty, true)
  const full = row(1, {
    path: ['<sip:a@192.0.2.60;lr>', '<sip:b@192.0.2.61;lr>'],
    userAgent: 'Z\u00c3\u00a4hler',
    instance: '<urn:uuid:1>',
    regId: 7,
    deleted: true,
  })
  await Promise.all([spool.append([full, row(2)]), spool.append([row(3)])])
  t.equal(spool.isEmpty, false)
  t.strictSame(await contents(spool), [['1', '2'], ['3']])
  await spool.close()

  const next = await openSpool(path)
  t.strictSame(await contents(next), [['1', '2'], ['3']])
  for await (const { rows } of next.read()) {
    t.strictSame(rows[0], full, 'every field comes back')
    break
  }
  await next.append([row(4)])
  t.strictSame(await contents(next), [['1', '2'], ['3'], ['4']])
  t.equal((await stat(path)).mode & 0o777, 0o600)
  await next.close()
})

t.test('a crash at any byte leaves a spool with all that was acknowledged', async (t) => {
  const path = newPath()
  const spool = await openSpool(path)
  const ends = [spool.bytes]
  for (let n = 1; n <= 3; n++) {
    await spool.append([row(n)])
    ends.push(spool.bytes)
  }
  await spool.close()
  const bytes = await readFile(path)
  t.equal(bytes.length, ends.at(-1))
  for (let length = 0; length <= bytes.length; length++) {
    await writeFile(path, bytes.subarray(0, length))
    const torn = await openSpool(path)
    const whole = ends.filter((end) => end <= length).length - 1
    const got = (await contents(torn)).flat()
    if (got.length !== Math.max(whole, 0)) t.fail(`cut at ${length}: ${got}`)
    await torn.append([row(9)])
    if ((await contents(torn)).at(-1)?.[0] !== '9') t.fail(`cut at ${length}: nothing can be appended`)
    await torn.close()
  }
})

t.test('damage ends what is read, and is not believed', async (t) => {
  const path = newPath()
  const spool = await openSpool(path)
  await spool.append([row(1)])
  const end = spool.bytes
  await spool.append([row(2)])
  await spool.close()
  const bytes = await readFile(path)
  bytes[end + 20] = (bytes[end + 20] ?? 0) ^ 1
  await writeFile(path, bytes)
  const damaged = await openSpool(path)
  t.strictSame(await contents(damaged), [['1']])
  await damaged.close()
  await truncate(path, end)
  await appendFile(path, Buffer.alloc(100, 255))
  const foreignTail = await openSpool(path)
  t.strictSame(await contents(foreignTail), [['1']])
  await foreignTail.close()
})

t.test('a file that is no spool is put aside', async (t) => {
  const path = newPath()
  await writeFile(path, 'something that somebody else has written here, by mistake')
  const spool = await openSpool(path)
  t.equal(spool.isEmpty, true)
  await spool.append([row(1)])
  t.match(await readFile(`${path}.damaged`, 'utf8'), /somebody else/)
  await spool.close()
})

t.test('it is emptied only if nothing was appended beyond what was drained', async (t) => {
  const path = newPath()
  const spool = await openSpool(path)
  await spool.append([row(1)])
  const end = spool.bytes
  await spool.append([row(2)])
  t.equal(await spool.clear(end), false)
  t.strictSame(await contents(spool, end), [['2']])
  t.equal(await spool.clear(spool.bytes), true)
  t.equal(spool.isEmpty, true)
  t.strictSame(await contents(spool), [])
  await spool.append([row(3)])
  t.strictSame(await contents(spool), [['3']])
  await spool.close()
})

t.test('it grows no larger than its bound, and goes on when it was emptied', async (t) => {
  const spool = await openSpool(newPath(), { maxBytes: 1000 })
  await spool.append([row(1)])
  await t.rejects(spool.append([2, 3, 4, 5, 6, 7].map((n) => row(n))), SpoolFull)
  t.strictSame(await contents(spool), [['1']])
  await spool.clear(spool.bytes)
  await spool.append([row(5)])
  t.strictSame(await contents(spool), [['5']])
  await spool.close()
})

t.test('on a full disk nothing is kept of what failed, and it goes on when there is space', async (t) => {
  const path = newPath()
  let space = 1_000_000
  // A disk that takes what still fits, as a real one does.
  const openFile: typeof open = async (...args) => {
    const file = await open(...args)
    const write = file.write.bind(file) as (...a: unknown[]) => Promise<unknown>
    file.write = (async (bytes: Buffer, offset: number, length: number, position: number) => {
      const fits = Math.min(length, space)
      if (fits === 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      space -= fits
      return write(bytes, offset, fits, position)
    }) as typeof file.write
    return file
  }
  const spool = await openSpool(path, { openFile })
  await spool.append([row(1)])
  space = 100
  await t.rejects(spool.append([row(2)]), { code: 'ENOSPC' })
  t.equal((await stat(path)).size, spool.bytes, 'the half record is gone')
  space = 1_000_000
  await spool.append([row(3)])
  t.strictSame(await contents(spool), [['1'], ['3']])
  await spool.close()
})

t.test('what cannot be read is said at the start; a missing folder is made', async (t) => {
  const file = newPath()
  await writeFile(file, '')
  await t.rejects(openSpool(join(file, 'x.spool')), { code: 'ENOTDIR' })
  const spool = await openSpool(join(folder, 'a/b/c.spool'))
  await spool.append([row(1)])
  t.strictSame(await contents(spool), [['1']])
  await spool.close()
})
