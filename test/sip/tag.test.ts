import t from 'tap'
import { parseMessage } from '../../src/sip/message.ts'
import { statelessTag } from '../../src/sip/tag.ts'

function tag(branch: string, callId: string, fromTag: string, method: string): string {
  const message = parseMessage(
    `${method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=${branch}\r\nFrom: <sip:a@b>;tag=${fromTag}\r\nCall-ID: ${callId}\r\nCSeq: 1 ${method}\r\n\r\n`,
  )
  if (message === undefined) throw new Error('not a message')
  return statelessTag(message)
}

t.test('every part counts, and where it ends', async (t) => {
  const tags = [
    tag('b', 'c', 'f', 'INVITE'),
    tag('x', 'c', 'f', 'INVITE'),
    tag('b', 'x', 'f', 'INVITE'),
    tag('b', 'c', 'x', 'INVITE'),
    tag('b', 'c', 'f', 'BYE'),
    tag('bc', '', 'f', 'INVITE'),
  ]
  t.equal(new Set(tags).size, tags.length)
  t.equal(tag('b', 'c', 'f', 'INVITE'), tags[0], 'and nothing else')
  for (const one of tags) t.match(one, /^[a-z0-9]+$/)
})

t.test('a request that lacks everything still gets one', async (t) => {
  const message = parseMessage('INVITE sip:a@b SIP/2.0\r\n\r\n')
  t.match(message && statelessTag(message), /^[a-z0-9]+$/)
})
