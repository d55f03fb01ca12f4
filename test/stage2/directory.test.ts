import { mock } from 'node:test'
import t from 'tap'
import type { SubscriberRow } from '../../db/subscriber-store.ts'
import { parseUri } from '../../src/sip/uri.ts'
import { type Aor, aorOf, Directory } from '../../stage2/directory.ts'
import { subscriber } from '../support/member-bench.ts'

function aor(text: string): Aor {
  const uri = parseUri(text)
  if (!uri) throw new Error(text)
  return aorOf(uri)
}

const BOB = aor('sip:bob@example.com')

/** PostgreSQL with some users, and how often it was asked. */
function directoryOf(users: Record<string, SubscriberRow | Error | undefined> = {}) {
  const asked: string[] = []
  const directory = new Directory(async ({ key }) => {
    asked.push(key)
    const found = users[key]
    if (found instanceof Error) throw found
    return found
  })
  return { directory, asked, users }
}

t.test('an AOR is user and domain, canonical', async (t) => {
  t.match(aor('sip:%62ob;par=1:secret@EXAMPLE.com:5062;transport=tcp'), {
    key: 'bob@example.com',
    user: 'bob',
    domain: 'example.com',
    slot: BOB.slot,
  })
  t.not(aor('sip:Bob@example.com').key, BOB.key)
  const phone = aor('sip:555-1234@example.com;user=phone')
  t.match(phone, { key: '5551234@example.com', slot: aor('sip:5551234@example.com').slot })
})

t.test('who is in memory is not asked for', async (t) => {
  const { directory, asked } = directoryOf()
  directory.put(subscriber('bob'))
  t.equal((await directory.find(BOB))?.user, 'bob')
  t.equal(directory.size, 1)
  t.strictSame(asked, [])
  directory.close()
})

t.test('who is not is asked for once, and then is', async (t) => {
  const { directory, asked } = directoryOf({ 'bob@example.com': subscriber('bob') })
  t.equal((await directory.find(BOB))?.user, 'bob')
  t.equal((await directory.find(BOB))?.user, 'bob')
  t.strictSame(asked, ['bob@example.com'])
  directory.close()
})

t.test('many who ask for the same one at a time share one answer', async (t) => {
  const { directory, asked } = directoryOf({ 'bob@example.com': subscriber('bob') })
  const found = await Promise.all([directory.find(BOB), directory.find(BOB), directory.find(BOB)])
  t.strictSame(
    found.map((row) => row?.user),
    ['bob', 'bob', 'bob'],
  )
  t.strictSame(asked, ['bob@example.com'])
  directory.close()
})

t.test('a miss is remembered for five seconds', async (t) => {
  mock.timers.enable({ apis: ['Date'] })
  t.teardown(() => mock.timers.reset())
  const { directory, asked, users } = directoryOf()
  t.equal(await directory.find(BOB), undefined)
  t.equal(await directory.find(BOB), undefined)
  t.equal(asked.length, 1)
  users['bob@example.com'] = subscriber('bob')
  mock.timers.tick(4999)
  t.equal(await directory.find(BOB), undefined)
  mock.timers.tick(2)
  t.equal((await directory.find(BOB))?.user, 'bob')
  t.equal(asked.length, 2)
  directory.close()
})

t.test('a user that a refresh brings counts at once, remembered as missing or not', async (t) => {
  const { directory } = directoryOf()
  t.equal(await directory.find(BOB), undefined)
  directory.put(subscriber('bob'))
  t.equal((await directory.find(BOB))?.user, 'bob')
  directory.put(subscriber('bob', { enabled: false, rev: 2 }))
  t.equal((await directory.find(BOB))?.enabled, false)
  directory.remove('bob', 'example.com')
  t.equal(await directory.find(BOB), undefined)
  directory.close()
})

t.test('when PostgreSQL does not answer, nobody knows: that is no miss', async (t) => {
  const { directory, asked, users } = directoryOf({ 'bob@example.com': new Error('gone') })
  await t.rejects(Promise.all([directory.find(BOB), directory.find(BOB)]), { message: 'gone' })
  users['bob@example.com'] = subscriber('bob')
  t.equal((await directory.find(BOB))?.user, 'bob')
  t.equal(asked.length, 2)
  directory.close()
})

t.test('the misses are bounded', async (t) => {
  const { directory, asked } = directoryOf()
  const nobody = (i: number): Aor => ({ ...BOB, key: `nobody${i}@example.com` })
  for (let i = 0; i < 100_001; i++) await directory.find(nobody(i))
  asked.length = 0
  await directory.find(nobody(100_000))
  t.strictSame(asked, [], 'the newest is remembered')
  await directory.find(nobody(0))
  t.strictSame(asked, ['nobody0@example.com'], 'the oldest is not')
  directory.close()
})
