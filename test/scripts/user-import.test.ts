import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import { findSubscriber } from '../../db/subscriber-store.ts'
import { listDomains } from '../../db/user-admin.ts'
import { importUsers } from '../../scripts/user-import.ts'
import { ha1 } from '../../src/sip/digest.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)

async function fresh() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  await server.sql(
    url,
    `insert into tandem.domain (name, realm) values ('example.com', 'telco'), ('example.org', 'example.org')`,
  )
  const domains = await listDomains(db)
  const importText = async (text: string | Buffer, lanes = 2) => {
    const refused: [number, string][] = []
    const onRefused = (line: number, reason: string) => void refused.push([line, reason])
    const source = Readable.from([Buffer.from(text as string)])
    const summary = await importUsers(db, source, { domains, lanes, onRefused, onProgress: () => {} })
    return { ...summary, lines: refused.sort(([a], [b]) => a - b) }
  }
  const revs = () =>
    server.sql<{ rev: string }>(url, 'select rev from tandem.subscriber order by domain, username')
  return { db, importText, revs }
}

t.test('passwords become HA1s over the realm, users canonical', async (t) => {
  const { db, importText } = await fresh()
  const summary = await importText(
    'user,domain,password\nalice,Example.COM,s3cret\n+49-30-12,example.org,"a,""b"""\nmüller,example.com,pässword\n',
  )
  t.match(summary, { imported: 3, refused: 0 })
  t.match(await findSubscriber(db, 'example.com', 'alice'), {
    enabled: true,
    ha1Md5: ha1('MD5', 'alice', 'telco', 's3cret'),
    ha1Sha256: ha1('SHA-256', 'alice', 'telco', 's3cret'),
    ha1Sha512256: ha1('SHA-512-256', 'alice', 'telco', 's3cret'),
  })
  t.match(await findSubscriber(db, 'example.org', '+493012'), {
    ha1Md5: ha1('MD5', '+493012', 'example.org', 'a,"b"'),
  })
  const wire = Buffer.from('pässword').toString('latin1')
  t.match(await findSubscriber(db, 'example.com', 'm%C3%BCller'), {
    ha1Md5: ha1('MD5', 'm%C3%BCller', 'telco', wire),
  })
})

t.test('HA1s come as they are; a password that is gone leaves no hash behind', async (t) => {
  const { db, importText } = await fresh()
  await importText('user,domain,password\nalice,example.com,old\n')
  const md5 = 'A'.repeat(32)
  await importText(`domain,ha1_md5,user,enabled\nexample.com,${md5},alice,no\nexample.com,${md5},bob,\n`)
  t.match(await findSubscriber(db, 'example.com', 'alice'), {
    enabled: false,
    ha1Md5: 'a'.repeat(32),
    ha1Sha256: null,
    ha1Sha512256: null,
  })
  t.match(await findSubscriber(db, 'example.com', 'bob'), { enabled: true })
  await importText('user,domain,password\nalice,example.com,new\n')
  t.match(await findSubscriber(db, 'example.com', 'alice'), { enabled: false, ha1Md5: /./ }, 'stays disabled')
})

t.test('a bad line is named with its reason and loses nothing else', async (t) => {
  const { importText } = await fresh()
  const bad: [string, RegExp][] = [
    ['only,two', /2 fields where 7 are named/],
    [',example.com,pw,,,,', /no user/],
    ['alice,,pw,,,,', /no domain/],
    ['alice,example.net,pw,,,,', /domain example\.net is not served here/],
    ['a b,example.com,pw,,,,', /'a b' may not stand before the @/],
    ['alice@x,example.com,pw,,,,', /'alice@x' may not/],
    ['alice:pw,example.com,pw,,,,', /'alice:pw' may not/],
    ['alice;a=b,example.com,pw,,,,', /'alice;a=b' may not/],
    ['alice,example.com,,,,,', /no password/],
    ['alice,example.com,pw,aa,,,', /a password and an HA1/],
    ['alice,example.com,,xyz,,,', /ha1_md5 is not 32 hex/],
    [`alice,example.com,,,${'a'.repeat(63)},,`, /ha1_sha256 is not 64 hex/],
    ['alice,example.com,pw,,,,maybe', /enabled is 'maybe'/],
    ['"alice,example.com,pw,,,,', /quote/],
    // Random, since PostgreSQL compresses; the primary key has a limit.
    [`${randomBytes(4_500).toString('hex')},example.com,pw,,,,`, /index row/],
  ]
  const header = 'user,domain,password,ha1_md5,ha1_sha256,ha1_sha512_256,enabled'
  const lines = bad.flatMap(([line], i) => [line, `good${i},example.com,pw,,,,true`])
  const { imported, refused, lines: reported } = await importText([header, ...lines].join('\n'))
  t.equal(imported, bad.length)
  t.equal(refused, bad.length)
  t.same(
    reported.map(([line]) => line),
    bad.map((_, i) => 2 * i + 2),
  )
  for (const [i, [, reason]] of bad.entries()) t.match(reported[i]?.[1], reason)
})

t.test('of several lines for a user the last counts, in one batch or in many', async (t) => {
  const { db, importText } = await fresh()
  const lines = Array.from({ length: 5_000 }, (_, i) => `user${i % 500},example.com,pw${i}`)
  const { imported } = await importText(`user,domain,password\n${lines.join('\n')}\n`, 4)
  t.equal(imported, 5_000)
  for (const user of [0, 123, 499]) {
    const expected = ha1('MD5', `user${user}`, 'telco', `pw${4_500 + user}`)
    t.match(await findSubscriber(db, 'example.com', `user${user}`), { ha1Md5: expected })
  }
})

t.test('what is like that already is left alone, so that no node reads it again', async (t) => {
  const { importText, revs } = await fresh()
  const text = 'user,domain,password\nalice,example.com,pw\nbob,example.com,pw\n'
  await importText(text)
  const before = await revs()
  t.match(await importText(text), { imported: 2, refused: 0 })
  t.same(await revs(), before)
  await importText(text.replace('bob,example.com,pw', 'bob,example.com,new'))
  const after = await revs()
  t.equal(after[0]?.rev, before[0]?.rev)
  t.not(after[1]?.rev, before[1]?.rev)
})

t.test('a file whose first line names no columns is refused before anything is done', async (t) => {
  const { importText } = await fresh()
  for (const [text, message] of [
    ['', /it is empty/],
    ['alice,example.com,pw\n', /'alice' is no column/],
    ['user,password\n', /column domain is missing/],
    ['user,domain\n', /neither a password nor an HA1/],
    ['user,user,domain,password\n', /a column comes twice/],
  ] as const) {
    await t.rejects(importText(text), { code: 'USAGE', message, hint: /user,domain,password/ })
  }
})
