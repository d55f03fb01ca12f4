import t from 'tap'
import {
  MAX_48,
  read16,
  read32,
  read48,
  write16,
  write32,
  write48,
} from '../../../stage2/memory/packed-integers.ts'

t.test('numbers come back as they were', async (t) => {
  const bytes = Buffer.alloc(16, 0xee)
  for (const value of [0, 1, 255, 256, 65_535]) {
    write16(bytes, 3, value)
    t.equal(read16(bytes, 3), value)
  }
  for (const value of [0, 1, 65_536, 0x80_00_00_00, 0xff_ff_ff_ff]) {
    write32(bytes, 3, value)
    t.equal(read32(bytes, 3), value)
  }
  for (const value of [0, 1, 0x80_00_00_00, 2 ** 32, Date.UTC(2026, 1, 1), MAX_48]) {
    write48(bytes, 3, value)
    t.equal(read48(bytes, 3), value)
  }
  t.equal(bytes[2], 0xee)
  t.equal(bytes[9], 0xee)
})

t.test('what does not fit becomes the nearest that does', async (t) => {
  const bytes = Buffer.alloc(6)
  const kept = (value: number) => {
    write48(bytes, 0, value)
    return read48(bytes, 0)
  }
  t.strictSame([-1, Number.NaN, 2 ** 48, Number.POSITIVE_INFINITY].map(kept), [0, 0, MAX_48, MAX_48])
})
