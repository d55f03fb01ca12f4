import sip, { type SipAddress, type SipHeaders, type SipUri, type SipVia } from 'sip'
import { parseCredentials } from '../../../src/sip/credentials.ts'
import { H, headerName } from '../../../src/sip/header.ts'
import type { Message } from '../../../src/sip/message.ts'
import { type NameAddr, parseNameAddr } from '../../../src/sip/name-addr.ts'
import { parseParams, unquote } from '../../../src/sip/params.ts'
import { parseVia, type Via } from '../../../src/sip/via.ts'

/** What a message says, in one flat form for two parsers and for the model that a message was made from. */
export type Facts = Record<string, string>

/** Headers that are compared by what they mean; all others by their text. */
const ADDRESSES = { from: H.from, to: H.to } as const
const ADDRESS_LISTS = {
  contact: H.contact,
  route: H.route,
  'record-route': H.recordRoute,
  path: H.path,
} as const
const CREDENTIALS = { authorization: H.authorization, 'proxy-authorization': H.proxyAuthorization } as const
const TYPED = new Set([
  'via',
  'cseq',
  ...Object.keys(ADDRESSES),
  ...Object.keys(ADDRESS_LISTS),
  ...Object.keys(CREDENTIALS),
])

/** The text of a header that is compared as text, no matter how it was folded and spaced. */
export const plainText = (text: string): string => text.replace(/\s+/g, ' ').trim().replace(/ ?, ?/g, ',')

export interface ParamModel {
  readonly name: string
  /** Decoded; '' without `=`. */
  readonly value: string
}

export function addParams(facts: Facts, prefix: string, params: readonly ParamModel[]): void {
  for (const { name, value } of params) facts[`${prefix}.param.${name.toLowerCase()}`] = value
}

export function ourFacts(message: Message): Facts {
  const facts: Facts = message.isRequest
    ? { method: message.requestMethod, uri: message.requestUri }
    : { status: String(message.status), reason: message.reason.trim() }
  facts.version = message.version.slice('SIP/'.length)
  facts.body = message.body
  facts['cseq.number'] = String(message.cseq?.number)
  facts['cseq.method'] = String(message.cseq?.method)
  addList(
    facts,
    'via',
    message.values(H.via).map((value) => parseVia(value)),
    addOurVia,
  )
  for (const [name, id] of Object.entries(ADDRESSES)) {
    if (message.has(id)) addOurAddress(facts, name, parseNameAddr(message.value(id) ?? ''))
  }
  for (const [name, id] of Object.entries(ADDRESS_LISTS)) {
    const values = message.values(id).map((value) => parseNameAddr(value))
    if (message.has(id)) addList(facts, name, values, addOurAddress)
  }
  for (const [name, id] of Object.entries(CREDENTIALS)) {
    if (message.has(id)) addList(facts, name, message.values(id), addOurCredentials)
  }
  addOurText(facts, message)
  return facts
}

function addList<T>(
  facts: Facts,
  name: string,
  values: readonly T[],
  add: (facts: Facts, prefix: string, value: T) => void,
): void {
  facts[`${name}.count`] = String(values.length)
  for (const [i, value] of values.entries()) add(facts, `${name}.${i}`, value)
}

function addOurVia(facts: Facts, prefix: string, via: Via | undefined): void {
  facts[`${prefix}.transport`] = String(via?.transport)
  facts[`${prefix}.host`] = String(via?.host)
  facts[`${prefix}.port`] = String(via?.port)
  addOurParams(facts, prefix, via?.params)
}

function addOurAddress(facts: Facts, prefix: string, address: NameAddr | undefined): void {
  facts[`${prefix}.display`] = String(address?.displayDecoded)
  facts[`${prefix}.uri`] = String(address?.uriText)
  addOurParams(facts, prefix, address?.params)
}

function addOurParams(facts: Facts, prefix: string, text = ''): void {
  const params = parseParams(text) ?? []
  addParams(
    facts,
    prefix,
    params.map(({ name, value = '' }) => ({ name, value })),
  )
}

function addOurCredentials(facts: Facts, prefix: string, value: string): void {
  const credentials = parseCredentials(value)
  for (const name of [
    'username',
    'realm',
    'nonce',
    'uri',
    'response',
    'qop',
    'nc',
    'cnonce',
    'opaque',
  ] as const) {
    if (credentials?.[name] !== undefined) facts[`${prefix}.${name}`] = credentials[name]
  }
}

function addOurText(facts: Facts, message: Message): void {
  const lines = new Map<string, string[]>()
  for (let line = 0; line < message.lineCount; line++) {
    const spelt = (headerName(message.lineId(line)) || message.lineName(line)).toLowerCase()
    // Subject is one that we pass on unread, by whichever name.
    const name = spelt === 's' ? 'subject' : spelt
    if (TYPED.has(name)) continue
    const values = lines.get(name) ?? []
    lines.set(name, values)
    values.push(message.lineValue(line))
  }
  for (const [name, values] of lines) facts[`header.${name}`] = plainText(values.join(','))
  if (message.contentLength !== undefined) facts['header.content-length'] = String(message.contentLength)
}

/** What package `sip` makes of the text; `undefined` if it cannot read it. */
export function theirFacts(text: string): Facts | undefined {
  const message = sip.parse(text)
  if (message === undefined) return undefined
  const { headers } = message
  const facts: Facts =
    'method' in message
      ? { method: message.method, uri: message.uri }
      : { status: String(message.status), reason: message.reason.trim() }
  facts.version = String(message.version)
  facts.body = message.content
  facts['cseq.number'] = String(headers.cseq?.seq)
  facts['cseq.method'] = String(headers.cseq?.method)
  addList(facts, 'via', headers.via ?? [], addTheirVia)
  for (const name of Object.keys(ADDRESSES)) if (headers[name]) addTheirAddress(facts, name, headers[name])
  for (const name of Object.keys(ADDRESS_LISTS))
    if (headers[name]) addList(facts, name, headers[name], addTheirAddress)
  for (const name of Object.keys(CREDENTIALS))
    if (headers[name]) addList(facts, name, headers[name], addTheirCredentials)
  addTheirText(facts, headers)
  return facts
}

function addTheirVia(facts: Facts, prefix: string, via: SipVia): void {
  facts[`${prefix}.transport`] = via.protocol.toLowerCase()
  facts[`${prefix}.host`] = via.host.toLowerCase()
  facts[`${prefix}.port`] = String(via.port ?? 0)
  addTheirParams(facts, prefix, via.params)
}

function addTheirAddress(
  facts: Facts,
  prefix: string,
  address: SipAddress & { uri?: string | SipUri },
): void {
  facts[`${prefix}.display`] = unquote(address.name ?? '')
  facts[`${prefix}.uri`] =
    typeof address.uri === 'object' ? sip.stringifyUri(address.uri) : String(address.uri)
  addTheirParams(facts, prefix, address.params)
}

function addTheirParams(facts: Facts, prefix: string, params: SipVia['params']): void {
  for (const [name, value] of Object.entries(params)) facts[`${prefix}.param.${name}`] = unquote(value ?? '')
}

function addTheirCredentials(facts: Facts, prefix: string, values: Record<string, string>): void {
  for (const name of ['username', 'realm', 'qop', 'opaque']) {
    const value = values[name]
    if (value !== undefined) facts[`${prefix}.${name}`] = unquote(value)
  }
  // What is hashed keeps its backslashes.
  for (const name of ['nonce', 'uri', 'response', 'nc', 'cnonce']) {
    const value = values[name]
    if (value !== undefined) facts[`${prefix}.${name}`] = value.startsWith('"') ? value.slice(1, -1) : value
  }
}

function addTheirText(facts: Facts, headers: SipHeaders): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!TYPED.has(name)) facts[`header.${name}`] = plainText(String(value))
  }
}

export interface Difference {
  readonly field: string
  readonly ours: string | undefined
  readonly theirs: string | undefined
}

export function differences(ours: Facts, theirs: Facts): Difference[] {
  const fields = new Set([...Object.keys(ours), ...Object.keys(theirs)])
  return [...fields]
    .filter((field) => ours[field] !== theirs[field])
    .map((field) => ({ field, ours: ours[field], theirs: theirs[field] }))
}
