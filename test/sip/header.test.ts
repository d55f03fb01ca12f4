import t from 'tap'
import { H, type HeaderKey, headerId, headerName, isListHeader } from '../../src/sip/header.ts'

const ids = Object.values(H)
const idOf = (name: string) => headerId(name, 0, name.length)

/** RFC 3261 §7.3.3 and, for Event, RFC 6665 §8.2.1. */
const COMPACT: readonly (readonly [string, HeaderKey])[] = [
  ['v', 'via'],
  ['f', 'from'],
  ['t', 'to'],
  ['i', 'callId'],
  ['m', 'contact'],
  ['l', 'contentLength'],
  ['c', 'contentType'],
  ['e', 'contentEncoding'],
  ['k', 'supported'],
  ['o', 'event'],
]

/** Every other letter in upper case, beginning with the first or the second. */
const mixed = (name: string, odd: number) =>
  Array.from(name, (c, i) => (i % 2 === odd ? c.toUpperCase() : c.toLowerCase())).join('')

t.test('every name is recognised in any case', async (t) => {
  for (const id of ids.filter((id) => id !== H.other)) {
    const name = headerName(id)
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase(), mixed(name, 0), mixed(name, 1)])
      t.equal(idOf(spelling), id, spelling)
  }
})

t.test('every compact form is recognised in either case', async (t) => {
  for (const [letter, key] of COMPACT) {
    t.equal(idOf(letter), H[key], letter)
    t.equal(idOf(letter.toUpperCase()), H[key], letter.toUpperCase())
  }
})

t.test('what is none of ours is other', async (t) => {
  for (const name of [
    '',
    'Subject',
    's',
    'X-Via',
    'Vi',
    'Viaa',
    'Vja',
    'Call-Ix',
    'Call_ID',
    'Content-Lengtz',
  ])
    t.equal(idOf(name), H.other, name)
  for (let code = 0; code < 256; code++) {
    const letter = String.fromCharCode(code)
    const known = COMPACT.find(([compact]) => compact === letter.toLowerCase() && code < 128)
    t.equal(idOf(letter), known ? H[known[1]] : H.other, `character ${code}`)
  }
})

t.test('characters that differ from a letter in one bit only are no letters', async (t) => {
  // '[' | 0x20 is '{', '@' | 0x20 is '`': case folding must not take them for others.
  for (const id of ids.filter((id) => id !== H.other)) {
    const name = headerName(id)
    for (let i = 0; i < name.length; i++) {
      for (const bit of [0x20, 0x40, 0x80]) {
        const other = String.fromCharCode(name.charCodeAt(i) ^ bit)
        const changed = name.slice(0, i) + other + name.slice(i + 1)
        t.equal(idOf(changed), changed.toLowerCase() === name.toLowerCase() ? id : H.other, changed)
      }
    }
  }
})

t.test('the name is read between its bounds', async (t) => {
  t.equal(headerId('xxVia: y', 2, 5), H.via)
  t.equal(headerId('xxVia: y', 2, 4), H.other)
  t.equal(headerId('Via', 0, 4), H.other)
})

t.test('which headers are lists', async (t) => {
  // RFC 3261 §7.3.1: what the grammar does not make a list keeps its commas.
  for (const key of [
    'via',
    'route',
    'recordRoute',
    'contact',
    'path',
    'supported',
    'require',
    'warning',
  ] as const)
    t.ok(isListHeader(H[key]), key)
  for (const key of [
    ...(['other', 'from', 'to', 'callId', 'cseq', 'date', 'authorization', 'proxyAuthorization'] as const),
    ...(['wwwAuthenticate', 'proxyAuthenticate', 'userAgent', 'server', 'contentLength'] as const),
  ])
    t.notOk(isListHeader(H[key]), key)
})
