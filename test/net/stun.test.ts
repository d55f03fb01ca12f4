import t from 'tap'
import { answerKeepAlive } from '../../src/net/keep-alive.ts'
import { answerStun } from '../../src/net/stun.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'

const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex').toString('latin1')
const hexOf = (text: string | undefined) => text && Buffer.from(text, 'latin1').toString('hex')
const from = (address: string, port = 32_853): Endpoint => ({ transport: 'udp', address, port })

const V4 = from('192.0.2.1')
const V6 = from('2001:db8:1234:5678:11:2233:4455:6677')
const COOKIE = '2112a442'
const TRANSACTION = 'b7e7a701bc34d686fa87dfae'

/** RFC 5769 §2.1: the whole request, which says more than a keep-alive does: ICE's PRIORITY among it. */
const SAMPLE = `00010058 ${COOKIE} ${TRANSACTION}
  80220010 5354554e 20746573 7420636c 69656e74
  00240004 6e0001ff
  80290008 932ff9b1 51263b36
  00060009 6576746a 3a683676 59202020
  00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
  80280004 e57a3bcf`

/** RFC 5769 §2.2 and §2.3: what a server sees as 192.0.2.1 and 2001:db8:…, both at port 32853. */
const MAPPED_V4 = '00200008 0001a147 e112a643'
const MAPPED_V6 = '00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9'

/** A Binding request with these attributes. */
const request = (attributes = '') => {
  const body = attributes.replaceAll(/\s/g, '')
  return `0001${(body.length / 2).toString(16).padStart(4, '0')}${COOKIE}${TRANSACTION}${body}`
}

t.test('a Binding request is answered with where it came from', async (t) => {
  t.equal(
    hexOf(answerStun(bytes(request()), V4)),
    `0101000c${COOKIE}${TRANSACTION}${MAPPED_V4}`.replaceAll(' ', ''),
  )
  t.equal(
    hexOf(answerStun(bytes(request()), V6)),
    `01010018${COOKIE}${TRANSACTION}${MAPPED_V6}`.replaceAll(' ', ''),
  )
  t.equal(
    hexOf(answerStun(bytes(request()), from('::1', 1)))?.slice(40),
    `0020001400022113${COOKIE}${TRANSACTION.slice(0, -2)}af`,
  )
  t.equal(
    hexOf(answerStun(bytes(request()), from('255.255.255.255', 65_535)))?.slice(40),
    '002000080001deeddeed5bbd',
  )
})

t.test('the sample request of RFC 5769', async (t) => {
  const answer = hexOf(answerStun(bytes(SAMPLE), V4)) as string
  t.equal(answer.slice(0, 40), `01110018${COOKIE}${TRANSACTION}`, 'refused')
  t.equal(answer.slice(40, 72), '0009000400000414000a000200240000', '420: PRIORITY is for ICE alone')
  t.equal(answer.slice(72, 80), '80280004', 'fingerprinted, as it was')
  const damaged = bytes(SAMPLE.replace('932ff9b1', '932ff9b2'))
  t.equal(answerStun(damaged, V4), undefined, 'its fingerprint is wrong')
})

t.test('FINGERPRINT comes back where it came', async (t) => {
  // The fingerprints of RFC 5769 §2.2 and §2.3 prove the sum by which these are judged.
  const sums = {
    c07d4c96: `0101003c ${COOKIE} ${TRANSACTION} 8022000b 74657374 20766563 746f7220
      ${MAPPED_V4} 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7`,
    c8fb0b4c: `01010048 ${COOKIE} ${TRANSACTION} 8022000b 74657374 20766563 746f7220
      ${MAPPED_V6} 00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41`,
  }
  for (const [sum, text] of Object.entries(sums)) t.equal(checksum(text), sum)
  const asked = request('80280004 00000000').slice(0, 40)
  const good = `${asked}80280004${checksum(asked)}`
  const answer = hexOf(answerStun(bytes(good), V4)) as string
  t.equal(answer.slice(0, 8), '01010014')
  t.equal(answer.slice(40, 64), MAPPED_V4.replaceAll(' ', ''))
  t.equal(answer.slice(64), `80280004${checksum(answer.slice(0, 64))}`)
  t.equal(
    answerStun(bytes(`${good.slice(0, 4)}000c${good.slice(8)}80220000`), V4),
    undefined,
    'it must be the last',
  )
})

/** FINGERPRINT over a message that says its length with it; bit by bit, apart from what is tested. */
function checksum(hex: string): string {
  let crc = -1
  for (const byte of Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ((~crc ^ 0x5354554e) >>> 0).toString(16).padStart(8, '0')
}

t.test('what is understood, and what is refused', async (t) => {
  const typeOf = (attributes: string) => hexOf(answerStun(bytes(request(attributes)), V4))?.slice(0, 4)
  t.equal(typeOf('80220003 61626300'), '0101', 'SOFTWARE, padded')
  t.equal(typeOf('00060009 6576746a 3a683676 59202020'), '0101', 'USERNAME: nobody is authenticated')
  t.equal(typeOf('c0010000'), '0101', 'optional and unknown')
  t.equal(typeOf('00030004 00000006'), '0111', 'CHANGE-REQUEST')
  const answer = hexOf(answerStun(bytes(request('00030000 00240000 00250000')), V4)) as string
  t.equal(answer.slice(40), '0009000400000414000a00060003002400250000')
})

t.test('what is malformed, or asks nothing, gets no answer', async (t) => {
  const good = request('80220003 61626300')
  for (let length = 0; length < good.length; length += 2)
    t.equal(answerStun(bytes(good.slice(0, length)), V4), undefined, `${length / 2} bytes`)
  t.equal(answerStun(bytes(`${good}00`), V4), undefined, 'too long')
  t.equal(answerStun(bytes(request('80220005 61626300')), V4), undefined, 'an attribute too long')
  t.equal(answerStun(bytes(request('8022')), V4), undefined, 'half an attribute')
  t.equal(answerStun(bytes(request().replace(COOKIE, '2112a443')), V4), undefined, 'RFC 3489')
  for (const type of ['0011', '0101', '0111', '0003', '0000'])
    t.equal(answerStun(bytes(type + request().slice(4)), V4), undefined, type)
})

t.test('keep-alives are told from SIP', async (t) => {
  const handled = (text: string) => answerKeepAlive(text, V4)
  t.match(handled('OPTIONS sip:example.com SIP/2.0\r\n\r\n'), { handled: false })
  t.match(handled('\r\n\r\nOPTIONS sip:example.com SIP/2.0\r\n\r\n'), { handled: false }, 'RFC 3261 §7.5')
  t.match(handled('this is not SIP'), { handled: false })
  for (const text of ['', '\r\n', '\r\n\r\n', '\0\0\0\0', '\0'.repeat(40), 'jaK', '\r\n'.repeat(30), '0'])
    t.strictSame(handled(text), { handled: true }, JSON.stringify(text))
  t.strictSame(handled(bytes(request())), { handled: true, answer: answerStun(bytes(request()), V4) })
})
