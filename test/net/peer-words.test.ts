import t from 'tap'
import { PEER_WORDS, parseDotted, SourceCache, TargetWriter } from '../../src/net/peer-words.ts'
import { loadUdpAddon } from '../../src/net/udp-addon.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

t.test('IPv4 addresses as numbers', async (t) => {
  t.equal(parseDotted('192.0.2.1'), 0xc0000201)
  t.equal(parseDotted('0.0.0.0'), 0)
  t.equal(parseDotted('255.255.255.255'), 0xffffffff)
  const wrong = [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '-1.2.3.4',
    '::1',
  ]
  for (const text of wrong) t.equal(parseDotted(text), -1, text)
})

const addon = loadUdpAddon()
const skip = addon instanceof Error && addon.message
const udp = (address: string, port: number): Endpoint => ({ transport: 'udp', address, port })

t.test('there and back', { skip }, async (t) => {
  if (addon instanceof Error) return
  const words = new Uint32Array(4 * PEER_WORDS)
  const cache = new SourceCache(addon, words)
  for (const [ipv6, addresses] of [
    [false, ['192.0.2.1', '10.0.0.255', '255.0.255.0']],
    [true, ['2001:db8::1', '::1', 'fe80::1%lo', '2001:db8:0:1:1:1:1:1']],
  ] as const) {
    const writer = new TargetWriter(addon, ipv6)
    for (const [i, address] of addresses.entries()) {
      const endpoint = udp(address, 5060 + i)
      // The second time from memory.
      for (let time = 0; time < 2; time++) {
        t.ok(writer.write(endpoint, words, i))
        t.same(cache.source(i, ipv6), endpoint)
      }
      t.equal(cache.source(i, ipv6), cache.source(i, ipv6))
    }
    for (const other of [ipv6 ? '192.0.2.1' : '::1', 'phone.example.com', '2001:db8::g'])
      t.notOk(writer.write(udp(other, 5060), words, 0), other)
  }
})

t.test('more sources than are remembered', { skip }, async (t) => {
  if (addon instanceof Error) return
  const words = new Uint32Array(PEER_WORDS)
  const cache = new SourceCache(addon, words)
  const writer = new TargetWriter(addon, false)
  const wrong: Endpoint[] = []
  for (let i = 0; i < 50_000; i++) {
    const endpoint = udp(`10.${i % 7}.${(i >> 8) & 255}.${i & 255}`, 1024 + (i % 60_000))
    writer.write(endpoint, words, 0)
    const { address, port } = cache.source(0, false)
    if (address !== endpoint.address || port !== endpoint.port) wrong.push(endpoint)
  }
  t.same(wrong, [])
})
