import fc from 'fast-check'
import t from 'tap'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { checkRequest, checkResponse } from '../../src/sip/validate.ts'
import { generated, mutated } from './fuzz/arbitraries.ts'
import { type Difference, differences, type Facts, ourFacts, theirFacts } from './fuzz/facts.ts'
import { isValid } from './fuzz/grammar.ts'

/**
 * Our parser against package `sip`, on messages that RFC 3261 allows: made by its grammar (with what they say, so that
 * both parsers are held to a model), and damaged ones that are still valid. Each disagreement must be one of those
 * that are known, with the sentence that says who is right; a new one fails the test.
 */

const SEED = 3261

interface Disagreement {
  readonly what: string
  /** The RFC's sentence, in brief. */
  readonly ruling: string
  /** Whether a difference is this one and nothing else. */
  explains(difference: Difference, ours: Facts, theirs: Facts): boolean
}

/** Text without colons, quotes and blanks is a token, and with a colon, in hexadecimal digits, an IPv6 address. */
const isIpv6 = (value: string | undefined) =>
  value !== undefined && /^\[?[0-9a-f]*:[0-9a-f:]*\]?$/i.test(value)

/** Whether the value that `field` belongs to, or one before it on the same line, has an IPv6 address where `sip` trips. */
function followsIpv6(field: string, facts: Facts): boolean {
  const [header = '', place] = field.split('.')
  return Object.entries(facts).some(([other, value]) => {
    const [otherHeader, otherPlace] = other.split('.')
    const isBefore = otherPlace === place || !(Number(otherPlace) > Number(place))
    return otherHeader === header && isBefore && /\.(host|param\..*)$/.test(other) && isIpv6(value)
  })
}

/** Whether values before this one are missing from theirs. */
function isShifted(field: string, ours: Facts, theirs: Facts): boolean {
  const [header = '', place] = field.split('.')
  return Number(place) > 0 && Number(theirs[`${header}.count`]) < Number(ours[`${header}.count`])
}

const disagreements: readonly Disagreement[] = [
  {
    what: 'the compact form `e`',
    ruling:
      'RFC 3261 §20.12: the compact form of Content-Encoding is e (sip takes it for "Contact-Encoding")',
    explains: ({ field }, ours, theirs) =>
      (field === 'header.content-encoding' || field === 'header.contact-encoding') &&
      ours['header.contact-encoding'] === undefined &&
      (ours['header.content-encoding'] ?? '').endsWith(theirs['header.contact-encoding'] ?? '?'),
  },
  {
    what: 'the compact form `o`',
    ruling: 'RFC 6665 §8.4: "Event" / "o" (sip knows no compact forms younger than RFC 3261)',
    explains: ({ field }, ours, theirs) =>
      (field === 'header.event' || field === 'header.o') && ours['header.event'] === theirs['header.o'],
  },
  {
    what: 'a header without a value, and another of its name',
    ruling:
      'RFC 3261 §7.3.1: lines are joined by appending each value in order, also an empty one (sip forgets it)',
    explains: ({ field, ours = '', theirs = '' }) =>
      field.startsWith('header.') &&
      ours.endsWith(theirs) &&
      /^,+$/.test(ours.slice(0, ours.length - theirs.length)),
  },
  {
    what: 'a percent sign in the name of a header',
    ruling: 'RFC 3261 §25.1: header-name = token, and `%` is a character of a token, not an escape',
    explains: ({ field }, ours, theirs) =>
      Object.entries(ours).some(
        ([name, value]) =>
          /^header\..*%/.test(name) &&
          theirs[decode(name).toLowerCase()] === value &&
          [name, decode(name).toLowerCase()].includes(field),
      ),
  },
  {
    what: 'a fold in a quoted-string',
    ruling: 'RFC 3261 §7.3.1: a fold is white space, equal to one SP (sip keeps the line break)',
    explains: ({ ours, theirs }) =>
      theirs?.includes('\r\n') === true && theirs.replace(/[ \t]*\r\n[ \t]+/g, ' ') === ours,
  },
  {
    what: 'a percent sign in a method',
    ruling: 'RFC 3261 §25.1: `%` is a character of a token, and only URIs have escapes (RFC 4475 §3.1.1.5)',
    explains: ({ field, ours, theirs }) =>
      (field === 'method' || field === 'cseq.method') &&
      ours?.includes('%') === true &&
      theirs === decode(ours),
  },
  {
    what: 'an IPv6 address as a sent-by or as the value of a parameter',
    ruling: 'RFC 3261 §25.1: gen-value = token / host / quoted-string, and host may be an IPv6reference',
    // sip stops reading there, and so loses the parameters and the values that follow on the line.
    explains: ({ field, ours, theirs }, all, them) =>
      followsIpv6(field, all) &&
      (theirs === undefined ||
        isShifted(field, all, them) ||
        (field.endsWith('.count') && Number(theirs) < Number(ours)) ||
        (field.endsWith('.port') && theirs === '0') ||
        (isIpv6(ours) && `[${ours}`.includes(theirs))),
  },
  {
    what: 'an IPv6 address in a Route',
    ruling: 'RFC 3261 §19.1.1: the host may be an IPv6 reference',
    explains: ({ field, ours, theirs }) =>
      /^(route|record-route|path)\.\d+\.uri$/.test(field) &&
      theirs === 'undefined' &&
      /\[[0-9a-f:]+\]/.test(ours ?? ''),
  },
  {
    what: 'an addr-spec in a list of Contacts',
    ruling: 'RFC 3261 §20.10: a URI without <> holds no comma, so a comma ends the value',
    explains: ({ field }, ours, theirs) =>
      field.startsWith('contact.') &&
      Object.entries(theirs).some(
        ([other, uri]) =>
          /^contact\.\d+\.uri$/.test(other) && uri.startsWith(`${ours[other]},`) && !isBehind(other, field),
      ),
  },
]

/** Whether the list element of `field` comes before the one of `other`. */
const isBehind = (other: string, field: string) => Number(field.split('.')[1]) < Number(other.split('.')[1])

const decode = (text: string) =>
  text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

/** What we refuse although the grammar allows it. */
const refusals: Record<string, string> = {
  'CSeq Method Mismatch': 'RFC 3261 §8.1.1.5: the method of CSeq MUST match that of the request',
  'Not Implemented': 'the same, of a method that we do not know (RFC 4475 §3.1.2.18)',
  'Bad Branch': 'RFC 3261 §8.1.1.7: a branch is unique, and the cookie alone is not (RFC 4475 §3.2.1)',
  'Unroutable Second Via': 'RFC 3261 §18.2.2: its transport is one that we do not have (or RFC 4475 §3.3.10)',
}

const met = new Map<string, number>()

/** What of the differences between the two nobody has explained. */
function unexplained(text: string, ours: Facts): readonly Difference[] {
  const theirs = theirFacts(text) ?? { unreadable: '' }
  return differences(ours, theirs).filter((difference) => {
    const known = disagreements.find(({ explains }) => explains(difference, ours, theirs))
    if (known) met.set(known.what, (met.get(known.what) ?? 0) + 1)
    return !known
  })
}

const refusalOf = (message: Message) =>
  (message.isRequest ? checkRequest(message) : checkResponse(message))?.reason

/** The first example of each kind, so that a failure can be read. */
class Findings {
  readonly kinds = new Map<string, unknown>()

  add(kind: string, example: unknown): void {
    if (!this.kinds.has(kind)) this.kinds.set(kind, example)
  }

  addAll(kind: string, text: string, all: readonly Difference[]): void {
    for (const difference of all)
      this.add(`${kind}: ${difference.field.replace(/\d+/, 'n')}`, { ...difference, text })
  }
}

t.test('generated messages', async (t) => {
  const findings = new Findings()
  for (const { text, facts } of fc.sample(generated, { numRuns: 1500, seed: SEED })) {
    if (!isValid(text)) findings.add('not valid by the grammar', text)
    const message = parseMessage(text)
    const refusal = message && refusalOf(message)
    if (!message || refusal) {
      if (!refusal || !(refusal in refusals)) findings.add(`refused: ${refusal}`, text)
      continue
    }
    const ours = ourFacts(message)
    findings.addAll('the model (theirs) says otherwise', text, differences(ours, facts))
    findings.addAll('sip says otherwise', text, unexplained(text, ours))
  }
  t.strictSame(Object.fromEntries(findings.kinds), {})
})

t.test('damaged messages that are valid all the same', async (t) => {
  const findings = new Findings()
  let valid = 0
  for (const text of fc.sample(mutated, { numRuns: 3000, seed: SEED })) {
    if (!isValid(text)) continue
    valid++
    const message = parseMessage(text)
    const refusal = message && refusalOf(message)
    if (!message || refusal) {
      if (!refusal || !(refusal in refusals)) findings.add(`refused: ${refusal}`, text)
      continue
    }
    findings.addAll('sip says otherwise', text, unexplained(text, ourFacts(message)))
  }
  t.strictSame(Object.fromEntries(findings.kinds), {})
  t.ok(valid > 200, `${valid} were valid`)
})

t.test('every known disagreement has been met', async (t) => {
  for (const { what, ruling } of disagreements) t.ok(met.get(what), `${what}: ${ruling}`)
})
