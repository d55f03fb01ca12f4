import { METHODS } from './method.ts'

/**
 * The usual spellings of what is routed on, each recognised in one go. V8 compiles a sticky expression to machine code
 * that reads the characters directly: `test` takes 25 ns and 0.5 ns a character, where a scanner in TypeScript takes 2 ns
 * a character. Where the parts lie is then found by `indexOf`, 12 ns each; groups and `exec` would cost 50 ns more.
 *
 * What a pattern does not match is not wrong, only unusual: the scanner, which knows the whole grammar, decides. A
 * pattern must never match what the scanner refuses or reads otherwise; `test/sip/patterns.test.ts` holds both
 * against each other.
 *
 * All are linear: where two repetitions meet, no character belongs to both.
 */

/** token (RFC 3261 §25.1). */
export const TOKEN = "[\\w.!%*+`'~-]+"

/** A host name in lower case or an IPv4 address. */
const HOST_NAME = '[a-z0-9_-][a-z0-9._-]*'

/** 1…65535, the longest first: what may follow is optional, so nothing would make the pattern go back for another digit. */
const PORT = '(?:[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|[1-9][0-9]{0,3})'

const HOST_PORT = `${HOST_NAME}(?::${PORT})?`

/** What a user part holds unescaped, in the strict grammar. */
const USER_NAME = "[\\w.!~*'()&=+$,;?/-]+"

/** A parameter of a URI, without escapes. */
const URI_PARAM = ";[\\w.!~*'()+$&/:[\\]-]+(?:=[\\w.!~*'()+$&/:[\\]-]+)?"

/** A sip URI without password and headers; `@` stands behind its user only. */
export const SIP_URI = `sip:(?:${USER_NAME}@)?${HOST_PORT}(?:${URI_PARAM})*`

const QUOTED = '"[^"\\\\\\r\\n]*"'
const DISPLAY_NAME = `(?:${QUOTED}|${TOKEN}(?: ${TOKEN})*)`
const PARAM = `;(?![Tt][Aa][Gg]\\b)${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?`

/** A sip URI in `<>`; a tag is its first parameter. */
export const NAME_ADDR = `${DISPLAY_NAME}? ?<${SIP_URI}>(?:;tag=${TOKEN})?(?:${PARAM})*`

const RPORT = `;rport(?:=${PORT})?`
const BRANCH = `;branch=z9hG4bK${TOKEN}`
const RECEIVED = ';received=[0-9.]+'

/** Other parameters, told by their first letters from those that are looked for. */
const MORE = '(?:;(?![Bb]|[Rr][EePp])[\\w.-]+(?:=[\\w.-]+)?)*'

/** A Via with a branch of RFC 3261; `rport` and `received` may be there, neither of them twice. */
export const VIA =
  `SIP/2\\.0/(?:UDP|TCP|TLS) ${HOST_PORT}` +
  `(?:${BRANCH}(?:${RPORT}(?:${RECEIVED})?|${RECEIVED}(?:${RPORT})?)?|${RPORT}${BRANCH}(?:${RECEIVED})?)${MORE}`

/** A method that we know: see `knownMethodAt`. */
export const METHOD = `(?:${METHODS.join('|')})`

/** Nine digits are below the limit whatever they are. */
export const CSEQ = `[0-9]{1,9} ${METHOD}`
