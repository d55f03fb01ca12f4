import fc from 'fast-check'
import t from 'tap'
import { formatSource, Networks, readSource, type SourceKey } from '../../stage1/guard-source.ts'

function keyOf(address: string): SourceKey {
  const key = { high: 7, low: 7 }
  readSource(address, key)
  return key
}

const sourceOf = (address: string) => formatSource(keyOf(address))

t.test('an IPv4 address is a source', async (t) => {
  for (const address of ['192.0.2.1', '0.0.0.1', '255.255.255.254', '127.0.0.1'])
    t.equal(sourceOf(address), address)
  t.equal(sourceOf('::ffff:192.0.2.1'), '192.0.2.1', 'also on a socket of both families')
  t.equal(sourceOf('::ffff:c000:201'), '192.0.2.1')
})

t.test('the /64 of an IPv6 address is a source', async (t) => {
  t.equal(sourceOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  t.equal(sourceOf('2001:db8::6'), '2001:db8::/64')
  t.equal(sourceOf('2001:db8:0:1::'), '2001:db8:0:1::/64')
  t.equal(sourceOf('2001:db8::3:4:5:6'), '2001:db8::/64')
  t.equal(sourceOf('2001:db8::2:3:4:5:6'), '2001:db8:0:2::/64', 'the gap ends before the /64 does')
  t.equal(sourceOf('FE80::1%eth0'), 'fe80::/64')
  t.equal(sourceOf('::1'), '::/64')
  t.equal(sourceOf('64:ff9b::192.0.2.1'), '64:ff9b::/64')
})

t.test('what is no address is one source, whatever it is', async (t) => {
  for (const text of ['', 'localhost', '1.2.3', '1.2.3.4.5', '1:2:3', '1:2:3:4:5:6:7:8:9', '::1.2.3', 'g::'])
    t.equal(sourceOf(text), '::/64', text)
})

t.test('two addresses are one source exactly if their first 64 bits are', async () => {
  const group = fc.integer({ min: 0, max: 0xffff })
  const groups = fc.array(fc.oneof(fc.constant(0), group), { minLength: 8, maxLength: 8 })
  fc.assert(
    fc.property(groups, groups, (a, b) => {
      // Below 0:0:0:0 stand the IPv4-mapped addresses.
      a[0] = b[0] = 0x2001
      const same = a.slice(0, 4).join() === b.slice(0, 4).join()
      return same === (sourceOf(written(a)) === sourceOf(written(b)))
    }),
  )
})

/** As the kernel writes it: the first longest run of zeros is left out. */
function written(groups: readonly number[]): string {
  const hex = groups.map((each) => each.toString(16)).join(':')
  const [longest] = [...hex.matchAll(/\b0(?::0)+\b/g)].sort((a, b) => b[0].length - a[0].length)
  if (!longest) return hex
  const [before, after] = [hex.slice(0, longest.index), hex.slice(longest.index + longest[0].length)]
  return `${before.replace(/:$/, '')}::${after.replace(/^:/, '')}`
}

t.test('networks', async (t) => {
  const networks = new Networks(['127.0.0.0/8', '192.0.2.7', '198.51.100.64/26', '2001:db8::/33', '::1'])
  const inside = ['127.0.0.1', '127.255.255.255', '192.0.2.7', '198.51.100.64', '198.51.100.127']
  for (const address of [...inside, '2001:db8::1', '2001:db8:7fff::', '::1'])
    t.ok(networks.has(keyOf(address)), address)
  const outside = ['126.255.255.255', '128.0.0.1', '192.0.2.8', '198.51.100.63', '198.51.100.128']
  for (const address of [...outside, '2001:db8:8000::', '2001:db9::', 'fe80::1'])
    t.notOk(networks.has(keyOf(address)), address)
  t.notOk(new Networks([]).has(keyOf('127.0.0.1')))
  const all = new Networks(['0.0.0.0/0'])
  t.ok(all.has(keyOf('203.0.113.1')))
  t.notOk(all.has(keyOf('2001:db8::1')), 'of the one family')
  t.ok(new Networks(['::/0']).has(keyOf('2001:db8::1')))
})

t.test('a network holds an address exactly if their first bits are the same', async () => {
  const word = fc.integer({ min: 0, max: 0xffff_ffff })
  const dotted = (value: number) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
  fc.assert(
    fc.property(
      word,
      fc.integer({ min: 0, max: 32 }),
      fc.integer({ min: 0, max: 31 }),
      (value, bits, bit) => {
        const other = (value ^ (1 << (31 - bit))) >>> 0
        return new Networks([`${dotted(value)}/${bits}`]).has(keyOf(dotted(other))) === bit >= bits
      },
    ),
  )
})
