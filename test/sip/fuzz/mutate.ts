import { corpus } from './corpus.ts'
import type { Random } from './random.ts'

/** What means something to one scanner or another. */
const DICTIONARY = [
  ...['\r\n', '\n', '\r', '\r\n ', '\r\n\r\n', '\n\n', ' ', '\t', '\0', '\x7f', '\xa0', '\xff', '\xc3\xbc'],
  ...['"', '\\', '\\"', '"\\', '<', '>', '<>', ',', ',,', ';', ';;', '=', ':', '::', '@', '?', '&', '/', '*'],
  ...[
    '%',
    '%00',
    '%2',
    '%41',
    '%zz',
    '[',
    ']',
    '[::1]',
    '[::ffff:1.2.3.4]',
    '[:::]',
    '(',
    ')',
    '{',
    '}',
    '+',
    '-1',
  ],
  ...['0', '00000000000', '255', '256', '65535', '65536', '2147483648', '4294967296', '1e9', 'NaN', '0x10'],
  ...[
    '99999999999999999999',
    '__proto__',
    'constructor',
    'SIP/2.0',
    'sip:',
    'sips:',
    'tel:',
    'Digest ',
    'z9hG4bK',
  ],
  ...[
    ';lr',
    ';tag=',
    ';branch=',
    ';received=',
    ';rport',
    ';rport=1',
    ';maddr=',
    ';ttl=1',
    ';expires=',
    ';q=1.0',
  ],
  ...[
    'Via: ',
    'v:',
    'l: 0',
    'Content-Length: 5',
    'Content-Length: -1',
    'Contact: *',
    'Route: <sip:x;lr>',
    'To:',
  ],
  ...['nonce="', "username*=UTF-8''%41", 'response=', 'qop=auth', 'nc=00000001', 'ACK', 'CANCEL', 'INVITE'],
]

type Mutation = (text: string, random: Random) => string

const splice = (text: string, at: number, remove: number, insert: string) =>
  text.slice(0, at) + insert + text.slice(at + remove)

const mutations: readonly Mutation[] = [
  (text, random) => splice(text, random.below(text.length + 1), 1, random.bytes(1)),
  (text, random) => splice(text, random.below(text.length + 1), 0, random.pick(DICTIONARY)),
  (text, random) => splice(text, random.below(text.length + 1), random.length(8), random.pick(DICTIONARY)),
  (text, random) => splice(text, random.below(text.length + 1), random.length(40), ''),
  (text, random) => splice(text, random.below(text.length + 1), 0, random.bytes(random.length(20))),
  /** Something of it once more, somewhere else. */
  (text, random) => {
    const from = random.below(text.length + 1)
    return splice(text, random.below(text.length + 1), 0, text.slice(from, from + random.length(200)))
  },
  /** A long run: what is quadratic shows. */
  (text, random) => {
    const unit = random.below(2) === 0 ? random.pick(DICTIONARY) : text.charAt(random.below(text.length))
    return splice(
      text,
      random.below(text.length + 1),
      0,
      unit.repeat(random.below(20) === 0 ? 3000 : random.length(100)),
    )
  },
  (text, random) => text.slice(0, random.below(text.length + 1)),
  /** The head of one message, the tail of another. */
  (text, random) => {
    const other = random.pick(corpus)
    return text.slice(0, random.below(text.length + 1)) + other.slice(random.below(other.length + 1))
  },
  onLines((lines, random) => lines.splice(random.below(lines.length), random.length(2))),
  onLines((lines, random) => lines.splice(random.below(lines.length), 0, random.pick(lines))),
  onLines((lines, random) =>
    lines.splice(random.below(lines.length), 0, random.pick(random.pick(corpus).split('\r\n'))),
  ),
  onLines((lines, random) => {
    const [line = ''] = lines.splice(random.below(lines.length), 1)
    lines.splice(random.below(lines.length + 1), 0, line)
  }),
  (text, random) =>
    text.replaceAll(random.below(2) === 0 ? '\r\n' : '\r', random.pick(['\n', '\r', '\r\n', ''])),
  /** A fold at some blank. */
  (text, random) => {
    const at = text.indexOf(' ', random.below(text.length + 1))
    return at < 0 ? text : splice(text, at, 0, '\r\n')
  },
  (text, random) => {
    const at = random.below(text.length + 1)
    const part = text.slice(at, at + random.length(30))
    return splice(text, at, part.length, random.below(2) === 0 ? part.toUpperCase() : part.toLowerCase())
  },
]

function onLines(change: (lines: string[], random: Random) => unknown): Mutation {
  return (text, random) => {
    const lines = text.split('\r\n')
    change(lines, random)
    return lines.join('\r\n')
  }
}

/** Bytes only: upper case of ß and ÿ has other characters. */
const latin1 = (text: string) =>
  /[^\0-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString('latin1') : text

/** One input: a real message with some mutations; now and then random bytes, by themselves or behind a start line. */
export function makeInput(random: Random): string {
  switch (random.below(40)) {
    case 0:
      return random.bytes(random.below(600))
    case 1:
      return `OPTIONS sip:a@b SIP/2.0\r\n${random.bytes(random.below(600))}`
    case 2:
      return `OPTIONS sip:a@b SIP/2.0\r\n${Array.from({ length: random.below(120) }, () => random.pick(DICTIONARY)).join('')}`
  }
  let text = random.pick(corpus)
  for (let left = random.below(random.below(3) === 0 ? 10 : 3); left >= 0; left--)
    text = random.pick(mutations)(text, random)
  return latin1(text)
}

/** Several inputs and real messages on one stream, with keep-alives between them. */
export function makeStream(random: Random): string {
  let text = ''
  for (let left = random.length(5); left > 0; left--) {
    text += random.below(2) === 0 ? makeInput(random) : random.pick(corpus)
    if (random.below(3) === 0) text += random.pick(['\r\n', '\r\n\r\n', '\n'])
  }
  return text
}
