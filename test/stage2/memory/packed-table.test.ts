import t from 'tap'
import { PackedTable } from '../../../stage2/memory/packed-table.ts'

const SEGMENT = 4096

const value = (length: number, fill = 1) => Buffer.alloc(length, fill)
const text = (table: PackedTable, key: string) => {
  const place = table.get(key)
  return place?.bytes.toString('latin1', place.start, place.end)
}

t.test('a value that fits stays where it is; one that does not goes elsewhere', async (t) => {
  const table = new PackedTable()
  table.set('a', Buffer.from('a value'), 7)
  table.set('b', Buffer.from('another'), 7)
  const before = table.bytes.live
  table.set('a', Buffer.from('a VALUE'), 7)
  t.equal(table.bytes.live, before)
  t.equal(text(table, 'a'), 'a VALUE')
  table.set('a', value(200, 65), 200)
  t.equal(text(table, 'a'), 'A'.repeat(200))
  t.equal(text(table, 'b'), 'another')
  table.set('a', Buffer.from('short'), 5)
  t.ok(table.bytes.live < 100, 'and does not go on taking the room of what it was')
  t.equal(table.get('c'), undefined)
  t.equal(table.get('aa'), undefined)
})

t.test(
  'memory that goes out of use is used again: however much changes, at most a third is wasted',
  async (t) => {
    const table = new PackedTable({ segmentBytes: SEGMENT })
    for (let i = 0; i < 2000; i++) table.set(`key${i}`, value(100), 100)
    let most = 0
    for (let i = 0; i < 50_000; i++) {
      // Another length each time, so that none can stay where it is.
      const length = i % 2 === 0 ? 20 + ((i * 7) % 300) : 100
      table.set(`key${(i * 7919) % 2000}`, value(length), length)
      most = Math.max(most, table.bytes.allocated / table.bytes.live)
    }
    t.ok(most < 1.34, `at most ${most.toFixed(2)} bytes for one in use`)
    t.equal(table.size, 2000)
  },
)

t.test('what is deleted is given back', async (t) => {
  const table = new PackedTable({ segmentBytes: SEGMENT })
  for (let i = 0; i < 5000; i++) table.set(`key${i}`, value(100, i), 100)
  const full = table.bytes.allocated
  for (let i = 0; i < 5000; i++) if (i % 10 !== 0) table.delete(`key${i}`)
  t.ok(table.bytes.allocated < full / 7, `${table.bytes.allocated} of ${full} bytes are left`)
  for (let i = 0; i < 5000; i += 10)
    t.equal(table.get(`key${i}`)?.bytes[table.get(`key${i}`)?.start ?? 0], i & 255)
  for (let i = 0; i < 5000; i += 10) table.delete(`key${i}`)
  t.equal(table.size, 0)
  t.equal(table.bytes.live, 0)
  t.ok(table.bytes.allocated <= SEGMENT)
})

t.test('no change does more work when there is more: compaction goes in small steps', async (t) => {
  const table = new PackedTable({ segmentBytes: 65_536 })
  for (let i = 0; i < 20_000; i++) table.set(`key${i}`, value(100), 100)
  let most = 0
  const copy = Buffer.prototype.copy
  let copied = 0
  t.intercept(Buffer.prototype, 'copy', {
    value(this: Buffer, ...args: Parameters<typeof copy>) {
      const bytes = copy.apply(this, args)
      copied += bytes
      return bytes
    },
  })
  for (let i = 0; i < 20_000; i++) {
    copied = 0
    table.delete(`key${i}`)
    most = Math.max(most, copied)
  }
  t.ok(most > 0, 'something is moved')
  t.ok(most < 1000, `at most ${most} bytes are moved for 120 that are deleted`)
})
