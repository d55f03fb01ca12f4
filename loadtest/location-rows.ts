import pg from 'pg'
import { migrate } from '../db/migrate.ts'

export const DOMAIN = 'example.com'
/** Rows that one statement makes. */
const CHUNK = 250_000

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export const userOf = (i: number): string => `+4930${String(i).padStart(8, '0')}`
export const aorOf = (i: number): string => `${userOf(i)}@${DOMAIN}`

const USER = `'+4930' || lpad(i::text, 8, '0')`

/**
 * What phones register with: a third of them with an instance, all through one of four edges. About 300 characters in a
 * row, of which the flow token, the Call-ID and the instance are different in each.
 */
const bindings = (first: number, last: number): string => `
  insert into tandem.binding (slot, aor, key, contact, params, path, call_id, cseq, instance, reg_id, user_agent,
    expires_at, changed_at, rev)
  select hashint4(i) & 16383, name || '@${DOMAIN}', coalesce(instance || ';1', contact), contact,
    coalesce(';+sip.instance="' || instance || '";reg-id=1', ''),
    array['<sip:' || substr(hash || hash, 1, 41) || '@192.0.2.' || (61 + i % 4) || ':5160;lr;ob>'],
    substr(hash, 1, 28) || '@' || address, 1 + i % 100000, instance,
    case when instance is not null then 1 end, 'Yealink SIP-T46S 66.84.0.' || i % 60,
    now() + interval '1 day' + i % 3600 * interval '1 second', now(), 1
  from (select *, 'sip:' || name || '@' || address || ':5060;transport=udp' as contact,
      case when i % 3 = 0 then '<urn:uuid:' || hash::uuid || '>' end as instance
    from (select i, ${USER} as name, md5(i::text) as hash,
        '10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255) as address
      from generate_series(${first}, ${last}) as i offset 0) as users offset 0) as phones`

/** With all three HA1s. */
const subscribers = (first: number, last: number): string => `
  insert into tandem.subscriber (domain, username, slot, ha1_md5, ha1_sha256, ha1_sha512_256, rev)
  select '${DOMAIN}', name, hashint4(i) & 16383, hash, hash || hash, hash || hash, 1
  from (select i, ${USER} as name, md5(i::text) as hash
    from generate_series(${first}, ${last}) as i offset 0) as users`

/** Fills an empty database; everything is committed and settled when this resolves. */
export async function fill(url: string, count: number, progress: (rows: number) => void): Promise<void> {
  await migrate(url, silent)
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`insert into tandem.domain (name) values ('${DOMAIN}')`)
  // Without the triggers that number and hash each row, and without checking the domain of each.
  await client.query(`set session_replication_role = replica`)
  for (let first = 0; first < count; first += CHUNK) {
    const last = Math.min(first + CHUNK, count) - 1
    await client.query(bindings(first, last))
    await client.query(subscribers(first, last))
    progress(last + 1)
  }
  await client.query('vacuum (freeze, analyze) tandem.binding')
  await client.query('vacuum (freeze, analyze) tandem.subscriber')
  await client.end()
}
