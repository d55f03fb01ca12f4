import t from 'tap'
import {
  readSubscriber,
  SUBSCRIBER_BYTES,
  slotAt,
  writeSubscriber,
} from '../../../stage2/memory/packed-subscribers.ts'
import { subscriber } from '../../support/member-bench.ts'

const MD5 = '0123456789abcdef0123456789abcdef'
const SHA256 = 'fedcba9876543210'.repeat(4)
const SHA512_256 = '00ff'.repeat(16)

t.test('a row comes back as it was, with whichever HA1s', async (t) => {
  for (let mask = 0; mask < 16; mask++) {
    const row = subscriber('bob', {
      slot: 16_383,
      rev: 2 ** 40 + 1,
      enabled: (mask & 1) !== 0,
      ha1Md5: mask & 2 ? MD5 : null,
      ha1Sha256: mask & 4 ? SHA256 : null,
      ha1Sha512256: mask & 8 ? SHA512_256 : null,
    })
    const bytes = Buffer.alloc(SUBSCRIBER_BYTES)
    t.ok(writeSubscriber(row, bytes) <= SUBSCRIBER_BYTES)
    t.equal(slotAt(bytes, 0), 16_383)
    t.strictSame(readSubscriber(bytes, 0, 'bob', 'example.com'), row)
  }
})

t.test('all three HA1s take 80 bytes', async (t) => {
  const row = subscriber('bob', { ha1Md5: MD5, ha1Sha256: SHA256, ha1Sha512256: SHA512_256 })
  t.equal(writeSubscriber(row, Buffer.alloc(SUBSCRIBER_BYTES)), 89)
})
