import { createHash } from 'node:crypto'
import type { Database, Session } from './database.ts'

export const DEMO_DOMAIN = 'example.com'
export const DEMO_USERS = ['alice', 'bob', 'carol', 'dave'] as const
const GROUPS = ['a', 'b'] as const
const RANGE_SLOTS = 2048
const SLOTS = 16384

/** The demo's members: node name → HOST:PORT. */
export type DemoAddresses = Readonly<Record<'a1' | 'a2' | 'b1' | 'b2', string>>

/** The password of a demo user; only hashes of it are stored. */
export const demoPassword = (user: string): string => `${user}-secret`

/**
 * Fills a new database, one without any domain or group, with the demo: domain example.com, four users, and groups a and b
 * that own alternate ranges, so that alice and bob live in different groups. In one transaction; of several callers at once one
 * does it.
 * @returns whether it did anything
 * @throws TandemError, as {@link Database.query}
 */
export function seedDemo(db: Database, addresses: DemoAddresses): Promise<boolean> {
  return db.transaction(async (session) => {
    // The map's own lock: whoever comes second waits here and then finds the work done.
    await session.query('select version from tandem.map_state for update')
    const [{ used } = { used: true }] = await session.query<{ used: boolean }>(
      'select exists (select from tandem.domain) or exists (select from tandem.sip_group) as used',
    )
    if (used) return false
    await session.query(`select set_config('tandem.comment', 'demo', true)`)
    await seedUsers(session)
    await seedMap(session, addresses)
    return true
  })
}

async function seedUsers(session: Session): Promise<void> {
  await session.query('insert into tandem.domain (name, description) values ($1, $2)', [DEMO_DOMAIN, 'Demo'])
  for (const user of DEMO_USERS) {
    await session.query(
      `insert into tandem.subscriber (domain, username, ha1_md5, ha1_sha256, ha1_sha512_256)
       values ($1, $2, $3, $4, $5)`,
      [DEMO_DOMAIN, user, ...['md5', 'sha256', 'sha512-256'].map((hash) => ha1(hash, user))],
    )
  }
}

/** RFC 7616 §3.4.2. */
const ha1 = (hash: string, user: string) =>
  createHash(hash)
    .update(`${user}:${DEMO_DOMAIN}:${demoPassword(user)}`)
    .digest('hex')

async function seedMap(session: Session, addresses: DemoAddresses): Promise<void> {
  for (const group of GROUPS) {
    await session.query('insert into tandem.sip_group (name) values ($1)', [group])
    for (const [role, node] of [
      ['master', `${group}1`],
      ['slave', `${group}2`],
    ] as const) {
      await session.query(
        'insert into tandem.member (node, group_name, role, sip_address) values ($1, $2, $3, $4)',
        [node, group, role, addresses[node]],
      )
    }
  }
  await session.query(
    `insert into tandem.slot_range (first, last, group_name)
     select first, first + $1 - 1, ($2::text[])[1 + first / $1 % 2]
     from generate_series(0, $3 - 1, $1) as first`,
    [RANGE_SLOTS, GROUPS, SLOTS],
  )
}
