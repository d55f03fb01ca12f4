import t from 'tap'
import { loadMap } from '../../db/map-store.ts'
import { nodeLogin } from '../../db/node-login.ts'
import { testServer } from '../support/database.ts'

const server = await testServer(t)

t.test('a login of its own, also the second time; the first password is gone then', async (t) => {
  const url = await server.createDatabase()
  const first = await nodeLogin(url)
  t.equal((await loadMap(await server.open(first))).version, 0)
  await t.rejects(server.sql(first, `insert into tandem.domain (name) values ('x')`), { code: '42501' })
  const second = await nodeLogin(url)
  t.not(second, first)
  t.equal((await loadMap(await server.open(second))).version, 0)
  await t.rejects(server.sql(first, 'select 1'), { code: '28P01' })
})
