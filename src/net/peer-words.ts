import { isIPv6 } from 'node:net'
import type { Endpoint } from '../sip/endpoint.ts'
import type { UdpAddon } from './udp-addon.ts'

/*
 * Addresses as the addon has them, `Peer` of native/datagram_socket.h: port, scope (of IPv6), address. An IPv4 address
 * is one word, an IPv6 address four.
 */
export const PEER_WORDS = 6
const ADDRESS = 2

/** Sources remembered: a power of two. */
const REMEMBERED_SOURCES = 8192
/** IPv6 addresses remembered as words; all are forgotten when they are this many. */
const REMEMBERED_TARGETS = 4096

const DOT = 0x2e
const ZERO = 0x30

/** The endpoints that messages come from, without a string made for every message. */
export class SourceCache {
  readonly #addon: UdpAddon
  readonly #words: Uint32Array
  // A place for every hash: a newcomer takes the place of whoever had it, so the table never grows.
  readonly #keys = new Uint32Array(REMEMBERED_SOURCES * PEER_WORDS)
  readonly #endpoints = new Array<Endpoint | undefined>(REMEMBERED_SOURCES).fill(undefined)

  /** `words` are the sources of a batch. */
  constructor(addon: UdpAddon, words: Uint32Array) {
    this.#addon = addon
    this.#words = words
  }

  source(index: number, ipv6: boolean): Endpoint {
    const at = index * PEER_WORDS
    const place = this.#place(at)
    const known = this.#endpoints[place]
    if (known !== undefined && this.#isKey(place, at)) return known
    const endpoint = this.#read(at, ipv6)
    this.#keys.set(this.#words.subarray(at, at + PEER_WORDS), place * PEER_WORDS)
    this.#endpoints[place] = endpoint
    return endpoint
  }

  #place(at: number): number {
    let hash = 0
    for (let i = 0; i < PEER_WORDS; i++) hash = Math.imul(hash ^ (this.#words[at + i] ?? 0), 0x9e3779b1)
    return (hash ^ (hash >>> 15)) & (REMEMBERED_SOURCES - 1)
  }

  #isKey(place: number, at: number): boolean {
    for (let i = 0; i < PEER_WORDS; i++)
      if (this.#keys[place * PEER_WORDS + i] !== this.#words[at + i]) return false
    return true
  }

  #read(at: number, ipv6: boolean): Endpoint {
    const words = this.#words.subarray(at, at + PEER_WORDS)
    const address = ipv6 ? this.#addon.formatAddress(words) : dotted(words[ADDRESS] ?? 0)
    return Object.freeze({ transport: 'udp', address, port: words[0] ?? 0 })
  }
}

const dotted = (word: number): string =>
  `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`

/** Writes where messages go. */
export class TargetWriter {
  readonly #addon: UdpAddon
  readonly #ipv6: boolean
  readonly #known = new Map<string, Uint32Array>()

  constructor(addon: UdpAddon, ipv6: boolean) {
    this.#addon = addon
    this.#ipv6 = ipv6
  }

  /** False for what is no numeric address of the family. */
  write({ address, port }: Endpoint, words: Uint32Array, index: number): boolean {
    const at = index * PEER_WORDS
    if (this.#ipv6) {
      const known = this.#known.get(address) ?? this.#learn(address)
      if (!known) return false
      words.set(known, at)
    } else {
      const word = parseDotted(address)
      if (word < 0) return false
      words[at + ADDRESS] = word
    }
    words[at] = port
    return true
  }

  #learn(address: string): Uint32Array | undefined {
    const words = new Uint32Array(PEER_WORDS)
    if (!isIPv6(address) || !this.#addon.parseAddress(address, words)) return undefined
    if (this.#known.size >= REMEMBERED_TARGETS) this.#known.clear()
    this.#known.set(address, words)
    return words
  }
}

/** An IPv4 address as a number; -1 for anything else. */
export function parseDotted(text: string): number {
  let word = 0
  let octet = -1
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const digit = code - ZERO
    if (digit >= 0 && digit <= 9) {
      // 08 is no octet: some read it as octal.
      if (octet === 0) return -1
      octet = octet < 0 ? digit : octet * 10 + digit
      if (octet > 255) return -1
    } else if (code === DOT && octet >= 0 && dots < 3) {
      word = word * 256 + octet
      octet = -1
      dots++
    } else return -1
  }
  return dots === 3 && octet >= 0 ? word * 256 + octet : -1
}
