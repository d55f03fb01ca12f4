import pg from 'pg'
import t from 'tap'
import { type AliasChange, findAlias, readAliasesSince, streamAliases } from '../../db/alias-store.ts'
import { startCursor } from '../../db/rev-cursor.ts'
import { ALL_SLOTS } from '../../db/slot-ranges.ts'
import { testServer } from '../support/database.ts'
import { newcomers } from '../support/newcomers.ts'

const server = await testServer(t)

async function fresh() {
  const url = await server.createDatabase()
  const db = await server.open(url)
  const edit = (text: string) => server.sql(url, text)
  await edit(`insert into tandem.domain (name, hash_by) values ('example.com', 'user'), ('tenant.example', 'user@domain');
    insert into tandem.subscriber (domain, username) values ('example.com', 'bob'), ('tenant.example', '100')`)
  const alias = (from: string, to: string) => {
    const [user, domain] = from.split('@')
    const [targetUser, targetDomain] = to.split('@')
    return edit(`insert into tandem.alias (domain, username, target_domain, target_username)
      values ('${domain}', '${user}', '${targetDomain}', '${targetUser}')`)
  }
  return { url, db, edit, alias }
}

t.test('an alias is kept in canonical form, with the slot of its own name', async (t) => {
  const { db, alias } = await fresh()
  await alias('+49-30-1@example.com', '%62ob@example.com')
  t.match(await findAlias(db, 'example.com', '+49301'), {
    targetDomain: 'example.com',
    targetUser: 'bob',
    slot: 4155,
  })
  await alias('sales@tenant.example', '100@tenant.example')
  const [row] = await db.query<{ slot: number }>(`select tandem.slot_of_key('sales@tenant.example') as slot`)
  t.match(await findAlias(db, 'tenant.example', 'sales'), { slot: row?.slot })
  t.equal(await findAlias(db, 'example.com', 'sales'), undefined)
  const found = []
  for await (const rows of streamAliases(db, ALL_SLOTS)) found.push(...rows)
  t.equal(found.length, 2)
})

t.test('one step, and never in place of a subscriber', async (t) => {
  const { alias, edit } = await fresh()
  await alias('sales@example.com', 'bob@example.com')
  await t.rejects(alias('all@example.com', 'sales@example.com'), {
    message: /sales@example\.com is an alias itself$/,
  })
  await t.rejects(alias('bob@example.com', '100@tenant.example'), {
    message: /a subscriber has this address$/,
  })
  await t.rejects(alias('x@example.com', 'x@example.com'), { message: /alias_of_another/ })
  await alias('lone@example.com', 'nobody@example.com')
  await t.rejects(alias('nobody@example.com', 'bob@example.com'), {
    message: /other aliases stand for this address$/,
  })
  await t.rejects(alias('x@example.com', 'x@elsewhere.example'), { code: '23503' })
  await t.rejects(edit(`update tandem.domain set hash_by = 'user@domain' where name = 'example.com'`), {
    code: '23514',
  })
})

t.test('what a DBA does arrives with the next refresh', async (t) => {
  const { db, alias, edit } = await fresh()
  await alias('sales@example.com', 'bob@example.com')
  const cursor = await startCursor(db)
  const onlyNew = newcomers<AliasChange>()
  const changes = async () => onlyNew(await readAliasesSince(db, cursor, ALL_SLOTS))
  t.same(await changes(), [])
  await edit(`update tandem.alias set target_domain = 'tenant.example', target_username = '100'`)
  t.match(await changes(), [{ removed: false, user: 'sales', targetUser: '100' }])
  await edit(`update tandem.alias set username = 'shop'`)
  t.match(await changes(), [
    { removed: false, user: 'shop' },
    { removed: true, user: 'sales' },
  ])
  await edit('delete from tandem.alias')
  t.match(await changes(), [{ removed: true, domain: 'example.com', user: 'shop' }])
})

t.test('a user that comes while hash_by changes has no slot by the old rule', async (t) => {
  const { url, edit } = await fresh()
  await edit(`insert into tandem.domain (name) values ('new.example')`)
  const provisioning = new pg.Client(url)
  await provisioning.connect()
  t.teardown(() => provisioning.end())
  await provisioning.query(
    `begin; insert into tandem.subscriber (domain, username) values ('new.example', '100')`,
  )
  const change = edit(`update tandem.domain set hash_by = 'user@domain' where name = 'new.example'`)
  const refused = t.rejects(change, { message: /domain new\.example has users or aliases/ })
  await provisioning.query('commit')
  await refused
})
