import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { parseMessage } from '../src/sip/message.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import { checkRequest } from '../src/sip/validate.ts'
import { formatVia, viaFor } from '../src/sip/via.ts'

/**
 * What the SIP core costs: `npm run bench:sip [-- --json]`. Forwarding means everything a stateless hop does between
 * two buffers (parse, validate, received/rport, Max-Forwards, a Via of its own, serialise), but no branch is
 * computed and no socket touched. The yardstick is `parse` and `stringify` of package `sip`, with nothing in between.
 *
 * CPU time, not wall time, of several runs; the median counts.
 */

interface SipPackage {
  parse(data: Buffer): object
  stringify(message: object): string
}
const sip = createRequire(import.meta.url)('sip') as SipPackage

const RUNS = 7
const RUN_MS = 80
/** Each message comes in this many variants, so that no cache sees the same text twice in a row. */
const VARIANTS = 64

const source: Endpoint = { transport: 'udp', address: '192.0.2.77', port: 40_112 }
const self: Endpoint = { transport: 'udp', address: '10.0.0.1', port: 5160 }

/** As the transports do it; @types/node does not know these methods. */
interface Latin1Buffer {
  latin1Slice(start: number, end: number): string
  latin1Write(text: string, offset: number): number
}
type Datagram = Buffer & Latin1Buffer
const out = Buffer.allocUnsafe(65_536) as Datagram

function forward(datagram: Datagram): number {
  const message = parseMessage(datagram.latin1Slice(0, datagram.length))
  if (message === undefined || checkRequest(message) !== undefined)
    throw new Error('the benchmark sends valid requests')
  const rewrite = new Rewrite(message)
  rewrite.set(H.maxForwards, String((message.maxForwards ?? 71) - 1))
  const stamped = message.topVia && viaFor(message.topVia, source)
  if (stamped !== undefined) rewrite.replaceFirst(H.via, stamped)
  rewrite.prepend(H.via, formatVia(self, 'z9hG4bKoR4c7Yb1mF0aQ2xLk'))
  return out.latin1Write(rewrite.toString(), 0)
}

function parseOnly(datagram: Datagram): number {
  const message = parseMessage(datagram.latin1Slice(0, datagram.length))
  return message === undefined || checkRequest(message) !== undefined ? 0 : 1
}

const yardstick = (datagram: Buffer): number => sip.stringify(sip.parse(datagram)).length

function register(i: number): string {
  return lines([
    'REGISTER sip:example.com SIP/2.0',
    `Via: SIP/2.0/UDP 192.168.1.${i}:5060;branch=z9hG4bK-524287-1---${i}a7d3ff;rport`,
    'Max-Forwards: 70',
    `To: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>`,
    `From: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>;tag=9f1c${i}`,
    `Call-ID: ${i}ZTJmNzk1YzQ4ZDE1MmIyYjQ@192.168.1.${i}`,
    `CSeq: ${i + 1} REGISTER`,
    `Contact: <sip:+4930123${1000 + i}@192.168.1.${i}:5060;transport=udp>;expires=3600`,
    'Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE',
    'User-Agent: Phone 5.1',
    'Content-Length: 0',
  ])
}

function smallInvite(i: number): string {
  return lines([
    `INVITE sip:+4989765${1000 + i}@example.com SIP/2.0`,
    `Via: SIP/2.0/UDP 192.168.1.${i}:5060;branch=z9hG4bK-524287-1---${i}b7d3ff;rport`,
    'Max-Forwards: 70',
    `To: <sip:+4989765${1000 + i}@example.com>`,
    `From: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>;tag=9f1c${i}`,
    `Call-ID: ${i}ZTJmNzk1YzQ4ZDE1MmIyYjQ@192.168.1.${i}`,
    `CSeq: ${i + 1} INVITE`,
    `Contact: <sip:+4930123${1000 + i}@192.168.1.${i}:5060>`,
    'Content-Length: 0',
  ])
}

function bigInvite(i: number, length = 3000): string {
  const vias = Array.from(
    { length: 5 },
    (_, hop) =>
      `Via: SIP/2.0/UDP 10.1.${hop}.${i}:5060;branch=z9hG4bK${hop}a7d3ff${i}0c1b5e;received=10.2.${hop}.9`,
  )
  const routes = Array.from(
    { length: 3 },
    (_, hop) => `Record-Route: <sip:10.1.${hop}.${i};lr;ftag=9f1c${i}>`,
  )
  const head = [
    `INVITE sip:+4989765${1000 + i}@example.com;user=phone SIP/2.0`,
    `Via: SIP/2.0/UDP 10.1.9.${i}:5060;branch=z9hG4bK9b7d3ff${i}0c1b5e;rport`,
    ...vias,
    ...routes,
    'Max-Forwards: 64',
    `To: <sip:+4989765${1000 + i}@example.com;user=phone>`,
    `From: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com;user=phone>;tag=9f1c${i}`,
    `Call-ID: ${i}ZTJmNzk1YzQ4ZDE1MmIyYjQ@192.168.1.${i}`,
    `CSeq: ${i + 1} INVITE`,
    `Contact: <sip:+4930123${1000 + i}@192.168.1.${i}:5060>`,
    'Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK',
    'Supported: 100rel, timer, replaces, path, gruu',
    'Session-Expires: 1800;refresher=uac',
    'Min-SE: 90',
    `P-Asserted-Identity: <sip:+4930123${1000 + i}@example.com>`,
    'User-Agent: Carrier Gateway 9.3.1',
    'Content-Type: application/sdp',
  ]
  return withBody(head, length)
}

/** Pads with SDP media lines up to `length` octets. */
function withBody(head: readonly string[], length: number): string {
  let body =
    'v=0\r\no=- 29739 7272939 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\nm=audio 49217 RTP/AVP 8 0 101\r\n'
  const rest = length - lines([...head, 'Content-Length: 1234']).length
  for (let candidate = 1; body.length < rest; candidate++) {
    body += `a=candidate:${candidate} 1 UDP 2130706431 192.0.2.5 ${49_000 + candidate} typ host\r\n`
  }
  return lines([...head, `Content-Length: ${body.length}`]) + body
}

/** A message whose headers, not its body, fill `length` octets: the worst case for the parser. */
function longHeaders(i: number, length: number): string {
  const base = smallInvite(i).slice(0, -2)
  let filler = ''
  for (let n = 0; base.length + filler.length < length - 300; n++)
    filler += `X-Header-${n}: ${'v'.repeat(280)}\r\n`
  return `${base}${filler}\r\n`
}

const lines = (headers: readonly string[]): string => `${headers.join('\r\n')}\r\n\r\n`

/** Microseconds of CPU per call: the median of several runs after a warm-up. */
function measure(work: (datagram: Datagram) => number, make: (i: number) => string): number {
  const datagrams = Array.from({ length: VARIANTS }, (_, i) => Buffer.from(make(i), 'latin1') as Datagram)
  let rounds = 1
  for (let warm = 0; warm < RUN_MS; rounds *= 2) warm = timeOf(work, datagrams, rounds) / 1000
  const runs = Array.from({ length: RUNS }, () => timeOf(work, datagrams, rounds) / (rounds * VARIANTS))
  return runs.sort((a, b) => a - b)[RUNS >> 1] ?? Number.NaN
}

function timeOf(
  work: (datagram: Datagram) => number,
  datagrams: readonly Datagram[],
  rounds: number,
): number {
  let sum = 0
  const before = process.cpuUsage()
  for (let round = 0; round < rounds; round++) for (const datagram of datagrams) sum += work(datagram)
  const { user, system } = process.cpuUsage(before)
  if (sum === 0) throw new Error('nothing was done')
  return user + system
}

function main(): void {
  const kinds = { REGISTER: register, 'small INVITE': smallInvite, '3 kB INVITE': bigInvite }
  console.log(
    `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}; µs of CPU per message, median of ${RUNS} runs\n`,
  )
  console.log(
    `${'message'.padEnd(16)}${'bytes'.padStart(7)}${'forward'.padStart(10)}${'sip'.padStart(10)}${'ratio'.padStart(8)}`,
  )
  const messages = Object.entries(kinds).map(([name, make]) => {
    const result = {
      name,
      bytes: make(1).length,
      forwardUs: measure(forward, make),
      sipUs: measure(yardstick, make),
    }
    const ratio = result.sipUs / result.forwardUs
    console.log(
      `${name.padEnd(16)}${String(result.bytes).padStart(7)}${result.forwardUs.toFixed(2).padStart(10)}${result.sipUs.toFixed(2).padStart(10)}${ratio.toFixed(1).padStart(8)}`,
    )
    return { ...result, ratio }
  })

  console.log(
    `\n${'length'.padEnd(16)}${'body µs'.padStart(10)}${'headers µs'.padStart(13)}   parse and validate; linear means ns/byte do not rise`,
  )
  const lengths = [1, 2, 4, 8, 16, 32, 63].map((kib) => {
    const bytes = kib * 1024
    const bodyUs = measure(parseOnly, (i) =>
      withBody(smallInvite(i).trimEnd().split('\r\n').slice(0, -1), bytes),
    )
    const headersUs = measure(parseOnly, (i) => longHeaders(i, bytes))
    const perByte = (us: number) => `${((us * 1000) / bytes).toFixed(2)} ns/B`
    console.log(
      `${`${kib} KiB`.padEnd(16)}${bodyUs.toFixed(2).padStart(10)}${headersUs.toFixed(2).padStart(13)}   ${perByte(bodyUs)}, ${perByte(headersUs)}`,
    )
    return { bytes, bodyUs, headersUs }
  })
  if (process.argv.includes('--json'))
    console.log(JSON.stringify({ node: process.version, messages, lengths }))
}

main()
