import fc from 'fast-check'
import t from 'tap'
import { PackedTable } from '../../../stage2/memory/packed-table.ts'

/** So small that a few hundred changes make it split buckets, open segments and empty them again. */
const SMALL = { segmentBytes: 1024, bucketSlots: 8 }

const key = fc.integer({ min: 0, max: 120 }).map((i) => `user${i}@example.com`)
/** Mostly of one length, some that fill a segment or more. */
const length = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: 80 }) },
  { weight: 1, arbitrary: fc.integer({ min: 900, max: 5000 }) },
)
const change = fc.oneof(
  { weight: 5, arbitrary: fc.record({ key, length, fill: fc.integer({ min: 0, max: 255 }) }) },
  { weight: 3, arbitrary: fc.record({ key }) },
)
type Change = { readonly key: string; readonly length?: number; readonly fill?: number }

const contents = (table: PackedTable): Map<string, string> => {
  const found = new Map<string, string>()
  let part = 0
  do {
    part = table.visit(part, (place) => {
      const name = table.keyOf(place)
      if (found.has(name)) throw new Error(`${name} is shown twice`)
      found.set(name, place.bytes.toString('latin1', place.start, place.end))
    })
  } while (part !== 0)
  return found
}

function apply(table: PackedTable, model: Map<string, string>, { key, length, fill }: Change): void {
  if (length === undefined) {
    if (table.delete(key) !== model.delete(key)) throw new Error(`${key}: only one of them knew it`)
    return
  }
  const value = Buffer.alloc(length + 9, fill)
  table.set(key, value, length)
  model.set(key, value.toString('latin1', 0, length))
}

const textAt = (table: PackedTable, key: string): string | undefined => {
  const place = table.get(key)
  return place?.bytes.toString('latin1', place.start, place.end)
}

t.test('whatever is done to it, it is what a Map would be', async (t) => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 600, size: 'max' }), (changes: readonly Change[]) => {
      const table = new PackedTable(SMALL)
      const model = new Map<string, string>()
      for (const one of changes) {
        apply(table, model, one)
        if (textAt(table, one.key) !== model.get(one.key)) return false
      }
      if (table.size !== model.size) return false
      const found = contents(table)
      return found.size === model.size && [...model].every(([name, value]) => found.get(name) === value)
    }),
    { numRuns: 150, seed: 7 },
  )
  t.pass()
})

t.test('what is there all the time is shown exactly once, whatever changes between two parts', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 60 }), { maxLength: 40, size: 'max' }), (rounds) => {
      const table = new PackedTable(SMALL)
      const constant = Array.from({ length: 100 }, (_, i) => `constant${i}`)
      for (const name of constant) table.set(name, Buffer.from(name), name.length)
      const shown: string[] = []
      let part = 0
      let round = 0
      do {
        part = table.visit(part, (place) => shown.push(table.keyOf(place)))
        for (const one of rounds[round++] ?? []) apply(table, new Map(contents(table)), one as Change)
        const again = constant[round % constant.length] as string
        table.set(again, Buffer.from(`${again} at another place`), round % 2 ? 30 : again.length)
      } while (part !== 0)
      const found = shown.filter((name) => name.startsWith('constant'))
      return found.length === constant.length && new Set(found).size === constant.length
    }),
    { numRuns: 60, seed: 8 },
  )
  t.pass()
})
