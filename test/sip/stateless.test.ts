import t from 'tap'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { statelessBranch } from '../../src/sip/stateless.ts'

const KEY = new Uint8Array(32).fill(1)

interface Fields {
  method: string
  uri: string
  via: string
  from: string
  to: string
  callId: string
  cseq: number
  more: string
}

const INVITE: Fields = {
  method: 'INVITE',
  uri: 'sip:bob@example.com',
  via: 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77asjd;rport',
  from: '<sip:alice@example.com>;tag=88sja8x',
  to: '<sip:bob@example.com>',
  callId: '987asjd97y7atg',
  cseq: 986759,
  more: 'X: 1',
}

/** RFC 2543: a branch without the cookie, if any at all. */
const OLD: Fields = { ...INVITE, via: 'SIP/2.0/UDP 192.0.2.1:5060' }

function request(fields: Fields): Message {
  const { method, uri, via, from, to, callId, cseq, more } = fields
  const text =
    `${method} ${uri} SIP/2.0\r\nVia: ${via}\r\nFrom: ${from}\r\nTo: ${to}\r\nCall-ID: ${callId}\r\n` +
    `CSeq: ${cseq} ${method}\r\n${more}\r\n\r\n`
  const message = parseMessage(text)
  if (message === undefined) throw new Error('no message')
  return message
}

const branch = (base: Fields, change: Partial<Fields> = {}, key = KEY) =>
  statelessBranch(request({ ...base, ...change }), key)

t.test('the same in every process', async (t) => {
  t.equal(branch(INVITE), branch(INVITE))
  t.equal(branch(INVITE, {}, Uint8Array.from(KEY)), branch(INVITE), 'for an equal key')
  t.match(branch(INVITE), /^[0-9a-f]{32}$/, '128 bits, whatever the case they come back in')
  t.equal(branch(INVITE), 'bfdb403c675df41b58b5375805956aa8')
  t.equal(branch(OLD), '36bcddeb3784a45927ce14b6ea19ee5a')
})

for (const [name, base] of [
  ['RFC 3261', INVITE],
  ['RFC 2543', OLD],
] as const) {
  t.test(`${name}: CANCEL and the ACK to a failure go the way of their INVITE`, async (t) => {
    t.equal(branch(base, { method: 'CANCEL' }), branch(base))
    t.equal(branch(base, { method: 'ACK', to: `${base.to};tag=99sa0xk` }), branch(base))
    const reInvite = { ...base, to: `${base.to};tag=99sa0xk` }
    t.equal(branch(reInvite, { method: 'ACK' }), branch(reInvite))
  })

  t.test(`${name}: a retransmission is one, whatever hops have added below`, async (t) => {
    t.equal(
      branch(base, { more: 'X: 2\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKbelow\r\nTimestamp: 5' }),
      branch(base),
    )
    t.equal(branch(base, { from: `"A" ${base.from}` }), branch(base), 'a display name is none of it')
  })

  t.test(`${name}: what tells transactions apart`, async (t) => {
    const branches = [
      branch(base),
      branch(base, { cseq: base.cseq + 1 }),
      branch(base, { callId: `${base.callId}x` }),
      branch(base, { via: base.via.replace('192.0.2.1', '192.0.2.2') }),
      branch(base, { via: base.via.replace(':5060', ':5061') }),
      branch(base, {}, new Uint8Array(32).fill(2)),
    ]
    t.equal(new Set(branches).size, branches.length)
  })
}

t.test('RFC 3261: the branch parameter alone tells transactions of a client apart', async (t) => {
  t.not(branch(INVITE, { via: `${INVITE.via}`.replace('77asjd', '77asje') }), branch(INVITE))
  // §17.1.3: neither URI nor tags are looked at.
  t.equal(branch(INVITE, { uri: 'sip:carol@example.com' }), branch(INVITE))
  // sent-by as §17.2.3 compares it.
  t.equal(branch(INVITE, { via: INVITE.via.replace(':5060', '') }), branch(INVITE))
  t.equal(branch(INVITE, { via: `${INVITE.via};received=192.0.2.1` }), branch(INVITE))
})

t.test('RFC 2543: Request-URI, From tag and the Via as a whole do (RFC 3261 §16.11)', async (t) => {
  const bye = { ...OLD, method: 'BYE', to: `${OLD.to};tag=1` }
  const branches = [
    branch(OLD),
    branch(OLD, { uri: 'sip:carol@example.com' }),
    branch(OLD, { from: '<sip:alice@example.com>;tag=other' }),
    branch(OLD, { from: '<sip:alice@example.com>' }),
    branch(OLD, { via: `${OLD.via};branch=1` }),
    branch(OLD, { via: `${OLD.via};branch=2` }),
    branch(bye),
    branch(bye, { to: `${OLD.to};tag=2` }),
  ]
  t.equal(new Set(branches).size, branches.length)
  t.equal(branch(bye), branch({ ...bye }))
})

t.test('fields cannot be shifted into each other', async (t) => {
  const split = (first: string, second: string) =>
    branch(OLD, { uri: first, from: `<sip:a@b>;tag=${second}` })
  t.not(split('sip:a@b', 'cd'), split('sip:a@bc', 'd'))
  t.not(branch(INVITE, { callId: '1', cseq: 11 }), branch(INVITE, { callId: '11', cseq: 1 }))
})

t.test('no two of many transactions collide', async (t) => {
  const branches = new Set<string>()
  for (let i = 0; i < 20_000; i++) branches.add(branch(INVITE, { via: INVITE.via.replace('77asjd', `${i}`) }))
  t.equal(branches.size, 20_000)
})
