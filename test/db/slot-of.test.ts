import t from 'tap'
import { slotOf } from '../../src/partition/slot.ts'
import { testDatabase } from '../support/database.ts'

const { sql, url } = await testDatabase(t)

const inSql = async (users: string[]) =>
  (
    await sql<{ slot: number }>(
      url,
      'select tandem.slot_of(u) as slot from unnest($1::text[]) with ordinality as x (u, n) order by n',
      [users],
    )
  ).map(({ slot }) => slot)

t.test('the vectors that everybody shares', async (t) => {
  t.same(await inSql(['alice', 'bob', 'carol', 'dave']), [15431, 12608, 3267, 5624])
  t.same(await inSql(['']), [0])
  t.same(await sql(url, 'select tandem.slot_of(null) as slot'), [{ slot: null }])
})

t.test('agrees with the other implementation', async (t) => {
  const users = Array.from({ length: 4000 }, randomUser)
  // Ours hashes wire text: the bytes of UTF-8, one character each.
  const expected = users.map((user) => slotOf(Buffer.from(user, 'utf8').toString('latin1')))
  t.same(await inSql(users), expected)
})

function randomUser(_: unknown, index: number): string {
  const length = index % 40
  const highest = index % 3 === 0 ? 0xd7ff : 0x7f
  return Array.from({ length }, () =>
    String.fromCharCode(1 + Math.floor(Math.random() * (highest - 1))),
  ).join('')
}
