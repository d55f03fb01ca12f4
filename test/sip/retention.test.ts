import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { aorKey } from '../../src/partition/canonical-user.ts'
import { parseContacts } from '../../src/sip/contact.ts'
import { detach } from '../../src/sip/detach.ts'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { uriKey } from '../../src/sip/uri-compare.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const COUNT = 2000
const BODY = 'x'.repeat(8000)

/** Global, or the optimiser may find out that nothing is read again. */
const stored: string[] = []

function register(i: number): Message {
  const text = [
    'REGISTER sip:registrar.example.com SIP/2.0',
    `Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-some-longer-branch-${i};rport`,
    `To: <sip:subscriber-number-${i}@registrar.example.com>`,
    `From: <sip:subscriber-number-${i}@registrar.example.com>;tag=a-from-tag-of-some-length-${i}`,
    `Call-ID: a-call-id-that-is-long-enough-${i}@192.0.2.1`,
    `CSeq: ${i} REGISTER`,
    `Contact: <sip:subscriber-number-${i}@192.0.2.1:5060;transport=udp>;expires=3600`,
    '',
    BODY,
  ].join('\r\n')
  // Through a Buffer, as from a socket: one flat string.
  const message = parseMessage(Buffer.from(text).toString('latin1'))
  if (message === undefined) throw new Error('not a message')
  return message
}

/** Heap bytes per message that stay when what `pick` takes from each message is kept. */
function retained(pick: (message: Message) => readonly string[]): number {
  stored.length = 0
  for (let i = 0; i < COUNT; i++) stored.push(...pick(register(i)))
  stored.length = 0
  const before = heapUsed()
  for (let i = 0; i < COUNT; i++) stored.push(...pick(register(i)))
  return (heapUsed() - before) / COUNT
}

function heapUsed(): number {
  for (let i = 0; i < 3; i++) collect()
  return process.memoryUsage().heapUsed
}

t.test('the trap: a slice keeps the whole text of its message', async (t) => {
  t.ok(retained((message) => [message.callId]) > BODY.length, 'or this test proves nothing')
})

t.test('what is detached keeps itself only', async (t) => {
  const bytes = retained((message) => {
    const contacts = parseContacts(message.values(H.contact))
    const contact = Array.isArray(contacts) ? contacts[0] : undefined
    const aor = message.to?.uri
    if (contact === undefined || aor === undefined) throw new Error('not parsed')
    const kept = [
      message.callId,
      contact.uriText,
      contact.params,
      uriKey(contact.uri),
      aorKey(aor),
      message.fromTag ?? '',
    ]
    return [...kept, message.topVia?.branch ?? ''].map(detach)
  })
  t.ok(bytes < 900, `${bytes.toFixed(0)} bytes for seven strings`)
})

t.test('short strings are copies already, detached or not', async (t) => {
  t.ok(retained((message) => [detach(message.callId.slice(0, 12))]) < 200)
})

t.test('parsing alone leaves nothing behind: no table of ours holds a message', async (t) => {
  const bytes = retained((message) => {
    message.from?.uri?.param('x')
    message.topVia?.received
    return []
  })
  t.ok(bytes < 100, `${bytes.toFixed(0)} bytes`)
})
