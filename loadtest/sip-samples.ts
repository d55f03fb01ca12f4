import type { Endpoint } from '../src/sip/endpoint.ts'

/** Requests as phones send them, each variant of another user and call. */
export type Sample = (variant: number, client: Endpoint, server: Endpoint) => string

/** About 600 bytes. */
export const register: Sample = (i, client) =>
  lines([
    'REGISTER sip:example.com SIP/2.0',
    `Via: SIP/2.0/UDP ${client.address}:${client.port};branch=z9hG4bK-524287-1---${hex(i)};rport`,
    'Max-Forwards: 70',
    `To: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>`,
    `From: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>;tag=${hex(i + 7)}`,
    `Call-ID: ${i}@ZTJmNzk1YzQ4ZDE1MmIyYjQ`,
    `CSeq: ${i + 1} REGISTER`,
    `Contact: <sip:+4930123${1000 + i}@${client.address}:${client.port};transport=udp>;expires=3600`,
    'Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE',
    'User-Agent: Phone 5.1',
    'Content-Length: 0',
  ])

/** About 1,000 bytes, a third of them SDP. */
export const invite: Sample = (i, client) => {
  const body = lines(
    [
      'v=0',
      `o=- ${i} 7272939 IN IP4 192.0.2.5`,
      's=-',
      'c=IN IP4 192.0.2.5',
      't=0 0',
      'm=audio 49217 RTP/AVP 8 0 101',
      'a=rtpmap:8 PCMA/8000',
      'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:101 telephone-event/8000',
      'a=fmtp:101 0-15',
      'a=ptime:20',
      'a=sendrecv',
    ],
    '',
  )
  const head = lines([
    `INVITE sip:+4989765${1000 + i}@example.com SIP/2.0`,
    `Via: SIP/2.0/UDP ${client.address}:${client.port};branch=z9hG4bK-524287-1---${hex(i)};rport`,
    'Max-Forwards: 70',
    `To: <sip:+4989765${1000 + i}@example.com>`,
    `From: "Subscriber ${i}" <sip:+4930123${1000 + i}@example.com>;tag=${hex(i + 7)}`,
    `Call-ID: ${i}@ZTJmNzk1YzQ4ZDE1MmIyYjQ`,
    `CSeq: ${i + 1} INVITE`,
    `Contact: <sip:+4930123${1000 + i}@${client.address}:${client.port}>`,
    'Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE',
    'Supported: 100rel, timer, replaces',
    'User-Agent: Phone 5.1',
    'Content-Type: application/sdp',
    `Content-Length: ${body.length}`,
  ])
  return head + body
}

/** The variant of a request that a response answers. */
export const variantOf = (response: string): number => {
  const at = response.indexOf('\r\nCall-ID: ')
  return Number(response.slice(at + 11, response.indexOf('@', at)))
}

const hex = (i: number): string => ((i * 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
const lines = (rows: readonly string[], end = '\r\n'): string => `${rows.join('\r\n')}\r\n${end}`
