import { type Config, type ConfigKey, configKeys } from './config-schema.ts'
import { formatHostPort, type HostPort } from './host-port.ts'
import { nearest } from './nearest.ts'

/** Variables of the command line itself; they are no keys of the configuration. */
export const commandVariables = {
  TANDEM_CONFIG: 'The configuration file, when `--config` is not given.',
  TANDEM_VERBOSE: '`1`: print the stack trace with an error, like `--verbose`.',
} as const

export interface Overrides {
  /** Nested like the configuration. */
  readonly values: Record<string, unknown>
  /** The variable that a value came from. */
  origin(path: readonly PropertyKey[]): string | undefined
  readonly problems: readonly string[]
}

/** Every key can be overridden: `stage1.edge` by TANDEM_STAGE1_EDGE. An empty variable counts as not set. */
export function environmentOverrides(env: NodeJS.ProcessEnv): Overrides {
  const values: Record<string, unknown> = {}
  const used: ConfigKey[] = []
  const problems: string[] = []
  const byVariable = new Map(configKeys.map((key) => [key.variable, key]))
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX) || text === undefined || text === '') continue
    const key = byVariable.get(variable)
    if (key) {
      used.push(key)
      put(values, key.path, fromText(key, text))
    } else if (!Object.hasOwn(commandVariables, variable) && !isServiceLink(variable, text)) {
      problems.push(unknownVariable(variable, [...byVariable.keys()]))
    }
  }
  const origin = (path: readonly PropertyKey[]) =>
    used.find((key) => key.path.every((name, i) => name === path[i]))?.variable
  return { values, origin, problems }
}

function fromText({ kind }: ConfigKey, text: string): unknown {
  switch (kind) {
    case 'number':
      return toNumber(text)
    case 'words':
      return text.trim() === NO_WORDS
        ? []
        : text
            .split(/[\s,]+/)
            .filter(Boolean)
            .map(toNumber)
    case 'urls':
      // A password may hold a comma: only one before the next URL separates.
      return text.split(/\s+|,(?=\s*postgres(?:ql)?:)/).filter(Boolean)
    case 'addresses':
      return text.split(/[\s,]+/).filter(Boolean)
    case 'text':
      return text
  }
}

// What is no number stays text, so that the refusal shows what was written.
const toNumber = (text: string) => (/^\s*-?\d+(?:\.\d+)?\s*$/.test(text) ? Number(text) : text)

function put(values: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path
  if (name === undefined) return
  if (rest.length === 0) {
    values[name] = value
    return
  }
  values[name] ??= {}
  put(values[name] as Record<string, unknown>, rest, value)
}

const PREFIX = 'TANDEM_'
/** Says in a variable, which counts as not set when it is empty, that a list is to be empty. */
const NO_WORDS = 'none'

function unknownVariable(variable: string, known: readonly string[]): string {
  // The prefix is not compared: it would make everything look alike.
  const meant = nearest(
    variable.slice(PREFIX.length),
    known.map((name) => name.slice(PREFIX.length)),
  )
  const advice = meant === undefined ? '`tandem config keys` lists them' : `did you mean ${PREFIX}${meant}?`
  return `${variable}: unknown variable; ${advice}`
}

/** The variables that give another process this configuration. */
export function toEnvironment(config: Config): Record<string, string> {
  return Object.fromEntries(
    configKeys
      .map((key): [string, string] => [key.variable, variableText(key, valueAt(config, key.path))])
      .filter(([, text]) => text !== ''),
  )
}

function valueAt(config: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((section, name) => (section as Record<string, unknown>)[name], config)
}

function variableText({ kind }: ConfigKey, value: unknown): string {
  return kind === 'words' && Array.isArray(value) && value.length === 0 ? NO_WORDS : toText(value)
}

function toText(value: unknown): string {
  if (Array.isArray(value)) return value.map(toText).join(' ')
  return typeof value === 'object' && value !== null ? formatHostPort(value as HostPort) : String(value)
}

/** Kubernetes and Docker set these for a service that happens to be called tandem, or tandem-something. */
function isServiceLink(variable: string, text: string): boolean {
  if (/_SERVICE_(?:HOST|PORT(?:_\w+)?)$/.test(variable)) return true
  if (/_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/.test(variable)) return true
  return variable.endsWith('_PORT') && /^(?:tcp|udp|sctp):\/\//.test(text)
}
