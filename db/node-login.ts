import { randomBytes } from 'node:crypto'
import pg from 'pg'

const LOGIN = 'tandem_node_login'

/**
 * A login for nodes that may do what nodes do and nothing else (role tandem_node), with a new random password each time: for a
 * database of our own, whose nodes are started after this. Migrate first.
 * @param url of the server's administrator
 * @returns the same URL with that login in place of the administrator's
 * @throws pg.DatabaseError
 */
export async function nodeLogin(url: string): Promise<string> {
  const password = randomBytes(18).toString('base64url')
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query('select from pg_roles where rolname = $1', [LOGIN])
    if (rows.length === 0) await client.query(`create role ${LOGIN} in role tandem_node`)
    await client.query(`alter role ${LOGIN} login password '${password}'`)
  } finally {
    await client.end().catch(() => undefined)
  }
  const own = new URL(url)
  own.username = LOGIN
  own.password = password
  return own.href
}
