import { ipv4Value } from '../src/sip/host.ts'

/**
 * A source as the guard tells sources apart: an IPv4 address, or the /64 of an IPv6 address, which is what one customer
 * gets: within it he has more addresses than any table. Two 32-bit words; an IPv4 address is the second, and the first is
 * then `IPV4`, a prefix that IPv6 has reserved. An IPv4-mapped address is the IPv4 address.
 */
export interface SourceKey {
  high: number
  low: number
}

const IPV4 = 1
const DOT = 0x2e
const COLON = 0x3a
const PERCENT = 0x25

/** The eight words of an IPv6 address while it is read; one array for all saves an allocation a message. */
const words = new Uint16Array(8)

/** Reads a numeric address into `key`; what is none becomes the address that nobody has, `::`. */
export function readSource(address: string, key: SourceKey): void {
  if (readIpv4(address, key)) return
  if (readIpv6(address)) setIpv6(key)
  else key.high = key.low = 0
}

/** Spares what `ipv4Value` spends on a number that does not fit in 31 bits: 40 ns in place of 55. */
function readIpv4(address: string, key: SourceKey): boolean {
  let value = 0
  let octet = 0
  let dots = 0
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === DOT) {
      value = (value << 8) | octet
      octet = 0
      dots++
    } else if (code >= 0x30 && code <= 0x39) octet = octet * 10 + code - 0x30
    else return false
  }
  if (dots !== 3) return false
  setIpv4(key, (value << 8) | octet)
  return true
}

function setIpv4(key: SourceKey, value: number): void {
  key.high = IPV4
  key.low = value | 0
}

function setIpv6(key: SourceKey): void {
  key.high = ((words[0] as number) << 16) | (words[1] as number)
  key.low = ((words[2] as number) << 16) | (words[3] as number)
  const isMapped = key.high === 0 && key.low === 0 && words[4] === 0 && words[5] === 0xffff
  if (isMapped) setIpv4(key, ((words[6] as number) << 16) | (words[7] as number))
}

/** Fills `words`. The address comes from the kernel, so hardly anything about its form is checked. */
function readIpv6(address: string): boolean {
  words.fill(0)
  let count = 0
  let gap = -1
  let word = -1
  for (let i = 0; i <= address.length; i++) {
    const code = i < address.length ? address.charCodeAt(i) : PERCENT
    if (code === COLON || code === PERCENT) {
      if (word >= 0) {
        if (count === 8) return false
        words[count++] = word
      } else if (code === COLON && i > 0) gap = count
      word = -1
      if (code === PERCENT) break
    } else if (code === DOT) {
      const value = ipv4Value(address.slice(address.lastIndexOf(':') + 1))
      if (value < 0 || count > 6) return false
      words[count++] = value >>> 16
      words[count++] = value & 0xffff
      break
    } else {
      const digit = hexDigit(code)
      if (digit < 0) return false
      word = ((word < 0 ? 0 : word) << 4) | digit
    }
  }
  return gap < 0 ? count === 8 : spread(gap, count)
}

/** Moves what stands behind `::` to the end. */
function spread(gap: number, count: number): boolean {
  words.copyWithin(8 - (count - gap), gap, count)
  words.fill(0, gap, 8 - (count - gap))
  return count < 8
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = (code | 0x20) - 0x61
  return letter >= 0 && letter < 6 ? letter + 10 : -1
}

/** `192.0.2.1`, or `2001:db8:0:7::/64`. */
export function formatSource({ high, low }: Readonly<SourceKey>): string {
  if (high === IPV4) return [low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255].join('.')
  const groups = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff].map((group) => group.toString(16))
  while (groups.at(-1) === '0') groups.pop()
  return `${groups.join(':')}::/64`
}

/**
 * Networks in CIDR form; an IPv6 prefix longer than 64 bits stands for its /64, as its addresses do. node:net has
 * BlockList for this: with twenty networks it takes 1.5 µs to say no, as long as parsing the message does.
 */
export class Networks {
  /** For each network the mask and the value of both words. */
  readonly #rules: Int32Array

  constructor(networks: readonly string[]) {
    this.#rules = Int32Array.from(networks.flatMap(ruleOf))
  }

  has({ high, low }: Readonly<SourceKey>): boolean {
    const rules = this.#rules
    for (let i = 0; i < rules.length; i += 4) {
      if ((high & (rules[i] as number)) === rules[i + 1] && (low & (rules[i + 2] as number)) === rules[i + 3])
        return true
    }
    return false
  }
}

function ruleOf(network: string): number[] {
  const [address = '', length] = network.split('/')
  const key: SourceKey = { high: 0, low: 0 }
  readSource(address, key)
  const isIpv4 = !address.includes(':')
  const bits = length === undefined ? 64 : Number(length) + (isIpv4 ? 32 : 0)
  const [high, low] = [maskOf(bits), maskOf(bits - 32)]
  return [high, key.high & high, low, key.low & low]
}

/** The first `bits` of 32. */
const maskOf = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? -1 : ~(-1 >>> bits))
