import { HTAB, readNumber, SP, skipLws, tokenEnd, trimEnd } from './chars.ts'
import { knownMethodAt, methodAt } from './method.ts'
import { METHOD, SIP_URI } from './patterns.ts'

const VERSION = 'SIP/2.0'

/** What the start line says. */
export interface StartLine {
  readonly isRequest: boolean
  /** '' in a response. */
  readonly method: string
  /** The Request-URI as written; '' in a response. */
  readonly uri: string
  /** A sip URI that nothing is wrong with. */
  readonly isGoodUri: boolean
  /** As written, `SIP/2.0` in any case if it is ours. */
  readonly version: string
  /** 100…699; 0 in a request, and for what is no such number. */
  readonly status: number
  /** Spaced more widely than the grammar allows. */
  readonly isLoose: boolean
  /** Where the next line begins. */
  readonly end: number
}

const USUAL = new RegExp(`${METHOD} ${SIP_URI} ${VERSION}\\r\\n`, 'y')

/** Reads the first line of `text`; `undefined` when that is no SIP start line. */
export function parseStartLine(text: string): StartLine | undefined {
  USUAL.lastIndex = 0
  return USUAL.test(text) ? usualRequestLine(text, USUAL.lastIndex) : scanStartLine(text)
}

function usualRequestLine(text: string, end: number): StartLine {
  const space = text.indexOf(' ')
  return {
    isRequest: true,
    method: knownMethodAt(text, 0, space),
    uri: text.slice(space + 1, end - ' SIP/2.0\r\n'.length),
    isGoodUri: true,
    version: VERSION,
    status: 0,
    isLoose: false,
    end,
  }
}

/** The whole grammar, for what is spelt less usually. */
export function scanStartLine(text: string): StartLine | undefined {
  const newline = text.indexOf('\n')
  const end = newline < 0 ? text.length : newline + 1
  const last = trimEnd(text, 0, end)
  return isVersion(text, 0) ? parseStatusLine(text, last, end) : parseRequestLine(text, last, end)
}

function parseStatusLine(text: string, last: number, end: number): StartLine | undefined {
  if (text.charCodeAt(VERSION.length) !== SP) return undefined
  const from = VERSION.length + 1
  const space = text.indexOf(' ', from)
  const code = readNumber(text, from, space < 0 || space > last ? last : space, 699)
  return {
    isRequest: false,
    method: '',
    uri: '',
    isGoodUri: false,
    version: versionAt(text, 0, VERSION.length),
    status: code >= 100 ? code : 0,
    isLoose: false,
    end,
  }
}

/** Method, Request-URI and version; liberal about the blanks between them, and leaves a blank in the URI to be refused. */
function parseRequestLine(text: string, last: number, end: number): StartLine | undefined {
  const methodEnd = text.indexOf(' ')
  const versionStart = text.lastIndexOf(' ', last - 1) + 1
  if (methodEnd < 1 || versionStart <= methodEnd || tokenEnd(text, 0, methodEnd) < methodEnd) return undefined
  if (!startsWithSipSlash(text, versionStart)) return undefined
  const uriStart = skipLws(text, methodEnd, versionStart)
  const uriEnd = trimEnd(text, uriStart, versionStart)
  const isSpaced = uriStart !== methodEnd + 1 || uriEnd !== versionStart - 1
  const behind = text.charCodeAt(last)
  return {
    isRequest: true,
    method: methodAt(text, 0, methodEnd),
    uri: text.slice(uriStart, uriEnd),
    isGoodUri: false,
    version: versionAt(text, versionStart, last),
    status: 0,
    isLoose: isSpaced || behind === SP || behind === HTAB || last + 2 < end,
    end,
  }
}

/** A constant in place of a slice, as for the methods. */
function versionAt(text: string, start: number, end: number): string {
  const version = text.slice(start, end)
  return version === VERSION ? VERSION : version
}

const isVersion = (text: string, at: number) => startsWithSipSlash(text, at) && text.startsWith('2.0', at + 4)

/** The version's name is case-insensitive (RFC 3261 §7.1). */
const startsWithSipSlash = (text: string, at: number) =>
  (text.charCodeAt(at) | 0x20) === 0x73 &&
  (text.charCodeAt(at + 1) | 0x20) === 0x69 &&
  (text.charCodeAt(at + 2) | 0x20) === 0x70 &&
  text.charCodeAt(at + 3) === 0x2f
