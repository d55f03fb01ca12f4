import type { Endpoint } from '../sip/endpoint.ts'
import { ipv4Value, ipv6Words } from '../sip/host.ts'

const BINDING_REQUEST = 0x0001
const BINDING_SUCCESS = '\x01\x01'
const BINDING_ERROR = '\x01\x11'
const COOKIE = '\x21\x12\xa4\x42'
const HEADER_BYTES = 20
const ATTRIBUTE_HEADER_BYTES = 4

const FINGERPRINT = 0x8028
/** Attributes below this must be understood, or the request refused (RFC 5389 §7.3.1). */
const OPTIONAL = 0x8000
/** Of these, what RFC 5389 itself defines: this usage authenticates nobody, so credentials mean nothing. */
const KNOWN = new Set([0x0001, 0x0006, 0x0008, 0x0009, 0x000a, 0x0014, 0x0015, 0x0020])

/** ERROR-CODE 420 without a phrase: the answer to a forged source must not be longer than need be. */
const ERROR_420 = '\x00\x09\x00\x04\x00\x00\x04\x14'

/** RFC 5389 §15.5. */
const FINGERPRINT_XOR = 0x5354554e

/**
 * The limited STUN server of a SIP port (RFC 5626 §8): answers Binding requests with where they came from. Text is latin1.
 * @returns `undefined` for what is not answered: indications, responses, other methods, and what is malformed or older
 * than RFC 5389, which has no magic cookie.
 */
export function answerStun(text: string, source: Endpoint): string | undefined {
  if (word(text, 0) !== BINDING_REQUEST || text.slice(4, 8) !== COOKIE) return undefined
  const attributes = readAttributes(text)
  if (attributes === undefined) return undefined
  const { unknown, isFingerprinted } = attributes
  const transaction = text.slice(8, HEADER_BYTES)
  const [type, body] =
    unknown === ''
      ? [BINDING_SUCCESS, mappedAddress(source, transaction)]
      : [BINDING_ERROR, ERROR_420 + attribute(0x000a, unknown)]
  const length = body.length + (isFingerprinted ? ATTRIBUTE_HEADER_BYTES + 4 : 0)
  const answer = type + chars(length) + COOKIE + transaction + body
  return isFingerprinted ? answer + attribute(FINGERPRINT, fingerprint(answer)) : answer
}

/** The types of attributes that had to be understood and are not, and whether a right FINGERPRINT is the last one. */
function readAttributes(text: string): { unknown: string; isFingerprinted: boolean } | undefined {
  if (word(text, 2) !== text.length - HEADER_BYTES) return undefined
  let unknown = ''
  let isFingerprinted = false
  for (let at = HEADER_BYTES; at < text.length; ) {
    if (at + ATTRIBUTE_HEADER_BYTES > text.length || isFingerprinted) return undefined
    const type = word(text, at)
    const end = at + ATTRIBUTE_HEADER_BYTES + padded(word(text, at + 2))
    if (end > text.length) return undefined
    if (type === FINGERPRINT) {
      if (text.slice(at + ATTRIBUTE_HEADER_BYTES) !== fingerprint(text.slice(0, at))) return undefined
      isFingerprinted = true
    } else if (type < OPTIONAL && !KNOWN.has(type)) unknown += chars(type)
    at = end
  }
  return { unknown, isFingerprinted }
}

/** XOR-MAPPED-ADDRESS (RFC 5389 §15.2): so that no router that rewrites addresses in payloads touches it. */
function mappedAddress({ address, port }: Endpoint, transaction: string): string {
  const mask = COOKIE + transaction
  const isIpv6 = address.includes(':')
  const value = ipv4Value(address)
  const words = isIpv6 ? (ipv6Words(address) ?? []) : [value >>> 16, value & 0xffff]
  const family = isIpv6 ? 2 : 1
  const masked = words.map((part, i) => chars(part ^ word(mask, 2 * i)))
  return attribute(0x0020, chars(family) + chars(port ^ word(COOKIE, 0)) + masked.join(''))
}

/** Padded to a multiple of four with zeros. */
function attribute(type: number, value: string): string {
  return chars(type) + chars(value.length) + value + '\0'.repeat(padded(value.length) - value.length)
}

const padded = (length: number): number => (length + 3) & ~3

const word = (text: string, at: number): number => (text.charCodeAt(at) << 8) | text.charCodeAt(at + 1)

const chars = (value: number): string => String.fromCharCode(value >>> 8, value & 255)

function fingerprint(text: string): string {
  const value = (crc32(text) ^ FINGERPRINT_XOR) >>> 0
  return chars(value >>> 16) + chars(value & 0xffff)
}

/** node:zlib has it from Node 20.15 on. */
function crc32(text: string): number {
  let crc = -1
  for (let i = 0; i < text.length; i++) crc = (crc >>> 8) ^ (CRC[(crc ^ text.charCodeAt(i)) & 255] as number)
  return ~crc
}

const CRC = Int32Array.from({ length: 256 }, (_, value) => {
  let crc = value
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xed_b8_83_20 : 0)
  return crc
})
