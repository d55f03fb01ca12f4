import { Database } from '../db/database.ts'
import { type DemoAddresses, seedDemo } from '../db/demo.ts'
import { type Embedded, startEmbedded } from '../db/embedded.ts'
import { loadMap, type MapSnapshot } from '../db/map-store.ts'
import { migrate } from '../db/migrate.ts'
import type { Config } from '../src/ops/config.ts'
import { TandemError } from '../src/ops/errors.ts'
import { formatHostPort } from '../src/ops/host-port.ts'
import type { Logger } from '../src/ops/logging.ts'
import { hideSecrets } from '../src/ops/secrets.ts'
import { prepareDataDir } from './data-dir.ts'
import { embeddedPostgresMajor } from './version.ts'

/** The database of `tandem up`: one of its own, or the configured one, which it neither starts nor stops. */
export interface UpDatabase {
  readonly urls: readonly string[]
  /** As people may see it. Our own keeps its password, which is needed for psql and lies beside the data anyway. */
  readonly shownUrl: string
  /** Where its data are, when it is our own. */
  readonly dataDir: string | undefined
  close(): Promise<void>
}

/** What `tandem up` tells of the contents. */
export interface UpContents {
  readonly map: MapSnapshot
  readonly users: readonly GroupUsers[]
}

export interface GroupUsers {
  readonly group: string
  /** Among the users looked at. */
  readonly count: number
  /** The first few, in alphabetical order. */
  readonly names: readonly string[]
}

export async function openUpDatabase(config: Config, log: Logger): Promise<UpDatabase> {
  const { url } = config.database
  if (url.length > 0) {
    return { urls: url, shownUrl: hideSecrets(url[0] ?? ''), dataDir: undefined, close: async () => {} }
  }
  const { dataDir, databasePort: port } = config.up
  const major = embeddedPostgresMajor()
  prepareDataDir(dataDir, major)
  log.info(`starting PostgreSQL ${major} on 127.0.0.1:${port}, data in ${dataDir}`)
  const keeper = new EmbeddedKeeper({ dataDir, port }, log)
  const started = await keeper.start()
  return { urls: [started], shownUrl: started, dataDir, close: () => keeper.close() }
}

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 5_000

/** Starts PostgreSQL again when it dies, as the supervisor does with the nodes; those serve from memory meanwhile. */
class EmbeddedKeeper {
  readonly #options: { readonly dataDir: string; readonly port: number }
  readonly #log: Logger
  #running: Promise<Embedded> | undefined
  #timer: NodeJS.Timeout | undefined
  #closing = false
  #delayMs = FIRST_DELAY_MS

  constructor(options: { readonly dataDir: string; readonly port: number }, log: Logger) {
    this.#options = options
    this.#log = log
  }

  async start(): Promise<string> {
    const onLog = (line: string) => this.#log.debug({ postgres: line }, 'PostgreSQL')
    this.#running = startEmbedded({ ...this.#options, onLog })
    const embedded = await this.#running
    void embedded.exited.then(() => this.#restartLater('PostgreSQL died'))
    return embedded.url
  }

  async close(): Promise<void> {
    this.#closing = true
    clearTimeout(this.#timer)
    await this.#running?.then((embedded) => embedded.close()).catch(() => {})
  }

  #restartLater(what: string): void {
    if (this.#closing) return
    this.#log.warn(`${what}; restart in ${this.#delayMs} ms`)
    this.#timer = setTimeout(() => void this.#restart(), this.#delayMs)
    this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS)
  }

  async #restart(): Promise<void> {
    try {
      await this.start()
      this.#delayMs = FIRST_DELAY_MS
      this.#log.info('PostgreSQL is back')
    } catch (error) {
      this.#restartLater(`PostgreSQL did not start: ${(error as Error).message}`)
    }
  }
}

/** Tables, demo contents when there are none, and members where this run has them. */
export async function prepareContents(
  config: Config,
  { urls, dataDir }: UpDatabase,
  addresses: DemoAddresses,
  log: Logger,
): Promise<UpContents> {
  await migrate(urls, log)
  const db = await Database.open({ ...config.database, url: urls, node: 'up' }, log)
  try {
    if (await seedDemo(db, addresses)) log.info('the database is new: filled with the demo')
    // Only in a database of our own is it ours to say where the members are.
    if (dataDir !== undefined) await moveMembers(db, addresses)
    const map = await loadMap(db)
    requireMembers(map, addresses)
    return { map, users: await usersByGroup(db) }
  } finally {
    await db.close()
  }
}

async function moveMembers(db: Database, addresses: DemoAddresses): Promise<void> {
  await db.query(
    `update tandem.member m set sip_address = a.address
     from unnest($1::text[], $2::text[]) as a (node, address)
     where m.node = a.node and m.sip_address <> a.address`,
    [Object.keys(addresses), Object.values(addresses)],
  )
}

/** A map of somebody else's making cannot be served by the four members that `tandem up` starts. */
function requireMembers(map: MapSnapshot, addresses: DemoAddresses): void {
  for (const [node, address] of Object.entries(addresses)) {
    const member = map.members.find((row) => row.node === node)
    const there = member && formatHostPort(member)
    if (there === address) continue
    const problem =
      there === undefined ? `has no member ${node}` : `has member ${node} at ${there}, not at ${address}`
    throw new TandemError('NODE_UNKNOWN', `the map in this database ${problem}`, {
      hint: 'give `tandem up` an empty database, or set up.host and up.memberPorts to what table tandem.member says',
    })
  }
}

const SHOWN_USERS = 4
/** Users among whom those shown are looked for: the first, and not all of some millions. */
const LOOKED_AT = 1000

function usersByGroup(db: Database): Promise<GroupUsers[]> {
  return db.query<GroupUsers>(
    `select o.group_name as "group", count(*)::int as count, (array_agg(s.username order by s.username))[1:$1] as names
     from (select username, domain from tandem.subscriber order by domain, username limit $2) s
       cross join lateral tandem.owner_of(s.username || '@' || s.domain) o
     group by o.group_name`,
    [SHOWN_USERS, LOOKED_AT],
  )
}
