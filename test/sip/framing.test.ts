import { readdirSync, readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { type Frame, StreamFramer } from '../../src/sip/framing.ts'
import { parseMessage } from '../../src/sip/message.ts'

const TORTURE = new URL('../fixtures/torture/', import.meta.url)

const HEAD = 'OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP a.example.com;branch=z9hG4bKx\r\n'
const message = (lengthLine: string, body = '') => `${HEAD}${lengthLine}\r\nCall-ID: 1\r\n\r\n${body}`
const BODY = 'v=0\r\n\r\nINVITE sip:x SIP/2.0\r\nContent-Length: 99\r\n\r\n\x00\xff'
const PLAIN = message('Content-Length: 0')
const WITH_BODY = message(`Content-Length: ${BODY.length}`, BODY)

const MESSAGES: Record<string, string> = {
  'without a body': PLAIN,
  'with a body that looks like a message': WITH_BODY,
  'compact form': message(`l:${BODY.length}`, BODY),
  'any case, blanks, zeros in front': message(`cONTENT-lENGTH \t:\t 000${BODY.length} \t`, BODY),
  folded: message(`Content-Length:\r\n  ${BODY.length}`, BODY),
  'the same length twice': message(`l: ${BODY.length}\r\nContent-Length: ${BODY.length}`, BODY),
  'line feeds alone': message(`l: ${BODY.length}`).replaceAll('\r', '') + BODY,
  'a length inside another header': message(`Subject: x\r\n Content-Length: 7\r\nl: ${BODY.length}`, BODY),
  'a response': `SIP/2.0 200 OK\r\nl: ${BODY.length}\r\n\r\n${BODY}`,
}

/** Well-framed torture messages, each with what Content-Length it really has. */
function* tortureMessages(): Generator<[name: string, text: string]> {
  for (const folder of ['rfc4475', 'rfc5118']) {
    for (const file of readdirSync(new URL(`${folder}/`, TORTURE))) {
      if (!file.endsWith('.dat')) continue
      const text = readFileSync(new URL(`${folder}/${file}`, TORTURE), 'latin1')
      const parsed = parseMessage(text)
      if (!parsed?.terminated || parsed.contentLength !== parsed.text.length - parsed.bodyStart) continue
      yield [`${folder}/${file}`, parsed.text]
    }
  }
}

const torture = new Map(tortureMessages())

function feed(chunks: Iterable<string | Buffer>, framer = new StreamFramer()): Frame[] {
  return [...chunks].flatMap((chunk) => framer.push(chunk))
}

/** What a chunk boundary may add is only the pong that half a ping looks like. */
const withoutPongs = (frames: Frame[]) => frames.filter(({ kind }) => kind !== 'pong')
const messageOf = (text: string): Frame => ({ kind: 'message', text })

t.test('every message, whole and split at every byte', async (t) => {
  t.ok(torture.size > 30, `${torture.size} torture messages`)
  for (const [name, text] of [...Object.entries(MESSAGES), ...torture]) {
    const expected = [messageOf(text)]
    t.strictSame(feed([text]), expected, name)
    t.strictSame(feed([Buffer.from(text, 'latin1')]), expected, `${name}, as bytes`)
    let wrong = 0
    for (let at = 1; at < text.length; at++) {
      const frames = feed([text.slice(0, at), text.slice(at)])
      if (frames.length !== 1 || frames[0]?.kind !== 'message' || frames[0].text !== text) wrong++
    }
    t.equal(wrong, 0, `${name}, split once`)
    t.strictSame(feed(text), expected, `${name}, byte by byte`)
  }
})

t.test('messages and keep-alives in a row, split at random', async (t) => {
  const texts = [...torture.values()].filter((text) => text.length < 3000)
  const stream = texts.map((text, i) => `${text}${['', '\r\n', '\r\n\r\n'][i % 3]}`).join('')
  const expected = texts.flatMap((text, i): Frame[] =>
    i % 3 === 2 ? [messageOf(text), { kind: 'ping' }] : [messageOf(text)],
  )
  let seed = 1
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  for (const longest of [3, 40, 700, 1460, 65_536]) {
    const chunks: string[] = []
    for (let at = 0; at < stream.length; ) {
      const end = at + 1 + random(longest)
      chunks.push(stream.slice(at, end))
      at = end
    }
    t.strictSame(withoutPongs(feed(chunks)), expected, `chunks of up to ${longest}`)
  }
})

t.test('keep-alives (RFC 5626 §3.5.1)', async (t) => {
  const kinds = (...chunks: string[]) => feed(chunks).map(({ kind }) => kind)
  t.strictSame(kinds('\r\n\r\n'), ['ping'])
  t.strictSame(kinds('\r\n'), ['pong'])
  t.strictSame(kinds('\r\n', '\r\n'), ['pong', 'ping'], 'half a ping looks like a pong')
  t.strictSame(kinds('\r', '\n\r', '\n'), ['ping'])
  t.strictSame(kinds('\r\n\r\n\r\n'), ['ping', 'pong'])
  t.strictSame(kinds('\r\n\r\n\r\n\r\n'), ['ping'], 'one answer is enough for a chunk')
  t.strictSame(kinds('\r\n\r\n', '\r\n\r\n'), ['ping', 'ping'])
  t.strictSame(kinds(`\r\n${PLAIN}`), ['message'], 'RFC 3261 §7.5')
  t.strictSame(kinds(`\r\n\r\n\r\n${PLAIN}\r\n\r\n${PLAIN}\r\n`), [
    'ping',
    'message',
    'ping',
    'message',
    'pong',
  ])
  t.strictSame(kinds('\n\n\r\r'), [], 'other line breaks mean nothing')
  t.strictSame(kinds('\r\r\n\r\n'), ['ping'])
})

function defectOf(text: string, bounds = {}): string | undefined {
  const whole = feed([text], new StreamFramer(bounds))
  const split = feed(text, new StreamFramer(bounds))
  t.strictSame(withoutPongs(split), whole, 'byte by byte it is the same')
  const last = whole.at(-1)
  return last?.kind === 'defect'
    ? `${last.defect} ${last.head === '' ? 'unanswerable' : 'answerable'}`
    : undefined
}

t.test('a length that frames nothing', async (t) => {
  t.equal(defectOf(message('X: y')), 'no-content-length answerable')
  t.equal(defectOf('\x16\x03\x01\x02\r\n\r\n'), 'no-content-length answerable')
  for (const value of [
    '',
    '-1',
    '+1',
    '1x',
    'x',
    '1.0',
    '1 2',
    '1,1',
    '1\r\n 1',
    '\xa01',
    '99999999999999999',
  ]) {
    t.equal(defectOf(message(`Content-Length: ${value}`)), 'bad-content-length answerable', value)
  }
  t.equal(defectOf(message('Content-Length: 1\r\nl: 2')), 'bad-content-length answerable')
  t.equal(defectOf(message('Content-Length: x\r\nl: 2')), 'bad-content-length answerable')
  t.equal(defectOf(message('l: 2\r\nl: x')), 'bad-content-length answerable')
})

t.test('a defect is reported once, with what can be answered, and ends the stream', async (t) => {
  const framer = new StreamFramer()
  const bad = message('Content-Length: -1')
  const frames = feed([PLAIN + bad + PLAIN, PLAIN, '\r\n\r\n'], framer)
  t.strictSame(frames, [messageOf(PLAIN), { kind: 'defect', defect: 'bad-content-length', head: bad }])
  t.equal(framer.pendingBytes, 0)
})

t.test('limits', async (t) => {
  const { length } = PLAIN
  t.equal(defectOf(PLAIN, { headBytes: length }), undefined)
  t.equal(defectOf(PLAIN, { headBytes: length - 1 }), 'headers-too-long unanswerable')
  t.equal(defectOf(WITH_BODY, { bodyBytes: BODY.length, messageBytes: WITH_BODY.length }), undefined)
  t.equal(defectOf(WITH_BODY, { bodyBytes: BODY.length - 1 }), 'body-too-long answerable')
  t.equal(defectOf(WITH_BODY, { messageBytes: WITH_BODY.length - 1 }), 'message-too-long answerable')
  t.equal(defectOf(message('l: 9007199254740991')), 'body-too-long answerable')
})

t.test('never more is kept than one message', async (t) => {
  const bounds = { headBytes: 1000, bodyBytes: 500, messageBytes: 1200 }
  for (const endless of ['x', 'x: y\r\n', '\n\r', '\r\n', `${message('l: 500')}b`]) {
    const framer = new StreamFramer(bounds)
    let most = 0
    for (let i = 0; i < 5000; i++) {
      framer.push(endless)
      most = Math.max(most, framer.pendingBytes)
    }
    t.ok(most <= 1200, `${JSON.stringify(endless.slice(0, 20))}: ${most}`)
  }
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Global, or the optimiser may find out that nothing is read again. */
const framers: StreamFramer[] = []

t.test('what is kept takes its own length of memory, however it came', async (t) => {
  // The more, the less it matters what the engine keeps for itself.
  const bytesFor = (chunks: readonly string[], count = 50) => {
    framers.length = 0
    collect()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < count; i++) {
      const framer = new StreamFramer()
      // Through a Buffer, as from a socket: one flat string each.
      for (const chunk of chunks) framer.push(Buffer.from(chunk, 'latin1'))
      framers.push(framer)
    }
    collect()
    return (process.memoryUsage().heapUsed - before) / count
  }
  const rest = bytesFor([message('l: 50000', 'b'.repeat(50_000)) + HEAD], 500)
  t.ok(rest < 4_000, `what was cut off keeps nothing alive: ${rest}`)
  t.equal(framers[0]?.pendingBytes, HEAD.length)
  const pieces = bytesFor(Array.from({ length: 25_000 }, () => 'ab'))
  t.ok(pieces < 100_000, `${pieces} for 50000`)
  t.equal(framers[0]?.pendingBytes, 50_000)
})

t.test('time is linear, byte by byte', async (t) => {
  // Four times the bytes take four times as long, sixteen times if it were quadratic.
  const timeMs = (size: number) => {
    const text = `${HEAD}X: ${'\r\n y'.repeat(size / 8)}\r\nl: ${size / 2}\r\n\r\n${'b'.repeat(size / 2)}`
    const bytes = [...text]
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 5; round++) {
      // The processor's time, not the clock's: the other files of the suite run beside this one.
      const start = process.cpuUsage()
      const frames = feed(
        bytes,
        new StreamFramer({ headBytes: size, bodyBytes: size, messageBytes: 2 * size }),
      )
      const { user, system } = process.cpuUsage(start)
      best = Math.min(best, (user + system) / 1000)
      t.equal(frames.length, 1)
    }
    return best
  }
  const ratio = timeMs(262_144) / timeMs(65_536)
  t.ok(ratio < 10, `${ratio}`)
})

t.test('torture messages that show what a stream is cut by (RFC 4475)', async (t) => {
  const read = (name: string) => readFileSync(new URL(`rfc4475/${name}.dat`, TORTURE), 'latin1')
  for (const chunks of [(text: string) => [text], (text: string) => text.split('')]) {
    const kinds = (name: string) =>
      feed(chunks(read(name))).map((frame) => (frame.kind === 'defect' ? frame.defect : frame.kind))
    // §3.3.9, §3.1.2.3: what follows cannot be found any more: 400, and the connection is closed.
    t.same(kinds('mcl01'), ['bad-content-length'])
    t.same(kinds('ncl'), ['bad-content-length'])
    // §3.1.1.8: on a stream it is two requests; the archived body is 5 octets longer than it says.
    const frames = feed(chunks(read('dblreq')))
    t.same(
      frames.flatMap((frame) => (frame.kind === 'message' ? parseMessage(frame.text)?.method : [])),
      ['REGISTER', 'INVITE'],
    )
    t.same(frames.at(-1), { kind: 'defect', defect: 'no-content-length', head: 'C\r\n\r\n' })
    // §3.1.2.2: more may come; the read timeout ends it.
    const framer = new StreamFramer()
    t.same(feed(chunks(read('clerr')), framer), [])
    t.equal(framer.pendingBytes, read('clerr').length)
  }
})
