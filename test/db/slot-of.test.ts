import t from 'tap'
import { canonicalUser } from '../../src/partition/canonical-user.ts'
import { slotOf } from '../../src/partition/slot.ts'
import { testDatabase } from '../support/database.ts'

/** A million takes a minute or two; `TANDEM_TEST_USERS=1000000 npx tap test/db/slot-of.test.ts` compares them all. */
const USERS = Number(process.env.TANDEM_TEST_USERS ?? 40_000)
const BATCH = 20_000
const SEED = Number(process.env.TANDEM_TEST_SEED ?? 20_26)

const { sql, url } = await testDatabase(t)

const slotsInSql = async (users: string[]) =>
  (
    await sql<{ slot: number }>(
      url,
      'select tandem.slot_of(u) as slot from unnest($1::text[]) with ordinality as x (u, n) order by n',
      [users],
    )
  ).map(({ slot }) => slot)

t.test('the vectors that everybody shares', async (t) => {
  t.same(await slotsInSql(['alice', 'bob', 'carol', 'dave']), [15431, 12608, 3267, 5624])
  t.same(await slotsInSql(['']), [0])
  t.same(await sql(url, 'select tandem.slot_of(null) as slot'), [{ slot: null }])
})

t.test('what people type', async (t) => {
  await sql(
    url,
    `insert into tandem.domain (name, hash_by) values ('example.com', 'user'), ('tenant.example', 'user@domain')`,
  )
  const keys: [typed: string, key: string][] = [
    ['alice', 'alice'],
    ['%61lice;x=y', 'alice'],
    ['alice@example.com', 'alice'],
    ['alice@elsewhere.example', 'alice'],
    ['sip:alice:secret@Example.COM:5070;transport=tcp', 'alice'],
    ['SIPS:alice@example.com?Subject=x', 'alice'],
    ['100@tenant.example', '100@tenant.example'],
    ['sip:1%300@Tenant.Example:5060', '100@tenant.example'],
    ['+49-30-123', '+4930123'],
    ['+49 30 123', '+4930123'],
    ['sip:+49 (30) 123@example.com', '+4930123'],
    ['030 123', '030123'],
    ['two words', 'two%20words'],
    ['030-123', '030-123'],
    ['sip:030-123@example.com;user=phone', '030123'],
    ['tel:030-123;phone-context=+49', '030123'],
    ['m\u00fcller', 'm%C3%BCller'],
    ['sip:alice@[2001:DB8::1]:5060', 'alice'],
  ]
  const rows = await sql<{ key: string; same: boolean }>(
    url,
    `select tandem.hash_key(u) as key, tandem.slot_of(u) = tandem.slot_of_key(tandem.hash_key(u)) as same
     from unnest($1::text[]) with ordinality as x (u, n) order by n`,
    [keys.map(([typed]) => typed)],
  )
  t.same(
    rows.map(({ key }) => key),
    keys.map(([, key]) => key),
  )
  t.ok(rows.every(({ same }) => same))
})

t.test(
  `canonical form and slot of ${USERS} random users, as the nodes compute them`,
  { timeout: 600_000 },
  async (t) => {
    const random = generator(SEED)
    let compared = 0
    while (compared < USERS) {
      const users = Array.from({ length: Math.min(BATCH, USERS - compared) }, () => randomUser(random))
      const rows = await sql<InSql>(url, IN_SQL, [users])
      // One assertion a user would take longer than all the rest.
      const odd = users.findIndex((user, i) => !isSame(rows[i], inTypeScript(user)))
      if (odd >= 0)
        t.same(rows[odd], inTypeScript(users[odd] ?? ''), `seed ${SEED}: ${JSON.stringify(users[odd])}`)
      compared += users.length
    }
    t.equal(compared, USERS)
  },
)

interface InSql {
  readonly name: string
  readonly number: string
  readonly slot: number
  /** null for what is typed as more than a user part. */
  readonly typed: number | null
}

const IN_SQL = `select name, tandem.canonical_user(u, true) as number, tandem.slot_of_key(name) as slot,
    case when u !~ '[@ ]' and u !~* '^(sips?|tel):' then tandem.slot_of(u) end as typed
  from unnest($1::text[]) with ordinality as x (u, n), tandem.canonical_user(u) as name order by n`

function inTypeScript(user: string): InSql {
  const wire = Buffer.from(user, 'utf8').toString('latin1')
  const name = canonicalUser(wire)
  const slot = slotOf(name)
  const isUserPart = !/[@ ]/.test(user) && !/^(sips?|tel):/i.test(user)
  return { name, number: canonicalUser(wire, true), slot, typed: isUserPart ? slot : null }
}

const isSame = (a: InSql | undefined, b: InSql) =>
  a?.name === b.name && a.number === b.number && a.slot === b.slot && a.typed === b.typed

type Random = (below: number) => number

/** mulberry32 */
function generator(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

const PLAIN = "ABCXYZabcxyz0123456789-_.!~*'()&=+$,;?/"
const NUMBER = '0123456789-.()*#'
const AWKWARD = '%;:#@ "<>[]\\^`{|}\x7f\t\n'
const HEX = '0123456789abcdefABCDEF'

function randomUser(random: Random): string {
  const kind = random(6)
  const start = kind === 0 && random(2) === 0 ? '+' : ''
  return start + Array.from({ length: random(24) }, () => piece(kind, random)).join('')
}

function piece(kind: number, random: Random): string {
  const one = (of: string) => of.charAt(random(of.length))
  if (random(8) === 0) kind = random(6)
  switch (kind) {
    case 0:
      return one(NUMBER)
    case 1:
      return `%${one(HEX)}${one(HEX)}`
    case 2:
      return one(AWKWARD)
    case 3:
      return String.fromCodePoint(codePoint(random))
    default:
      return one(PLAIN)
  }
}

/** All of Unicode but NUL, which PostgreSQL cannot hold, and halves of surrogate pairs, which no text has. */
function codePoint(random: Random): number {
  const code = 1 + random([0x7f, 0x7ff, 0xffff, 0x10ffff][random(4)] as number)
  return code >= 0xd800 && code <= 0xdfff ? 0xfffd : code
}
