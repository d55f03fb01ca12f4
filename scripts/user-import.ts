import type { Database } from '../db/database.ts'
import { type ImportedSubscriber, importSubscribers, type ServedDomain } from '../db/user-admin.ts'
import { fromSql } from '../db/wire-text.ts'
import { TandemError } from '../src/ops/errors.ts'
import { crc32 } from '../src/partition/slot.ts'
import { type CsvLine, readCsv } from './csv-lines.ts'
import { parseUserPart } from './typed-aor.ts'
import { allHa1s } from './user-password.ts'

export interface ImportOptions {
  readonly domains: readonly ServedDomain[]
  /** Batches that are written at a time, each by a connection of its own. */
  readonly lanes: number
  readonly onRefused: (line: number, reason: string) => void
  readonly onProgress: (bytes: number, rows: number) => void
}

export interface ImportSummary {
  readonly imported: number
  readonly refused: number
}

/**
 * Measured on two cores with PostgreSQL on the same machine: 1,000 rows a statement are as fast as 5,000; hashing a user takes
 * a twentieth of what PostgreSQL takes for the row, so it needs no threads.
 */
const BATCH_ROWS = 1_000

/**
 * Reads users from CSV and writes them as it goes: what is in memory is a batch or two for each lane. A line that cannot be
 * imported is reported, and costs no other line anything. Of several lines for one user the last counts.
 * @throws TandemError USAGE when the first line names no columns; DATABASE_… in the middle: doing it again is harmless
 */
export async function importUsers(
  db: Database,
  source: AsyncIterable<Buffer>,
  options: ImportOptions,
): Promise<ImportSummary> {
  const run = new ImportRun(db, options)
  for await (const lines of readCsv(counted(source, (bytes) => run.read(bytes)))) {
    for (const line of lines) await run.take(line)
  }
  return run.end()
}

async function* counted(
  source: AsyncIterable<Buffer>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    onBytes(chunk.length)
    yield chunk
  }
}

type ImportLine = ImportedSubscriber & { readonly line: number }

class ImportRun {
  readonly #db: Database
  readonly #options: ImportOptions
  readonly #domains: ReadonlyMap<string, ServedDomain>
  readonly #lanes: Lane[]
  #columns: Columns | undefined
  #bytes = 0
  #imported = 0
  #refused = 0

  constructor(db: Database, options: ImportOptions) {
    this.#db = db
    this.#options = options
    this.#domains = new Map(options.domains.map((domain) => [domain.name, domain]))
    this.#lanes = Array.from({ length: options.lanes }, () => new Lane((rows) => this.#write(rows)))
  }

  read(bytes: number): void {
    this.#bytes += bytes
  }

  async take({ line, fields, problem }: CsvLine): Promise<void> {
    if (!this.#columns) {
      this.#columns = parseHeader(fields ?? [])
      return
    }
    const row = fields ? toRow(fields, this.#columns, this.#domains) : (problem ?? 'unreadable')
    if (typeof row === 'string') this.#refuse(line, row)
    // The same user always takes the same lane, so the later line is written later.
    else await this.#lanes[crc32(row.user) % this.#lanes.length]?.add({ ...row, line })
  }

  async end(): Promise<ImportSummary> {
    if (!this.#columns) throw noColumns('it is empty')
    await Promise.all(this.#lanes.map((lane) => lane.end()))
    return { imported: this.#imported, refused: this.#refused }
  }

  async #write(rows: readonly ImportLine[]): Promise<void> {
    const { failed } = await importSubscribers(this.#db, rows, {
      setsEnabled: this.#columns?.has('enabled') === true,
    })
    for (const { row, error } of failed) this.#refuse(row.line, (error as Error).message)
    this.#imported += rows.length - failed.length
    this.#options.onProgress(this.#bytes, this.#imported)
  }

  #refuse(line: number, reason: string): void {
    this.#refused++
    this.#options.onRefused(line, reason)
  }
}

/** Batches, one after the other; the next is gathered while one is written. */
class Lane {
  readonly #write: (rows: readonly ImportLine[]) => Promise<void>
  #rows: ImportLine[] = []
  #writing: Promise<void> = Promise.resolve()

  constructor(write: (rows: readonly ImportLine[]) => Promise<void>) {
    this.#write = write
  }

  async add(row: ImportLine): Promise<void> {
    this.#rows.push(row)
    if (this.#rows.length >= BATCH_ROWS) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    await this.#writing
  }

  async #flush(): Promise<void> {
    await this.#writing
    const rows = this.#rows
    this.#rows = []
    this.#writing = this.#write(rows)
    this.#writing.catch(() => {}) // whoever waits for it next hears of it
  }
}

const COLUMNS = ['user', 'domain', 'password', 'ha1_md5', 'ha1_sha256', 'ha1_sha512_256', 'enabled'] as const
type Column = (typeof COLUMNS)[number]
type Columns = ReadonlyMap<Column, number>

const SECRETS: readonly Column[] = ['password', 'ha1_md5', 'ha1_sha256', 'ha1_sha512_256']

function parseHeader(fields: readonly string[]): Columns {
  const names = fields.map((field) => field.trim().toLowerCase())
  const unknown = names.find((name) => !COLUMNS.includes(name as Column))
  if (unknown !== undefined) throw noColumns(`'${unknown}' is no column`)
  const columns = new Map(names.map((name, i) => [name as Column, i]))
  if (columns.size < names.length) throw noColumns('a column comes twice')
  const missing = !columns.has('user') ? 'user' : !columns.has('domain') ? 'domain' : undefined
  if (missing) throw noColumns(`column ${missing} is missing`)
  if (!SECRETS.some((name) => columns.has(name))) throw noColumns('neither a password nor an HA1 is there')
  return columns
}

const noColumns = (problem: string) =>
  new TandemError('USAGE', `the first line of the file must name its columns: ${problem}`, {
    hint: `such as user,domain,password; all columns: ${COLUMNS.join(', ')}`,
  })

/** A subscriber, or why the line is none. */
function toRow(
  fields: readonly string[],
  columns: Columns,
  domains: ReadonlyMap<string, ServedDomain>,
): ImportedSubscriber | string {
  if (fields.length !== columns.size) return `${fields.length} fields where ${columns.size} are named`
  const field = (name: Column) => fields[columns.get(name) ?? -1] ?? ''
  const name = fromSql(field('domain').trim().toLowerCase())
  const domain = domains.get(name)
  if (!domain) return name === '' ? 'no domain' : `domain ${field('domain').trim()} is not served here`
  const typed = field('user').trim()
  const user = parseUserPart(typed)
  if (user === undefined)
    return typed === '' ? 'no user' : `'${typed}' may not stand before the @ of an address`
  const enabled = toBoolean(field('enabled').trim())
  if (enabled === undefined) return `enabled is '${field('enabled').trim()}'; write true or false`
  const secret = toSecret(field, user, domain)
  return typeof secret === 'string' ? secret : { domain: name, user, enabled, ...secret }
}

type Ha1Fields = Pick<ImportedSubscriber, 'ha1Md5' | 'ha1Sha256' | 'ha1Sha512256'>

function toSecret(
  field: (name: Column) => string,
  user: string,
  { realm }: ServedDomain,
): Ha1Fields | string {
  const given = SECRETS.slice(1).map((name) => field(name).trim().toLowerCase())
  const password = field('password')
  if (given.every((ha1) => ha1 === '')) {
    return password === '' ? 'no password' : allHa1s(user, realm, fromSql(password))
  }
  if (password !== '') return 'a password and an HA1: which of them counts?'
  const wrong = given.findIndex((ha1, i) => ha1 !== '' && !HEX[i]?.test(ha1))
  if (wrong >= 0) return `${SECRETS[wrong + 1]} is not ${wrong === 0 ? 32 : 64} hexadecimal digits`
  const [ha1Md5 = null, ha1Sha256 = null, ha1Sha512256 = null] = given.map((ha1) => (ha1 === '' ? null : ha1))
  return { ha1Md5, ha1Sha256, ha1Sha512256 }
}

const HEX = [/^[0-9a-f]{32}$/, /^[0-9a-f]{64}$/, /^[0-9a-f]{64}$/]

/** Empty is true; undefined: neither. */
function toBoolean(text: string): boolean | undefined {
  if (/^(|true|t|yes|y|1)$/i.test(text)) return true
  return /^(false|f|no|n|0)$/i.test(text) ? false : undefined
}
