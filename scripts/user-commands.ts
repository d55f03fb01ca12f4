import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { findBindings } from '../db/binding-store.ts'
import type { Database } from '../db/database.ts'
import { findSubscriber } from '../db/subscriber-store.ts'
import {
  aliasesOf,
  createSubscriber,
  databaseNow,
  listDomains,
  type ServedDomain,
  setEnabled,
  setHa1s,
} from '../db/user-admin.ts'
import { TandemError } from '../src/ops/errors.ts'
import { nearest } from '../src/ops/nearest.ts'
import { type CommandContext, printResult } from './command-context.ts'
import { withDatabase } from './operator-database.ts'
import { Progress } from './progress.ts'
import { counted, numberText } from './text-table.ts'
import { parseUserAtDomain, shown, type TypedAor } from './typed-aor.ts'
import { importUsers } from './user-import.ts'
import { allHa1s, readPassword } from './user-password.ts'

interface PasswordFlags {
  readonly passwordStdin?: boolean
}

const EXAMPLES = `
Examples:
  tandem user add alice@example.com                       asks for the password
  pwgen 20 1 | tandem user passwd alice@example.com --password-stdin
  tandem user disable alice@example.com
  tandem user import users.csv

Stored are hashes of the password (HA1) for MD5, SHA-256 and SHA-512-256 over the domain's realm, never the password.
A change is in force everywhere within a refresh interval.`

/** `tandem user …`: subscribers, one at a time or a million. */
export function addUserCommands(program: Command, context: CommandContext): void {
  const user = program
    .command('user')
    .description('look after the users: add, change password, disable, import')
    .addHelpText('after', EXAMPLES)
  addPasswordCommands(user, context)
  addSwitches(user, context)
  addShow(user, context)
  addImport(user, context)
}

function addPasswordCommands(user: Command, context: CommandContext): void {
  const withPassword = (name: string) =>
    user
      .command(name)
      .argument('<user@domain>', 'alice@example.com')
      .option('--password-stdin', 'read the password from the first line of stdin')
  withPassword('add')
    .description('add a user; the password is asked for')
    .addHelpText('after', '\nExample: tandem user add alice@example.com')
    .action((text: string, flags: PasswordFlags) =>
      withUser(context, text, async (db, aor, domain) => {
        const existing = await findSubscriber(db, aor.domain, aor.user)
        if (existing) throw alreadyThere(aor)
        const ha1s = await passwordFor(context, aor, domain, flags)
        const slot = await createSubscriber(db, aor.domain, aor.user, ha1s)
        if (slot === undefined) throw alreadyThere(aor)
        context.print(`${nameOf(aor)} added, in slot ${slot}`)
        noteCanonical(context, aor)
      }),
    )
  withPassword('passwd')
    .description('give a user a new password')
    .addHelpText('after', '\nExample: tandem user passwd alice@example.com --password-stdin < secret')
    .action((text: string, flags: PasswordFlags) =>
      withUser(context, text, async (db, aor, domain) => {
        if (!(await findSubscriber(db, aor.domain, aor.user))) throw unknownUser(aor)
        const ha1s = await passwordFor(context, aor, domain, flags)
        if (!(await setHa1s(db, aor.domain, aor.user, ha1s))) throw unknownUser(aor)
        context.print(`${nameOf(aor)} has a new password`)
      }),
    )
}

async function passwordFor(
  context: CommandContext,
  aor: TypedAor,
  { realm }: ServedDomain,
  { passwordStdin = false }: PasswordFlags,
) {
  const password = await readPassword(context, { fromStdin: passwordStdin, whose: nameOf(aor) })
  return allHa1s(aor.user, realm, password)
}

function addSwitches(user: Command, context: CommandContext): void {
  for (const [name, enabled, meaning] of [
    ['disable', false, 'refuse every request of a user, who stays stored'],
    ['enable', true, 'let a disabled user register and call again'],
  ] as const) {
    user
      .command(name)
      .description(meaning)
      .argument('<user@domain>', 'alice@example.com')
      .addHelpText('after', `\nExample: tandem user ${name} alice@example.com`)
      .action((text: string) =>
        withUser(context, text, async (db, aor) => {
          if (!(await setEnabled(db, aor.domain, aor.user, enabled))) throw unknownUser(aor)
          context.print(`${nameOf(aor)} is ${enabled ? 'enabled' : 'disabled'}`)
        }),
      )
  }
}

function addShow(user: Command, context: CommandContext): void {
  user
    .command('show')
    .description('what is stored of a user; `tandem explain` says more')
    .argument('<user@domain>', 'alice@example.com')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample: tandem user show alice@example.com')
    .action((text: string, { json }: { json?: boolean }) =>
      withUser(context, text, async (db, aor, domain) => {
        const row = await findSubscriber(db, aor.domain, aor.user)
        if (!row) throw unknownUser(aor)
        const now = await databaseNow(db)
        const bindings = await findBindings(db, row.slot, nameOf(aor))
        const live = bindings.filter(({ deleted, expiresAt }) => !deleted && expiresAt > now)
        const stored = {
          user: shown(aor.user),
          domain: shown(aor.domain),
          realm: shown(domain.realm),
          slot: row.slot,
          enabled: row.enabled,
          ha1: {
            md5: row.ha1Md5 !== null,
            sha256: row.ha1Sha256 !== null,
            sha512_256: row.ha1Sha512256 !== null,
          },
          aliases: (await aliasesOf(db, aor.domain, aor.user)).map(shown),
          bindings: live.length,
        }
        printResult(context, json, stored, () => storedText(stored))
      }),
    )
}

interface StoredUser {
  readonly user: string
  readonly domain: string
  readonly realm: string
  readonly slot: number
  readonly enabled: boolean
  readonly ha1: { readonly md5: boolean; readonly sha256: boolean; readonly sha512_256: boolean }
  readonly aliases: readonly string[]
  readonly bindings: number
}

function storedText({ user, domain, realm, slot, enabled, ha1, aliases, bindings }: StoredUser): string {
  const algorithms = [ha1.md5 && 'MD5', ha1.sha256 && 'SHA-256', ha1.sha512_256 && 'SHA-512-256']
  return [
    `${user}@${domain}`,
    `  enabled     ${enabled ? 'yes' : 'no'}`,
    `  realm       ${realm}`,
    `  password    ${algorithms.filter(Boolean).join(', ') || 'none'}`,
    `  slot        ${slot}`,
    `  aliases     ${aliases.join(', ') || 'none'}`,
    `  registered  ${bindings === 0 ? 'nowhere' : counted(bindings, 'contact')}`,
  ].join('\n')
}

const IMPORT_HELP = `
The first line names the columns, in any order:
  user,domain,password
  alice,example.com,s3cret
  bob,example.com,"with, comma and ""quotes"""
or, for what has been hashed elsewhere over user:realm:password, one or more of ha1_md5, ha1_sha256 and ha1_sha512_256
in place of the password. A column enabled (true, false) may be added. UTF-8, comma, semicolon or tab; no line
breaks in fields. Users that exist get the new password; of several lines for a user the last counts.

A bad line is reported with its number and loses nothing else; then the exit status is 1. Importing again is harmless.

Examples:
  tandem user import users.csv
  zcat users.csv.gz | tandem user import - 2> refused.txt`

function addImport(user: Command, context: CommandContext): void {
  user
    .command('import')
    .description('add or change many users, from CSV')
    .argument('<file>', 'CSV file; - for stdin')
    .addHelpText('after', IMPORT_HELP)
    .action((file: string) => withDatabase(context, (db) => importFile(db, file, context)))
}

async function importFile(db: Database, file: string, context: CommandContext): Promise<void> {
  const { source, bytes } = await openSource(file, context)
  const progress = new Progress({
    write: (text) => void context.stderr.write(text),
    isTerminal: context.stderr.isTTY === true,
    total: bytes,
    nowMs: () => performance.now(),
  })
  const startedMs = performance.now()
  let rows = 0
  try {
    const { imported, refused } = await importUsers(db, source, {
      domains: await listDomains(db),
      lanes: context.config().database.poolSize,
      onRefused: (line, reason) => progress.note(`line ${line}: ${reason}`),
      onProgress: (bytes, written) => {
        rows = written
        progress.update(bytes, written)
      },
    })
    progress.end()
    const sec = (performance.now() - startedMs) / 1000
    context.print(`${numberText(imported)} imported, ${numberText(refused)} refused (${sec.toFixed(1)} s)`)
    if (refused > 0) context.partlyFailed()
  } catch (error) {
    progress.end()
    if (rows > 0) context.note(`${counted(rows, 'line')} had been imported; importing all again is harmless`)
    throw error
  }
}

async function openSource(file: string, { stdin }: CommandContext) {
  if (file === '-') return { source: stdin as AsyncIterable<Buffer>, bytes: undefined }
  try {
    const info = await stat(file)
    if (info.isDirectory()) throw new Error('it is a directory')
    const stream = createReadStream(file, { highWaterMark: 262_144 })
    await new Promise((resolve, reject) => stream.once('open', resolve).once('error', reject))
    return { source: stream as AsyncIterable<Buffer>, bytes: info.isFile() ? info.size : undefined }
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (cause as Error).message
    throw new TandemError('USAGE', `${file} cannot be read: ${why}`, {
      hint: 'give a CSV file, or - for stdin',
      cause,
    })
  }
}

/** Opens the database for a user of a domain that is served here. @throws TandemError USAGE */
function withUser<T>(
  context: CommandContext,
  text: string,
  work: (db: Database, aor: TypedAor, domain: ServedDomain) => Promise<T>,
): Promise<T> {
  const aor = parseUserAtDomain(text)
  return withDatabase(context, async (db) => {
    const domains = await listDomains(db)
    const domain = domains.find(({ name }) => name === aor.domain)
    if (!domain) throw unknownDomain(aor, domains)
    return work(db, aor, domain)
  })
}

const nameOf = ({ user, domain }: TypedAor): string => shown(`${user}@${domain}`)

function noteCanonical(context: CommandContext, { uri, user }: TypedAor): void {
  if (uri.user === user) return
  context.note(`${shown(uri.user)} is known as ${user}, which is also the name to authenticate with`)
}

const alreadyThere = (aor: TypedAor) =>
  new TandemError('USAGE', `there is a user ${nameOf(aor)} already`, {
    hint: 'for a new password: `tandem user passwd`',
  })

const unknownUser = (aor: TypedAor) =>
  new TandemError('USAGE', `there is no user ${nameOf(aor)}`, {
    hint: `\`tandem explain ${nameOf(aor)}\` looks for aliases too`,
  })

function unknownDomain({ domain }: TypedAor, domains: readonly ServedDomain[]): TandemError {
  const names = domains.map(({ name }) => shown(name))
  const meant = nearest(shown(domain), names)
  const known = meant === undefined ? `served: ${names.slice(0, 5).join(', ')}` : `did you mean ${meant}?`
  const first = `in psql: INSERT INTO tandem.domain (name) VALUES ('${shown(domain)}')`
  return new TandemError('USAGE', `domain ${shown(domain)} is not served here`, {
    hint: names.length === 0 ? first : known,
  })
}
