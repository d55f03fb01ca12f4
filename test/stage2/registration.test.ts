import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { ALL_CONTACTS, type BindingRow, REMOVAL_HOLDS_MS } from '../../db/binding-store.ts'
import { H } from '../../src/sip/header.ts'
import { UNNUMBERED } from '../../stage2/location.ts'
import { type RegistrationLimits, registration } from '../../stage2/registration.ts'
import { parsed } from '../sip/transaction/bench.ts'
import { binding } from '../support/cluster.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const NOW = Date.UTC(2002, 5, 1)
const LIMITS: RegistrationLimits = { minSec: 60, defaultSec: 3600, maxSec: 7200, maxContacts: 3 }
const BOB = 'sip:bob@192.0.2.1'
const UUID = '<urn:uuid:00000000-0000-1000-8000-000A95A0E128>'

interface Parts {
  readonly contacts?: readonly string[]
  readonly expires?: string
  readonly callId?: string
  readonly cseq?: number
  readonly more?: string
}

function register({ contacts = [], expires, callId = 'reg-1', cseq = 2, more = '' }: Parts) {
  const lines = contacts.map((value) => `Contact: ${value}\r\n`).join('')
  const header = expires === undefined ? '' : `Expires: ${expires}\r\n`
  return parsed(
    'REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.60:5160;branch=z9hG4bKr\r\n' +
      `From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: ${callId}\r\n` +
      `CSeq: ${cseq} REGISTER\r\n${lines}${header}${more}Content-Length: 0\r\n\r\n`,
  )
}

function outcome(parts: Parts, rows: readonly BindingRow[] = [], limits: Partial<RegistrationLimits> = {}) {
  const aor = 'bob@example.com'
  return registration({
    request: register(parts),
    slot: 9,
    aor,
    limits: { ...LIMITS, ...limits },
    nowMs: NOW,
    rows,
  })
}

function changesOf(...parameters: Parameters<typeof outcome>): readonly BindingRow[] {
  const result = outcome(...parameters)
  if ('defect' in result) throw new Error(`${result.defect.status} ${result.defect.reason}`)
  return result.changes
}

function statusOf(...parameters: Parameters<typeof outcome>): number {
  const result = outcome(...parameters)
  return 'defect' in result ? result.defect.status : 200
}

/** What the rows say, in short: `contact for seconds`, `-contact` of a removed one. */
const inShort = (rows: readonly BindingRow[]) =>
  rows.map(({ contact, deleted, expiresAt }) =>
    deleted ? `-${contact}` : `${contact} for ${(expiresAt - NOW) / 1000}`,
  )

const live = binding(BOB, NOW)

t.test('a query changes nothing', async (t) => {
  t.strictSame(changesOf({}, [live]), [])
  t.strictSame(changesOf({ expires: '0' }, [live]), [], 'whatever its Expires says')
})

t.test('a new contact', async (t) => {
  const [row] = changesOf({
    contacts: [`"Bob" <${BOB};transport=udp>;q=0.7;expires=600;audio;methods="INVITE, BYE"`],
    more: 'Path: <sip:t1@192.0.2.60:5160;lr;ob>, <sip:192.0.2.61;lr>\r\nUser-Agent: Telephone 1.0 of somebody\r\n',
  })
  t.strictSame(row, {
    slot: 9,
    aor: 'bob@example.com',
    key: row?.key,
    contact: `${BOB};transport=udp`,
    params: ';audio;methods="INVITE, BYE"',
    q: 700,
    path: ['<sip:t1@192.0.2.60:5160;lr;ob>', '<sip:192.0.2.61;lr>'],
    callId: 'reg-1',
    cseq: 2,
    instance: null,
    regId: null,
    userAgent: 'Telephone 1.0 of somebody',
    received: null,
    expiresAt: NOW + 600_000,
    changedAt: NOW,
    deleted: false,
    rev: UNNUMBERED,
  })
})

t.test('several contacts, in one line and in more', async (t) => {
  const rows = changesOf({
    contacts: ['<sip:a@192.0.2.1>;expires=100, <sip:b@192.0.2.1>', 'sip:c@192.0.2.1;expires=300'],
    expires: '200',
  })
  t.strictSame(inShort(rows), [
    'sip:a@192.0.2.1 for 100',
    'sip:b@192.0.2.1 for 200',
    'sip:c@192.0.2.1 for 300',
  ])
})

t.test('the time: parameter, header, default, at most the maximum', async (t) => {
  const time = (contact: string, expires?: string) =>
    inShort(changesOf({ contacts: [contact], ...(expires !== undefined && { expires }) }))[0]
  t.equal(time(`<${BOB}>;expires=100`, '200'), `${BOB} for 100`)
  t.equal(time(`<${BOB}>`, '200'), `${BOB} for 200`)
  t.equal(time(`<${BOB}>`), `${BOB} for 3600`)
  t.equal(time(`<${BOB}>`, 'soon'), `${BOB} for 3600`, 'malformed: the default')
  t.equal(time(`<${BOB}>;expires=soon`), `${BOB} for 3600`, '§10.2.1.1: malformed: 3600')
  t.equal(time(`<${BOB}>;expires=99999`), `${BOB} for 7200`)
  t.equal(time(`<${BOB}>;expires=4294967295`), `${BOB} for 7200`)
  t.equal(
    time(`<${BOB}>;expires=4294967296`, '200'),
    `${BOB} for 200`,
    'RFC 4475: out of range: as if absent',
  )
})

t.test('too brief a time gets 423 with Min-Expires, and nothing changes', async (t) => {
  const contacts = ['<sip:a@192.0.2.1>;expires=100', '<sip:b@192.0.2.1>;expires=59']
  t.match(outcome({ contacts }), { defect: { status: 423, headers: [[H.minExpires, '60']] } })
  t.equal(statusOf({ contacts: [`<${BOB}>`], expires: '1' }), 423)
  t.equal(statusOf({ contacts: [`<${BOB}>;expires=60`] }), 200)
  t.equal(statusOf({ contacts: [`<${BOB}>;expires=0`] }), 200, 'a removal is not brief')
})

t.test('§10.3 step 7: an hour is never too brief', async (t) => {
  const limits = { minSec: 7200, defaultSec: 7200 }
  t.equal(statusOf({ contacts: [`<${BOB}>;expires=3599`] }, [], limits), 423)
  t.equal(statusOf({ contacts: [`<${BOB}>;expires=3600`] }, [], limits), 200)
})

t.test('a refresh replaces the row, a removal leaves a tombstone', async (t) => {
  const [row] = changesOf({ contacts: [`<${BOB}>;q=0.5`], cseq: 2 }, [live])
  t.match(row, { key: live.key, q: 500, cseq: 2, deleted: false })
  const [gone] = changesOf({ contacts: [`<${BOB}>;expires=0`], cseq: 3, callId: 'reg-2' }, [live])
  t.match(gone, { key: live.key, callId: 'reg-2', cseq: 3, deleted: true, expiresAt: NOW, rev: UNNUMBERED })
  const [unheardOf] = changesOf({ contacts: [`<${BOB}>;expires=0`] })
  t.match(unheardOf, { key: live.key, deleted: true }, 'another member may know it')
})

t.test('of one contact that is named twice the last word counts', async (t) => {
  const named = (first: string, second: string, rows: BindingRow[] = []) =>
    inShort(changesOf({ contacts: [`<${BOB}>;expires=${first}`, `<${BOB}>;expires=${second}`] }, rows))
  t.strictSame(named('100', '200'), [`${BOB} for 200`])
  t.strictSame(named('100', '0'), [`-${BOB}`])
  t.strictSame(named('100', '0', [live]), [`-${BOB}`])
  t.strictSame(named('0', '100', [live]), [`${BOB} for 100`])
})

t.test('* removes all, with Expires: 0 and nothing else', async (t) => {
  const other = binding('sip:bob@192.0.2.2', NOW, { callId: 'reg-9', cseq: 99 })
  const ended = binding('sip:bob@192.0.2.3', NOW, { expiresAt: NOW })
  const rows = [live, other, ended]
  const changes = changesOf({ contacts: ['*'], expires: '0' }, rows)
  t.strictSame(inShort(changes), [`-${BOB}`, `-${other.contact}`, '-'])
  t.match(
    changes[2],
    { key: ALL_CONTACTS, deleted: true, callId: 'reg-1', rev: UNNUMBERED },
    'and what others know',
  )
  t.equal(statusOf({ contacts: ['*'] }, rows), 400)
  t.equal(statusOf({ contacts: ['*'], expires: '1' }, rows), 400)
  t.equal(statusOf({ contacts: ['*', `<${BOB}>`], expires: '0' }, rows), 400)
  t.equal(statusOf({ contacts: ['*'], expires: '0', cseq: 1 }, rows), 400, 'CSeq out of order')
  t.match(changesOf({ contacts: ['*'], expires: '0' }), [{ key: ALL_CONTACTS }], 'nobody here')
  const ahead = binding('sip:bob@192.0.2.4', NOW, { changedAt: NOW + 500, expiresAt: NOW })
  t.equal(changesOf({ contacts: ['*'], expires: '0' }, [ahead])[0]?.changedAt, NOW + 501)
})

t.test('within a Call-ID the CSeq rises; another Call-ID may have any', async (t) => {
  const rows = [{ ...live, cseq: 5 }]
  t.equal(statusOf({ contacts: [`<${BOB}>;q=0.1`], cseq: 4 }, rows), 400)
  t.equal(statusOf({ contacts: [`<${BOB}>;expires=0`], cseq: 5 }, rows), 400)
  t.equal(statusOf({ contacts: [`<${BOB}>`], cseq: 6 }, rows), 200)
  t.equal(statusOf({ contacts: [`<${BOB}>`], cseq: 1, callId: 'reg-2' }, rows), 200)
  const ended = [{ ...live, cseq: 5, expiresAt: NOW }]
  t.equal(statusOf({ contacts: [`<${BOB}>`], cseq: 1 }, ended), 200, 'what has ended binds nobody')
})

t.test('one contact out of order, and nothing at all changes', async (t) => {
  const rows = [{ ...live, cseq: 5 }]
  t.equal(statusOf({ contacts: ['<sip:new@192.0.2.9>', `<${BOB}>`], cseq: 4 }, rows), 400)
})

t.test('the request that made the binding, come again to a member that took over, is answered', async (t) => {
  const rows = [{ ...live, cseq: 5 }]
  t.strictSame(changesOf({ contacts: [`<${BOB}>`], cseq: 5 }, rows), [])
  t.equal(statusOf({ contacts: [`<${BOB};lr>`], cseq: 5 }, rows), 400, 'but another one is out of order')
})

t.test('a contact is known by what RFC 3261 §19.1.4 calls equal', async (t) => {
  for (const same of ['sip:%62ob@192.0.2.1', 'SIP:bob@192.0.2.1', 'sip:bob@192.0.2.1;x=1']) {
    const [row] = changesOf({ contacts: [`<${same}>`] }, [live])
    t.equal(row?.key, live.key, same)
    t.equal(row?.contact, same, 'as it came now')
  }
  for (const other of ['sip:bob@192.0.2.1:5060', 'sip:BOB@192.0.2.1', 'sip:bob@192.0.2.1;transport=udp']) {
    t.not(changesOf({ contacts: [`<${other}>`] }, [live])[0]?.key, live.key, other)
  }
  t.equal(changesOf({ contacts: [`<${BOB}>, <${BOB};x=1>`] }).length, 1, 'also within one request')
  const unreadable = binding('not a URI', NOW)
  t.strictSame(inShort(changesOf({ contacts: [`<${BOB}>`] }, [unreadable])), [`${BOB} for 3600`])
})

t.test('RFC 5626: a flow is known by instance and reg-id, whatever its URI', async (t) => {
  const flow = (uri: string, regId: number) => `<${uri}>;+sip.instance="${UUID}";reg-id=${regId}`
  const [first] = changesOf({ contacts: [flow(BOB, 1)] })
  t.match(first, { key: `${UUID};1`, instance: UUID, regId: 1, contact: BOB })
  const rows = [first as BindingRow]
  t.equal(changesOf({ contacts: [flow('sip:bob@192.0.2.7', 1)], cseq: 3 }, rows)[0]?.key, first?.key)
  t.not(changesOf({ contacts: [flow(BOB, 2)], cseq: 3 }, rows)[0]?.key, first?.key, 'another flow')
  t.not(changesOf({ contacts: [`<${BOB}>`], cseq: 3 }, rows)[0]?.key, first?.key, 'a URI is no flow')
  const [plain] = changesOf({ contacts: [`<${BOB}>;reg-id=1`] })
  t.equal(plain?.key, live.key, 'a reg-id without an instance is ignored')
  t.equal(changesOf({ contacts: [`<${BOB}>;+sip.instance="${UUID}"`] })[0]?.key, live.key)
})

t.test('the limit of contacts counts what is there afterwards', async (t) => {
  const rows = [1, 2, 3].map((n) => binding(`sip:bob@192.0.2.${n}`, NOW, { key: `k${n}` }))
  const fresh = '<sip:bob@192.0.2.9>'
  t.equal(statusOf({ contacts: [fresh] }, rows), 403)
  t.equal(
    statusOf({ contacts: [fresh, '<sip:bob@192.0.2.1>;expires=0'] }, rows),
    200,
    'one in place of another',
  )
  t.equal(statusOf({ contacts: ['<sip:bob@192.0.2.1>'] }, rows), 200, 'a refresh')
  t.equal(statusOf({ contacts: ['<sip:bob@192.0.2.1>'] }, rows, { maxContacts: 1 }), 200, 'also when lowered')
  t.equal(statusOf({ contacts: [fresh, '<sip:a@x>', '<sip:b@x>', '<sip:c@x>'] }), 403)
  const ended = rows.map((row) => ({ ...row, expiresAt: NOW }))
  t.equal(statusOf({ contacts: [fresh] }, ended), 200, 'what has ended does not count')
})

t.test('a bad Contact is refused, and so is one that PostgreSQL could not hold', async (t) => {
  t.equal(statusOf({ contacts: ['<sip:bob@>'] }), 400)
  t.equal(statusOf({ contacts: [`<sip:${'b'.repeat(1300)}@192.0.2.1>`] }), 400)
  t.equal(statusOf({ contacts: [`<sip:${'b'.repeat(1000)}@192.0.2.1>`] }), 200)
})

t.test('what a later REGISTER has removed is not brought back by an earlier one', async (t) => {
  const contacts = [`<${BOB}>`]
  for (const key of [live.key, ALL_CONTACTS]) {
    const removal = binding(BOB, NOW, { key, cseq: 5, deleted: true, expiresAt: NOW, changedAt: NOW - 1000 })
    t.equal(statusOf({ contacts, cseq: 4 }, [removal]), 400, key)
    t.equal(statusOf({ contacts, cseq: 6 }, [removal]), 200)
    t.equal(statusOf({ contacts, cseq: 1, callId: 'reg-2' }, [removal]), 200, 'a phone that was started anew')
    const longAgo = { ...removal, changedAt: NOW - REMOVAL_HOLDS_MS }
    t.equal(statusOf({ contacts, cseq: 4 }, [longAgo]), 200, 'a phone that counts anew')
  }
  const all = binding('*', NOW, { key: ALL_CONTACTS, cseq: 5, deleted: true, expiresAt: NOW })
  t.equal(statusOf({ contacts: ['*'], expires: '0', cseq: 5 }, [all]), 200, 'the same again')
})

t.test('unknown contacts are removed in a bounded number', async (t) => {
  const contacts = (count: number) =>
    Array.from({ length: count }, (_, i) => `<sip:bob@192.0.2.${i}>;expires=0`)
  const limits = { maxContacts: 2 }
  t.equal(statusOf({ contacts: contacts(4) }, [], limits), 200)
  t.equal(statusOf({ contacts: contacts(5) }, [], limits), 403)
})

t.test('a change is later than what it replaces, whatever the clock says', async (t) => {
  const ahead = { ...live, changedAt: NOW + 5000 }
  t.equal(changesOf({ contacts: [`<${BOB}>`] }, [ahead])[0]?.changedAt, NOW + 5001)
  t.equal(changesOf({ contacts: [`<${BOB}>;expires=0`] }, [ahead])[0]?.changedAt, NOW + 5001)
  const everything = binding('*', NOW, {
    key: ALL_CONTACTS,
    deleted: true,
    changedAt: NOW + 7000,
    callId: 'reg-0',
  })
  t.equal(changesOf({ contacts: [`<${BOB}>`] }, [ahead, everything])[0]?.changedAt, NOW + 7001)
  const tombstone = { ...ahead, deleted: true }
  t.equal(changesOf({ contacts: [`<${BOB}>`] }, [tombstone])[0]?.changedAt, NOW + 5001)
})

t.test('q and expires have columns of their own, also in strange spellings', async (t) => {
  const params = (text: string) => changesOf({ contacts: [`<${BOB}>${text}`] })[0]?.params
  t.equal(params(';Q=0.1;a=1; expires = 600'), ';a=1')
  t.equal(params(';a="x;q=1;expires=2;y";q=0.2'), ';a="x;q=1;expires=2;y"', 'not inside a string')
  t.equal(params(';a="\\";q=1;";q=0.2;b'), ';a="\\";q=1;";b')
  t.equal(params(';quality=1;expires2=5'), ';quality=1;expires2=5')
  t.equal(params(''), '')
})

t.test('cparam01 and cparam02: a parameter of the contact is none of its URI', async (t) => {
  const read = (name: string) => {
    const url = new URL(`../fixtures/torture/rfc4475/${name}.dat`, import.meta.url)
    const request = parsed(readFileSync(url, 'latin1'))
    const nowMs = NOW
    const result = registration({
      request,
      slot: 0,
      aor: 'watson@example.com',
      limits: LIMITS,
      nowMs,
      rows: [],
    })
    return 'changes' in result ? result.changes[0] : undefined
  }
  t.match(read('cparam01'), { contact: 'sip:+19725552222@gw1.example.net', params: ';unknownparam' })
  t.match(read('cparam02'), { contact: 'sip:+19725552222@gw1.example.net;unknownparam', params: '' })
})

t.test('what is stored keeps no message alive', async (t) => {
  const kept: BindingRow[] = []
  const store = (i: number) => {
    const text = register({
      contacts: [
        `<sip:a-user-with-a-long-name-${i}@192.0.2.1>;+sip.instance="${UUID}";reg-id=${i};audio;video`,
      ],
      callId: `a-call-id-that-is-long-enough-to-be-a-slice-${i}`,
      more:
        `Path: <sip:a-flow-token-that-is-long-${i}@192.0.2.60>\r\nUser-Agent: A telephone with a name ${i}\r\n` +
        `X: ${'x'.repeat(20_000)}\r\n`,
    }).text
    // Through a Buffer, as from a socket: one flat string.
    const request = parsed(Buffer.from(text, 'latin1').toString('latin1'))
    const aor = `${request.to?.uri?.user}-with-a-long-name@${request.to?.uri?.host}`
    const result = registration({ request, slot: 0, aor, limits: LIMITS, nowMs: NOW, rows: [] })
    if ('changes' in result) kept.push(...result.changes)
  }
  for (let i = 1; i <= 200; i++) store(i)
  kept.length = 0
  const before = heapUsed()
  for (let i = 1; i <= 200; i++) store(i)
  const perRow = (heapUsed() - before) / kept.length
  t.equal(kept.length, 200)
  t.ok(perRow < 4000, `${Math.round(perRow)} bytes a row, of messages of 20,000`)
})

function heapUsed(): number {
  for (let i = 0; i < 3; i++) collect()
  return process.memoryUsage().heapUsed
}
