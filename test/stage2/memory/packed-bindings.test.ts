import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { BindingRow } from '../../../db/binding-store.ts'
import { PackedBindings } from '../../../stage2/memory/packed-bindings.ts'
import { binding } from '../../support/cluster.ts'

const NOW = Date.UTC(2026, 5, 1)
const INSTANCE = '<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>'

function roundTrip(packed: PackedBindings, row: BindingRow): { row: BindingRow; length: number } {
  const bytes = Buffer.alloc(packed.room(row) + 3, 0xee)
  const length = packed.write(row, bytes, 3)
  return { row: packed.read(bytes, 3, row.aor), length }
}

const TYPICAL: BindingRow = {
  ...binding('sip:bob@192.168.17.23:5060;transport=udp', NOW),
  slot: 16_383,
  key: `${INSTANCE};1`,
  params: `;+sip.instance="${INSTANCE}";reg-id=1`,
  path: ['<sip:aZ4mBq81kLw0ZXudWRwLzUwNjAvMTkyLjE2OC4xNy4yMw@192.0.2.60:5160;lr;ob>'],
  callId: '0123456789abcdef0123456789abcdef@192.168.17.23',
  instance: INSTANCE,
  regId: 1,
  userAgent: 'Telephone 1.0 (somebody)',
  received: 'udp:198.51.100.7:5060',
  q: 700,
  cseq: 4_294_967_295,
  rev: 2 ** 47,
}

t.test('a row comes back as it was', async (t) => {
  const packed = new PackedBindings()
  const rows: BindingRow[] = [
    TYPICAL,
    binding('sip:bob@192.0.2.1', NOW),
    { ...TYPICAL, path: [], instance: null, regId: null, userAgent: null, received: null, deleted: true },
    {
      ...TYPICAL,
      path: ['<sip:a;lr>', '"a, b" <sip:c@d;lr>'],
      userAgent: '',
      received: '',
      instance: '',
      key: '',
    },
    { ...TYPICAL, contact: 'sips:bob@192.0.2.1', params: ';x="\0"', key: 'J\xc3\xbcrgen' },
    { ...TYPICAL, params: `${INSTANCE}${INSTANCE}$&`, callId: '' },
    { ...TYPICAL, aor: 'bob;x@example.com', contact: 'sip:bob;x@192.0.2.1;a' },
    { ...TYPICAL, path: ['<sip:'], instance: INSTANCE.toUpperCase(), callId: 'x'.repeat(255) },
    { ...TYPICAL, contact: 'sip:bobby@192.0.2.1', instance: '$&', params: ';a=$&' },
  ]
  for (const row of [...rows, ...rows]) t.strictSame(roundTrip(packed, row).row, row)
})

t.test('whatever its texts are', async (t) => {
  const packed = new PackedBindings()
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    maxLength: 90,
  })
  const piece = fc.oneof(
    text,
    fc.constantFrom('', INSTANCE, TYPICAL.contact, 'bob@example.com', '@', '\0', 'sip:bob@'),
  )
  const line = fc.tuple(piece, piece).map((parts) => parts.join('').replaceAll('\n', ' '))
  const small = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const number = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  const row: fc.Arbitrary<BindingRow> = fc.record(
    {
      slot: fc.integer({ min: 0, max: 16_383 }),
      aor: line,
      key: line,
      contact: line,
      params: line,
      q: fc.integer({ min: 0, max: 1000 }),
      path: fc.array(
        line.filter((value) => value !== ''),
        { maxLength: 3 },
      ),
      callId: line,
      cseq: small,
      instance: fc.option(line),
      regId: fc.option(small),
      userAgent: fc.option(line),
      received: fc.option(line),
      expiresAt: number,
      changedAt: number,
      deleted: fc.boolean(),
      rev: number,
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(row, (one) => isDeepStrictEqual(roundTrip(packed, one).row, one)),
    { numRuns: 500, seed: 9 },
  )
  t.pass()
})

t.test('one field can be read without the others', async (t) => {
  const packed = new PackedBindings()
  const bytes = Buffer.alloc(packed.room(TYPICAL))
  const length = packed.write(TYPICAL, bytes, 0)
  t.equal(packed.length(bytes, 0), length)
  t.equal(packed.slot(bytes, 0), TYPICAL.slot)
  t.equal(packed.expiresAt(bytes, 0), TYPICAL.expiresAt)
  t.equal(packed.rev(bytes, 0), TYPICAL.rev)
  t.equal(packed.key(bytes, 0, TYPICAL.aor), TYPICAL.key)
  packed.setRev(bytes, 0, 5)
  t.strictSame(packed.read(bytes, 0, TYPICAL.aor), { ...TYPICAL, rev: 5 })
})

t.test('what rows have in common, or say twice, is not kept twice', async (t) => {
  const packed = new PackedBindings()
  roundTrip(packed, TYPICAL)
  roundTrip(packed, TYPICAL)
  const { length } = roundTrip(packed, TYPICAL)
  t.ok(length < 190, `${length} bytes for ${JSON.stringify(TYPICAL).length}`)
})

t.test('what no message can hold is cut, and numbers stay in their range', async (t) => {
  const packed = new PackedBindings()
  const { row } = roundTrip(packed, {
    ...TYPICAL,
    callId: 'x'.repeat(70_000),
    expiresAt: Number.POSITIVE_INFINITY,
    changedAt: -5,
    cseq: 2 ** 60,
  })
  t.strictSame(row, {
    ...TYPICAL,
    callId: 'x'.repeat(65_535),
    expiresAt: 2 ** 48 - 1,
    changedAt: 0,
    cseq: 2 ** 32 - 1,
  })
})
