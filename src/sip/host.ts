import { CLOSE_BRACKET, DOT, HOST, OPEN_BRACKET } from './chars.ts'
import { byteAt, indexOf, load, skip } from './scan.ts'

/**
 * The index behind the host (name, IPv4 address or `[IPv6]`) of the loaded text that starts at `start`, or -1 when there
 * is none. Only brackets are matched here; `hostName` judges what stands in them.
 */
export function skipHost(start: number, end: number): number {
  hasUpper = false
  if (start < end && byteAt(start) === OPEN_BRACKET) return indexOf(CLOSE_BRACKET, start, end) + 1 || -1
  let hostEnd = skip(HOST, start, end)
  for (; hostEnd < end && isUpper(hostEnd); hostEnd = skip(HOST, hostEnd + 1, end)) hasUpper = true
  return hostEnd === start || byteAt(start) === DOT ? -1 : hostEnd
}

/** Of the host that `skipHost` has just skipped: spares a second pass over the name. */
let hasUpper = false

const isUpper = (index: number): boolean => byteAt(index) >= 0x41 && byteAt(index) <= 0x5a

/** The host that `skipHost` has just skipped, as it is compared: lower case, IPv6 in RFC 5952 form without brackets. */
export function hostName(text: string, start: number, end: number): string | undefined {
  if (byteAt(start) === OPEN_BRACKET) return canonicalIpv6(text.slice(start + 1, end - 1))
  const host = text.slice(start, end)
  return hasUpper ? host.toLowerCase() : host
}

/** A host that stands alone, as in `maddr=`; undefined when it is none. */
export function parseHost(text: string): string | undefined {
  return load(text) && skipHost(0, text.length) === text.length ? hostName(text, 0, text.length) : undefined
}

/** A host as it is written on the wire: an IPv6 address in brackets. */
export function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

export function formatHostPort(host: string, port: number): string {
  return port === 0 ? formatHost(host) : `${formatHost(host)}:${port}`
}

/** The four octets of an IPv4 address as one unsigned number, or -1 when `text` is something else. */
export function ipv4Value(text: string): number {
  let value = 0
  let octet = -1
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === DOT) {
      if (octet < 0 || ++dots > 3) return -1
      value = value * 256 + octet
      octet = -1
    } else {
      if (c < 0x30 || c > 0x39) return -1
      octet = (octet < 0 ? 0 : octet * 10) + c - 0x30
      if (octet > 255) return -1
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1
}

/** Whether nothing may be sent there: unspecified, multicast or broadcast. Names and other addresses are not judged. */
export function isUnroutable(host: string): boolean {
  const first = host.charCodeAt(0)
  if (host.includes(':')) return host === '::' || host.startsWith('ff')
  if (first < 0x30 || first > 0x39) return false
  const value = ipv4Value(host)
  return value === 0 || value >= 0xe0_00_00_00
}

/**
 * RFC 5952 form of an IPv6 address without brackets; undefined when it is none. Two spellings of one address are one
 * host (RFC 5954 §4.2), so everything that compares hosts compares this. `:::` is read as `::` (RFC 5118 §4.10:
 * an old ABNF error allowed it) and thereby never written.
 */
export function canonicalIpv6(text: string): string | undefined {
  const known = canonical.get(text)
  if (known !== undefined) return known
  const words = ipv6Words(text.replace(':::', '::'))
  if (words === undefined) return undefined
  const host = formatWords(words)
  if (canonical.size >= MAX_CANONICAL) canonical.clear()
  canonical.set(host, host)
  return host
}

/**
 * Addresses known to be canonical, which on a busy server is nearly every one seen: a look-up is 30 ns, the work
 * 600 ns. Only our own freshly built strings go in, never a slice of a message.
 */
const canonical = new Map<string, string>()
const MAX_CANONICAL = 4096

/** The eight words of an IPv6 address without brackets; undefined when it is none. */
export function ipv6Words(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = wordsOf(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? wordsOf(halves[1] ?? '', true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  return [...head, ...new Array<number>(missing).fill(0), ...tail]
}

function wordsOf(text: string, isLast: boolean): number[] | undefined {
  if (text === '') return []
  const words: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (isLast && i === parts.length - 1 && part.includes('.')) {
      const value = ipv4Value(part)
      if (value < 0) return undefined
      words.push(value >>> 16, value & 0xffff)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined
      words.push(Number.parseInt(part, 16))
    }
  }
  return words
}

function formatWords(words: readonly number[]): string {
  const [start, length] = longestZeros(words)
  const hex = words.map((word) => word.toString(16))
  // RFC 5952 §5: an IPv4-mapped address keeps its dots.
  if (start === 0 && length === 5 && words[5] === 0xffff) {
    const [high = 0, low = 0] = words.slice(6)
    return `::ffff:${high >>> 8}.${high & 255}.${low >>> 8}.${low & 255}`
  }
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

function longestZeros(words: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0]
  for (let i = 0; i < words.length; i++) {
    let length = 0
    while (words[i + length] === 0) length++
    if (length > best[1]) best = [i, length]
  }
  return best
}
