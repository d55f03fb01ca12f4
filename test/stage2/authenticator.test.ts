import t from 'tap'
import type { SubscriberRow } from '../../db/subscriber-store.ts'
import type { Logger } from '../../src/ops/logging.ts'
import { parseChallenge } from '../../src/sip/credentials.ts'
import { answer, type DigestAlgorithm, ha1 } from '../../src/sip/digest.ts'
import { H } from '../../src/sip/header.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { NonceMint } from '../../src/sip/nonce.ts'
import { parseUri } from '../../src/sip/uri.ts'
import type { Defect } from '../../src/sip/validate.ts'
import { Authenticator } from '../../stage2/authenticator.ts'
import { aorOf, type Directory } from '../../stage2/directory.ts'
import { FakeClock } from '../support/fake-clock.ts'

const REALM = 'example.com'
const keys = { current: new Uint8Array(32).fill(1), previous: undefined }

const row: SubscriberRow = {
  domain: REALM,
  user: 'alice',
  slot: 1,
  enabled: true,
  ha1Md5: ha1('MD5', 'alice', REALM, 'secret'),
  ha1Sha256: ha1('SHA-256', 'alice', REALM, 'secret'),
  ha1Sha512256: null,
  rev: 1,
}

interface Setup {
  rows?: readonly SubscriberRow[]
  algorithms?: readonly DigestAlgorithm[]
  clock?: FakeClock
}

function authenticator({ rows = [row], algorithms = ['MD5'], clock = new FakeClock() }: Setup = {}) {
  const failures: unknown[] = []
  const made = new Authenticator({
    directory: { find: async (aor) => rows.find((row) => row.user === aor.user) } as Directory,
    realmOf: () => REALM,
    nonces: new NonceMint(() => keys, clock),
    algorithms,
    log: { warn: (entry: unknown) => failures.push(entry) } as unknown as Logger,
  })
  const ask = async (request: Message, user = 'alice') => {
    const uri = parseUri(`sip:${user}@${REALM}`)
    if (!uri) throw new Error('no URI')
    return made.challenge(request, aorOf(uri))
  }
  return { ask, clock, failures }
}

function request(authorization = '', method = 'REGISTER', uri = 'sip:example.com', body = ''): Message {
  const header = authorization && `Authorization: ${authorization}\r\n`
  const parsed = parseMessage(`${method} ${uri} SIP/2.0\r\nCall-ID: 1\r\n${header}\r\n${body}`)
  if (!parsed) throw new Error('no message')
  return parsed
}

function challengesOf(defect: Defect | undefined) {
  return (defect?.headers ?? []).map(([header, value]) => {
    const challenge = parseChallenge(value)
    if (header !== H.wwwAuthenticate || !challenge) throw new Error(`no challenge: ${value}`)
    return challenge
  })
}

interface Answer {
  password?: string
  username?: string
  method?: string
  uri?: string
  nc?: number
  /** false: in the style of RFC 2069. */
  counts?: boolean
  algorithm?: DigestAlgorithm
}

/** An answer to the first challenge of a refusal. */
function answerTo(defect: Defect | undefined, options: Answer = {}): string {
  const {
    password = 'secret',
    username = 'alice',
    method = 'REGISTER',
    uri = 'sip:example.com',
    nc = 1,
  } = options
  const [first] = challengesOf(defect)
  if (!first) throw new Error('not challenged')
  const cnonce = options.counts === false ? {} : { cnonce: '0a4f113b', nc }
  const value = answer(
    { ...first, ...(options.algorithm && { algorithm: options.algorithm }) },
    { username, password, method, uri, ...cnonce },
  )
  if (value === undefined) throw new Error('no answer')
  return value
}

t.test('a challenge, and the right answer', async (t) => {
  const { ask, failures } = authenticator({ algorithms: ['SHA-256', 'MD5'] })
  const refusal = await ask(request())
  t.equal(refusal?.status, 401)
  t.same(
    challengesOf(refusal).map(({ algorithm }) => algorithm),
    ['SHA-256', 'MD5'],
    'in the order of preference',
  )
  t.ok(challengesOf(refusal).every(({ realm, qop, stale }) => realm === REALM && qop[0] === 'auth' && !stale))
  t.equal(await ask(request(answerTo(refusal))), undefined)
  t.equal(failures.length, 0)
})

t.test('whatever is wrong gets the same new challenge, not stale', async (t) => {
  const { ask, failures } = authenticator()
  const refusal = await ask(request())
  const answers: [string, string, user?: string][] = [
    ['a wrong password', answerTo(refusal, { password: 'guess' })],
    ['the name of another user', answerTo(refusal, { username: 'bob' })],
    ['another method', answerTo(refusal, { method: 'INVITE' })],
    ['nobody here by that name', answerTo(refusal, { username: 'carol' }), 'carol'],
    ['a digest algorithm that was not offered', answerTo(refusal, { algorithm: 'SHA-256' })],
  ]
  for (const [what, value, user] of answers) {
    const again = await ask(request(value), user)
    t.equal(again?.status, 401, what)
    t.equal(challengesOf(again)[0]?.stale, false, what)
  }
  t.equal(failures.length, answers.length, 'each is logged')
})

t.test('an algorithm for which the user has no HA1 is refused', async (t) => {
  const { ask } = authenticator({ algorithms: ['SHA-512-256'] })
  t.equal((await ask(request(answerTo(await ask(request())))))?.status, 401)
})

t.test('a nonce that is not ours gets a challenge without a look at the password', async (t) => {
  const { ask, failures } = authenticator()
  const value = answerTo(await ask(request())).replace(/nonce="./, 'nonce="!')
  t.equal((await ask(request(value)))?.status, 401)
  t.equal(failures.length, 0)
})

t.test('a replay is stale, and the next count is not', async (t) => {
  const { ask } = authenticator()
  const refusal = await ask(request())
  const first = request(answerTo(refusal))
  t.equal(await ask(first), undefined)
  const replayed = await ask(first)
  t.equal(replayed?.status, 401)
  t.equal(challengesOf(replayed)[0]?.stale, true, 'a client tries again without asking its user')
  t.equal(await ask(request(answerTo(refusal, { nc: 2 }))), undefined)
  t.equal(await ask(request(answerTo(replayed))), undefined)
})

t.test('a wrong answer uses up no count', async (t) => {
  const { ask } = authenticator()
  const refusal = await ask(request())
  await ask(request(answerTo(refusal, { password: 'guess' })))
  t.equal(await ask(request(answerTo(refusal))), undefined)
})

t.test('without a count a nonce is good for one request', async (t) => {
  const { ask } = authenticator()
  const value = answerTo(await ask(request()), { counts: false })
  t.equal(await ask(request(value)), undefined)
  t.equal(challengesOf(await ask(request(value)))[0]?.stale, true)
})

t.test('an old nonce is stale, but only for who knows the password', async (t) => {
  const { ask, clock } = authenticator()
  const refusal = await ask(request())
  clock.advance(3_600_000)
  t.equal(challengesOf(await ask(request(answerTo(refusal))))[0]?.stale, true)
  t.equal(challengesOf(await ask(request(answerTo(refusal, { password: 'guess' }))))[0]?.stale, false)
})

t.test('what one member has challenged another accepts, and so a replay, once', async (t) => {
  const clock = new FakeClock()
  const [master, slave] = [authenticator({ clock }), authenticator({ clock })]
  const value = request(answerTo(await master.ask(request())))
  t.equal(await master.ask(value), undefined)
  t.equal(await slave.ask(value), undefined)
  t.equal((await slave.ask(value))?.status, 401)
})

t.test('an answer made for one callee rings no other', async (t) => {
  const { ask } = authenticator()
  const bob = 'sip:bob@example.com'
  const refusal = await ask(request('', 'INVITE', bob))
  const value = answerTo(refusal, { method: 'INVITE', uri: bob })
  t.equal((await ask(request(value, 'INVITE', 'sip:premium@example.com')))?.status, 400)
  t.equal(await ask(request(value, 'INVITE', bob)), undefined, 'and is not used up by the attempt')
  const other = answerTo(refusal, { nc: 2, uri: 'sip:proxy.example.net' })
  t.equal(await ask(request(other, 'REGISTER', 'sip:example.com')), undefined, 'a REGISTER rings nobody')
})

t.test('malformed credentials are a 400, those of another scheme or realm a challenge', async (t) => {
  const { ask } = authenticator()
  t.equal((await ask(request('Digest username="alice", realm="example.com"')))?.status, 400)
  t.equal((await ask(request('NoOneKnowsThisScheme opaque-data=here')))?.status, 401)
  const elsewhere = answerTo(await ask(request())).replace('realm="example.com"', 'realm="example.net"')
  t.equal((await ask(request(elsewhere)))?.status, 401)
})

t.test('who is not enabled learns so with the right password only', async (t) => {
  const { ask } = authenticator({ rows: [{ ...row, enabled: false }] })
  const refusal = await ask(request())
  t.equal((await ask(request(answerTo(refusal))))?.status, 403)
  t.equal((await ask(request(answerTo(refusal, { password: 'guess' }))))?.status, 401)
})
