import { COLON } from './chars.ts'
import { H, type HeaderKey, headerId, headerName } from './header.ts'
import { CSEQ, NAME_ADDR, TOKEN, VIA } from './patterns.ts'

/**
 * Header lines as nearly everybody writes them: `Name: value`, CRLF, no fold. One test of one pattern finds a whole run
 * of them, all with values that follow the grammar where a hop has to look at it: 0.6 ns a character, and 25 ns only once
 * for the call. A line that is written otherwise ends the run, and is looked at by itself.
 */

/** What is asked of a value: for these the grammar, and that a Via or Contact line holds one value only. */
const JUDGED = {
  via: VIA,
  from: NAME_ADDR,
  to: NAME_ADDR,
  callId: '[!-~]+',
  cseq: CSEQ,
  maxForwards: '[0-9]{1,2}',
  contact: NAME_ADDR,
  contentLength: '[0-9]{1,5}',
} as const satisfies { readonly [K in HeaderKey]?: string }

/** Of the others, that there is one, and no white space around it. */
const ANYTHING = '[!-\\xff](?:[^\\r\\n]*[!-\\xff])?'

// Which header a line may be, by the first two letters of its name, and which else if it is not that one. With the colon where
// the name ends these tell a line in 9 ns; comparing every name letter by letter takes 18.
const firstById = new Uint8Array(1 << 14)
const slotAt = (text: string, at: number) =>
  ((text.charCodeAt(at) << 7) ^ text.charCodeAt(at + 1)) & (firstById.length - 1)
const ID_COUNT = Object.keys(H).length
const nextById = new Uint8Array(ID_COUNT)
const lengthById = new Uint8Array(ID_COUNT)
const isJudgedById = new Uint8Array(ID_COUNT)
const lettersById: number[][] = []

// The shortest name comes first: so the colon where a name would end is the first of the line, which `Contact: "A" <sip:` has
// another one where Content-Length would end.
const longestFirst = (Object.entries(H) as [HeaderKey, number][]).sort(
  ([, a], [, b]) => headerName(b).length - headerName(a).length,
)
for (const [key, id] of longestFirst) {
  const name = headerName(id)
  const slot = slotAt(name, 0)
  lettersById[id] = Array.from(name, (letter) => letter.charCodeAt(0))
  lengthById[id] = name.length
  isJudgedById[id] = key in JUDGED ? 1 : 0
  nextById[id] = firstById[slot] as number
  if (id !== H.other) firstById[slot] = id
}

// A line that may be a judged header in another spelling is left to be looked at: one whose name begins with the same two
// letters in any case and is as long, or has but one letter.
const judged = Object.entries(JUDGED) as [HeaderKey, string][]
const anyCase = (letter: string) => `[${letter.toUpperCase()}${letter.toLowerCase()}]`
const likeJudged = judged.map(([key]) => {
  const [first = '', second = '', ...others] = headerName(H[key])
  return `${anyCase(first)}${anyCase(second)}[^]{${others.length}}:`
})

const LINE = [
  ...judged.map(([key, value]) => `${headerName(H[key])}: ${value}`),
  `(?!.:|${likeJudged.join('|')})${TOKEN}: ${ANYTHING}`,
].join('|')
const RUN = new RegExp(`(?:(?:${LINE})\\r\\n(?![ \\t]))+`, 'y')

/** Where the run of usual lines that begins at `start` ends; `start` itself if none does. */
export function usualRunEnd(text: string, start: number): number {
  RUN.lastIndex = start
  return RUN.test(text) ? RUN.lastIndex : start
}

/** Which header the line at `at` is, which is one of a run. */
export function usualHeaderId(text: string, at: number): number {
  for (let id = firstById[slotAt(text, at)] as number; id !== H.other; id = nextById[id] as number) {
    const end = at + (lengthById[id] as number)
    if (text.charCodeAt(end) === COLON && (isJudgedById[id] === 1 || isSpelt(text, at, id))) return id
  }
  return headerId(text, at, text.indexOf(':', at))
}

function isSpelt(text: string, at: number, id: number): boolean {
  const letters = lettersById[id] as number[]
  for (let i = 2; i < letters.length; i++) if (text.charCodeAt(at + i) !== letters[i]) return false
  return true
}

/** The headers whose values are known to be good if their lines are usual. */
export const judgedIds: readonly number[] = judged.map(([key]) => H[key])
