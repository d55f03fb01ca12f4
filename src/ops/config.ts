import { readFileSync } from 'node:fs'
import { isAlias, isNode, LineCounter, parseDocument, stringify } from 'yaml'
import type { z } from 'zod'
import { environmentOverrides } from './config-env.ts'
import { type Config, type ConfigKey, configKeys, configSchema } from './config-schema.ts'
import { TandemError } from './errors.ts'
import { formatHostPort, type HostPort } from './host-port.ts'
import { nearest } from './nearest.ts'
import { hideSecrets } from './secrets.ts'

export type { Config } from './config-schema.ts'

export interface ConfigSource {
  /** Path of a YAML file. Without it the defaults and the environment are everything. */
  readonly file?: string | undefined
  readonly env: NodeJS.ProcessEnv
}

/** Reads, overrides and checks the configuration. All problems are reported in one TandemError, one a line. */
export function loadConfig({ file, env }: ConfigSource): Config {
  const source = file === undefined ? nothing : readYaml(file)
  const { values, origin, problems } = environmentOverrides(env)
  const where = (path: readonly PropertyKey[]) => origin(path) ?? source.place(path)
  // A file that holds something other than keys is reported by the schema, and overrides do not hide it.
  const wanted = isObject(source.content) ? merge(source.content, values) : source.content
  const result = configSchema.safeParse(wanted, { reportInput: true })
  const refused = result.success ? [] : result.error.issues.flatMap((issue) => refusals(issue, where))
  const all = [...problems, ...refused]
  if (all.length > 0) throw new TandemError('CONFIG_INVALID', all.join('\n'))
  return result.data as Config
}

/** The database of a command that cannot run without one. */
export function requireDatabase(config: Config): readonly string[] {
  if (config.database.url.length > 0) return config.database.url
  throw new TandemError('CONFIG_INVALID', 'database.url: this command needs a PostgreSQL', {
    hint: 'set database.url in the file of --config, or TANDEM_DATABASE_URL, to postgres://user@host:5432/name',
  })
}

/** The effective configuration as YAML that can be loaded again, except for its passwords: they read `***`. */
export function printable(config: Config): string {
  return stringify(config, (_key, value: unknown) => {
    if (isHostPort(value)) return formatHostPort(value)
    if (Array.isArray(value) && value.length === 1 && isHostPort(value[0])) return formatHostPort(value[0])
    return typeof value === 'string' ? hideSecrets(value) : value
  })
}

interface Source {
  readonly content: unknown
  /** `tandem.yaml:3: stage1.edge` */
  place(path: readonly PropertyKey[]): string
}

const nothing: Source = { content: {}, place: (path) => path.join('.') }

function readYaml(file: string): Source {
  const lines = new LineCounter()
  const document = parseDocument(readText(file), { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error) {
    const { line, col } = lines.linePos(error.pos[0])
    throw new TandemError('CONFIG_SYNTAX', `${file}:${line}:${col}: ${oneLine(error.message)}`, {
      hint: 'correct that line; text with : # [ or { in it needs quotes, indentation is by spaces',
      cause: error,
    })
  }
  const place = (path: readonly PropertyKey[]) => {
    const offset = offsetOf(document, path)
    const start = offset === undefined ? file : `${file}:${lines.linePos(offset).line}`
    return path.length === 0 ? start : `${start}: ${path.join('.')}`
  }
  try {
    return { content: document.toJS() ?? {}, place }
  } catch (cause) {
    throw new TandemError('CONFIG_SYNTAX', `${file}: ${oneLine((cause as Error).message)}`, {
      hint: 'check the aliases (*name) in it',
      cause,
    })
  }
}

/** Where the deepest part of `path` that the document has begins. */
function offsetOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly PropertyKey[],
): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && !isAlias(node) && node.range) return node.range[0]
  }
  return undefined
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? 'no such file' : oneLine((cause as Error).message)
    throw new TandemError('CONFIG_UNREADABLE', `${file}: ${why}`, {
      hint: 'give the path of a readable YAML file with --config FILE',
      cause,
    })
  }
}

type Where = (path: readonly PropertyKey[]) => string

/** A schema issue in the operator's words: the key with its place, and what is allowed there. */
function refusals(issue: z.core.$ZodIssue, where: Where): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((name) => unknownKey([...issue.path, name], where))
  const key = keyAt(issue.path)
  if (!key && issue.code === 'custom') return [`${where(issue.path)}: ${issue.message}`]
  if (!key)
    return [`${where(issue.path)}: expected keys below it, such as ${namesBelow(issue.path).join(', ')}`]
  // A rule about several keys speaks for itself; for a single value the schema knows what is allowed.
  if (issue.code === 'custom' && issue.message !== 'Invalid input')
    return [`${where(key.path)}: ${issue.message}`]
  const special = issue.code === 'custom' ? issue.params?.allowed : undefined
  // A URL that does not parse is just the one whose password cannot be found and hidden.
  const shown = issue.input === undefined || key.path.includes('url') ? '' : `${show(issue.input)} `
  return [`${where(issue.path)}: ${shown}is not allowed; expected ${special ?? key.allowed}`]
}

function unknownKey(path: PropertyKey[], where: Where): string {
  const siblings = namesBelow(path.slice(0, -1))
  const name = String(path.at(-1))
  const meant = nearest(name, siblings)
  const elsewhere = configKeys.find((key) => key.path.at(-1) === name)
  const advice =
    meant !== undefined
      ? `did you mean ${meant}?`
      : elsewhere
        ? `did you mean ${elsewhere.path.join('.')}?`
        : `allowed here: ${siblings.join(', ')}`
  return `${where(path)}: unknown key; ${advice}`
}

/** The key that `path` leads to or into (an element of a list). */
function keyAt(path: readonly PropertyKey[]): ConfigKey | undefined {
  return configKeys.find((key) => key.path.every((name, i) => name === path[i]))
}

function namesBelow(path: readonly PropertyKey[]): string[] {
  const below = configKeys.filter((key) => path.every((name, i) => name === key.path[i]))
  return [...new Set(below.map((key) => String(key.path[path.length])))]
}

function show(value: unknown): string {
  const readable = (_key: string, part: unknown) => (isHostPort(part) ? formatHostPort(part) : part)
  return hideSecrets(oneLine(JSON.stringify(value, readable) ?? String(value)))
}

const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim()

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base }
  for (const [name, value] of Object.entries(over)) {
    const below = merged[name] ?? {}
    // A scalar where a section belongs stays as it is: the schema then says so.
    if (!isObject(value)) merged[name] = value
    else if (isObject(below)) merged[name] = merge(below, value)
  }
  return merged
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isHostPort = (value: unknown): value is HostPort =>
  isObject(value) && typeof value.address === 'string' && typeof value.port === 'number'
