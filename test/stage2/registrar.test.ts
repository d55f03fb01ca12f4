import t from 'tap'
import type { WriteResult } from '../../db/binding-store.ts'
import { H } from '../../src/sip/header.ts'
import { binding, edgeInside } from '../support/cluster.ts'
import { settled } from '../support/fake-transport.ts'
import { MemberBench, read } from '../support/member-bench.ts'

const BOB = 'sip:bob@192.0.2.1'
const AOR = 'bob@example.com'

interface Parts {
  readonly contact?: string
  readonly cseq?: number
  readonly more?: string
}

function register({ contact, cseq = 1, more = '' }: Parts = {}): string {
  return (
    `REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKr${cseq}\r\n` +
    'Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbob;rport\r\n' +
    `From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: reg-1\r\n` +
    `CSeq: ${cseq} REGISTER\r\n${contact === undefined ? '' : `Contact: ${contact}\r\n`}${more}Content-Length: 0\r\n\r\n`
  )
}

/** PostgreSQL answers when told to. */
function slow(bench: MemberBench) {
  const pending: { resolve(result: WriteResult): void; reject(error: Error): void }[] = []
  bench.write = () => new Promise((resolve, reject) => pending.push({ resolve, reject }))
  return {
    async commit(result: Partial<WriteResult> = {}) {
      pending.shift()?.resolve({ rev: 100, newer: [], failed: [], ...result })
      await settled()
    },
    async fail() {
      pending.shift()?.reject(new Error('PostgreSQL is gone'))
      await settled()
    },
  }
}

t.test('200 comes after the commit, and goes to stage 1', async (t) => {
  const bench = new MemberBench()
  const database = slow(bench)
  await bench.receive(register({ contact: `<${BOB}>;expires=600` }))
  t.strictSame(bench.take(), [], 'nothing before')
  t.equal(bench.location.find(AOR, bench.clock.now()).length, 1, 'but calls reach him already')
  bench.clock.advance(20)
  await database.commit()
  const [sent] = bench.take()
  t.strictSame(sent?.to, edgeInside)
  const response = read(sent?.text ?? '')
  t.equal(response.status, 200)
  t.strictSame(
    response.values(H.contact),
    [`<${BOB}>;expires=600`],
    'the granted time, not what is left of it',
  )
  t.equal(bench.location.rows(AOR)[0]?.rev, 100)
  await bench.assertEmpty(t)
})

t.test('async: 200 comes at once', async (t) => {
  const bench = new MemberBench({ durability: 'async' })
  const database = slow(bench)
  await bench.receive(register({ contact: `<${BOB}>` }))
  t.strictSame(bench.takeWords(), ['200'])
  await database.commit()
  t.strictSame(bench.takeWords(), [])
  t.equal(bench.location.rows(AOR)[0]?.rev, 100)
  await bench.assertEmpty(t)
})

t.test('a failed write gets 503, and memory is as before', async (t) => {
  const bench = new MemberBench()
  const database = slow(bench)
  bench.location.adopt(binding(BOB, bench.clock.now(), { q: 300, callId: 'old' }))
  await bench.receive(register({ contact: `<${BOB}>;q=0.9, <sip:bob@192.0.2.2>` }))
  await database.fail()
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.ok(response?.has(H.retryAfter))
  t.strictSame(
    bench.location.find(AOR, bench.clock.now()).map(({ contact, q }) => [contact, q]),
    [[BOB, 300]],
  )
  await bench.assertEmpty(t)
})

t.test('async: what was acknowledged goes on counting when PostgreSQL fails', async (t) => {
  const bench = new MemberBench({ durability: 'async' })
  const database = slow(bench)
  await bench.receive(register({ contact: `<${BOB}>` }))
  await database.fail()
  t.strictSame(bench.takeWords(), ['200'])
  t.equal(bench.location.find(AOR, bench.clock.now()).length, 1)
  await bench.assertEmpty(t)
})

t.test('a row that PostgreSQL cannot hold fails its own request alone', async (t) => {
  const bench = new MemberBench()
  bench.write = async (rows) => ({
    rev: 7,
    newer: [],
    failed: rows.filter(({ callId }) => callId === 'bad').map((row) => ({ row, error: new Error('22021') })),
  })
  const bad = register({ contact: `<${BOB}>` })
    .replace('Call-ID: reg-1', 'Call-ID: bad')
    .replace('z9hG4bKr1', 'z9hG4bKbad')
  await Promise.all([bench.receive(bad), bench.receive(register({ contact: '<sip:bob@192.0.2.2>' }))])
  t.equal(bench.written.length, 1, 'one batch')
  t.strictSame(bench.takeWords().sort(), ['200', '503'])
  t.strictSame(
    bench.location.rows(AOR).map(({ contact }) => contact),
    ['sip:bob@192.0.2.2'],
  )
  await bench.assertEmpty(t)
})

t.test('what PostgreSQL has newer takes its place, and is in the answer', async (t) => {
  const bench = new MemberBench()
  const database = slow(bench)
  await bench.receive(register({ contact: `<${BOB}>;expires=600` }))
  const newer = binding(BOB, bench.clock.now(), { rev: 55, q: 200, expiresAt: bench.clock.now() + 100_000 })
  await database.commit({ rev: 0, newer: [newer] })
  t.strictSame(bench.takeMessages()[0]?.values(H.contact), [`<${BOB}>;q=0.200;expires=100`])
  t.equal(bench.location.rows(AOR)[0]?.rev, 55)
  await bench.assertEmpty(t)
})

t.test('copies of a request are absorbed, before and after the answer', async (t) => {
  const bench = new MemberBench()
  const database = slow(bench)
  const text = register({ contact: `<${BOB}>` })
  await bench.receive(text)
  await bench.receive(text)
  await database.commit()
  t.strictSame(bench.takeWords(), ['200'])
  await bench.receive(text)
  t.strictSame(bench.takeWords(), ['200'], 'the same answer again')
  t.equal(bench.written.length, 1)
  await bench.assertEmpty(t)
})

t.test('the answer lists all contacts, with what is theirs, and Date and Path (§10.3 step 8)', async (t) => {
  const bench = new MemberBench()
  const now = bench.clock.now()
  bench.location.adopt(
    binding('sip:bob@192.0.2.2;x', now, { q: 333, params: ';audio', expiresAt: now + 1500, callId: 'old' }),
  )
  bench.location.adopt(binding('sip:gone@192.0.2.3', now, { deleted: true }))
  bench.location.adopt(binding('sip:ended@192.0.2.4', now, { expiresAt: now }))
  const path = '<sip:t1@192.0.2.60:5160;lr;ob>'
  await bench.receive(register({ contact: `<${BOB}>`, more: `Path: ${path}\r\nSupported: path\r\n` }))
  const [response] = bench.takeMessages()
  t.strictSame(response?.values(H.contact), [
    `<${BOB}>;expires=3600`,
    '<sip:bob@192.0.2.2;x>;audio;q=0.333;expires=2',
  ])
  t.equal(response?.value(H.date), 'Sat, 01 Jun 2002 00:00:00 GMT')
  t.strictSame(response?.values(H.path), [path])
  t.ok(response?.toTag)
  t.strictSame(bench.location.find(AOR, now)[0]?.path, [path])
  await bench.assertEmpty(t)
})

t.test('a query writes nothing, and an AOR without contacts has none in the answer', async (t) => {
  const bench = new MemberBench()
  await bench.receive(register())
  const [response] = bench.takeMessages()
  t.equal(response?.status, 200)
  t.equal(response?.has(H.contact), false)
  t.strictSame(bench.written, [])
  await bench.assertEmpty(t)
})

t.test('a removal is written like everything else', async (t) => {
  const bench = new MemberBench()
  await bench.receive(register({ contact: `<${BOB}>` }))
  await bench.receive(register({ contact: '*', cseq: 2, more: 'Expires: 0\r\n' }))
  const [, response] = bench.takeMessages()
  t.equal(response?.has(H.contact), false)
  t.match(bench.written[1], [{ contact: BOB, deleted: true }])
  await bench.assertEmpty(t)
})

t.test('what is refused changes nothing and says why', async (t) => {
  const bench = new MemberBench()
  await bench.receive(register({ contact: `<${BOB}>;expires=5` }))
  await bench.receive(register({ contact: `<${BOB}>`, cseq: 2, more: 'Require: path, gruu\r\n' }))
  const [brief, extension] = bench.takeMessages()
  t.equal(brief?.status, 423)
  t.equal(brief?.value(H.minExpires), '60')
  t.equal(extension?.status, 420)
  t.equal(extension?.value(H.unsupported), 'gruu')
  t.equal(bench.location.size, 0)
  t.strictSame(bench.written, [])
  await bench.assertEmpty(t)
})

t.test('who is not authenticated is refused, and it is asked before anything is looked at', async (t) => {
  const bench = new MemberBench({
    challenge: async () => ({
      status: 401,
      reason: 'Unauthorized',
      headers: [[H.wwwAuthenticate, 'Digest realm="example.com"']],
    }),
  })
  await bench.receive(register({ contact: `<${BOB}>;expires=5` }))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 401)
  t.equal(response?.value(H.wwwAuthenticate), 'Digest realm="example.com"')
  t.equal(bench.location.size, 0)
  await bench.assertEmpty(t)
})

t.test('when nobody knows the password, that is 503 and not 401', async (t) => {
  const bench = new MemberBench({
    challenge: () => Promise.reject(new Error('PostgreSQL is gone')),
  })
  await bench.receive(register({ contact: `<${BOB}>` }))
  const [response] = bench.takeMessages()
  t.equal(response?.status, 503)
  t.ok(response?.has(H.retryAfter))
  await bench.assertEmpty(t)
})

t.test('a copy that its nonce count would refuse gets the answer again, and nothing else does', async (t) => {
  const asked: boolean[] = []
  const bench = new MemberBench({
    challenge: async (_request, _aor, isRepeated) => {
      asked.push(isRepeated?.() ?? false)
      return undefined
    },
  })
  await bench.receive(register({ contact: `<${BOB}>` }))
  await bench.receive(register({ contact: `<${BOB}>` }))
  await bench.receive(register({ contact: `<${BOB}>`, cseq: 2 }))
  await bench.receive(register({ contact: '<sip:other@192.0.2.9>', cseq: 2 }))
  await bench.receive(register({ cseq: 3 }))
  t.strictSame(asked, [false, true, false, false, false])
  t.equal(bench.layer.entries, 0, 'no transaction is kept')
  await bench.assertEmpty(t)
})
