/**
 * Every failure that an operator can cause or has to know about, with a code that stays the same between
 * releases. What is not in this table is a bug, or broken infrastructure that nobody expected.
 */

export const exitStatus = { failure: 1, usage: 2, bug: 70 } as const

/** Code → what it means, in one line, and the exit status of a command that ends with it. */
export const errorCodes = {
  USAGE: { exit: exitStatus.usage, meaning: 'The command line is wrong: unknown command, option or value.' },
  CONFIG_UNREADABLE: {
    exit: exitStatus.usage,
    meaning: 'The configuration file is missing or cannot be read.',
  },
  CONFIG_SYNTAX: { exit: exitStatus.usage, meaning: 'The configuration file is not valid YAML.' },
  CONFIG_INVALID: {
    exit: exitStatus.usage,
    meaning:
      'A key of the configuration, or a TANDEM_ variable, is unknown or has a value that is not allowed.',
  },
  PORT_TAKEN: {
    exit: exitStatus.failure,
    meaning: 'Another process already listens on an address Tandem needs.',
  },
  PORT_FORBIDDEN: {
    exit: exitStatus.failure,
    meaning: 'The system does not let this user listen on that port (usually one below 1024).',
  },
  ADDRESS_UNAVAILABLE: {
    exit: exitStatus.failure,
    meaning: 'A configured address does not belong to this host.',
  },
  UDP_ADDON_UNAVAILABLE: {
    exit: exitStatus.failure,
    meaning: 'The configuration demands batched UDP, and the native addon for it cannot be loaded.',
  },
  DATABASE_UNREACHABLE: { exit: exitStatus.failure, meaning: 'No configured PostgreSQL answers.' },
  DATABASE_REFUSED: {
    exit: exitStatus.failure,
    meaning: 'PostgreSQL answers but refuses the user, the password or the database name.',
  },
  DATABASE_READ_ONLY: {
    exit: exitStatus.failure,
    meaning: 'PostgreSQL answers, but none of the configured servers accepts writes.',
  },
  DATABASE_TOO_OLD: { exit: exitStatus.failure, meaning: 'The PostgreSQL server is older than version 14.' },
  DATABASE_SCHEMA: {
    exit: exitStatus.failure,
    meaning: 'The tables are missing, older or newer than this release of Tandem expects.',
  },
  MAP_REFUSED: {
    exit: exitStatus.failure,
    meaning: 'The database refused an edit of the partition map; the map is as it was.',
  },
  MAP_MISSING: {
    exit: exitStatus.failure,
    meaning: 'The database has its tables but no partition map: nobody owns the slots.',
  },
  KEYS_IN_USE: {
    exit: exitStatus.failure,
    meaning: 'A rotation of the cluster keys was refused: nodes or registrations still need the old ones.',
  },
  MIGRATION_FAILED: { exit: exitStatus.failure, meaning: 'A migration failed; nothing of it was applied.' },
  EMBEDDED_FAILED: {
    exit: exitStatus.failure,
    meaning: 'The embedded PostgreSQL of `tandem up` could not be created or started.',
  },
  DATA_DIR_FOREIGN: {
    exit: exitStatus.failure,
    meaning:
      'The data directory was written by another version of Tandem or PostgreSQL, or by another program.',
  },
  DATA_DIR_IN_USE: {
    exit: exitStatus.failure,
    meaning: 'Another `tandem up` is running on the same data directory.',
  },
  DATA_DIR_UNUSABLE: {
    exit: exitStatus.failure,
    meaning: 'The data directory cannot be created, read or written.',
  },
  NODE_FAILED: { exit: exitStatus.failure, meaning: 'A process of `tandem up` did not become ready.' },
  SPOOL_UNREADABLE: {
    exit: exitStatus.failure,
    meaning: 'There is a spool of registrations in stateDir that cannot be opened.',
  },
  NODE_UNKNOWN: {
    exit: exitStatus.failure,
    meaning: 'The configured node name is not in the partition map, or belongs to another stage.',
  },
} as const satisfies Record<string, { exit: number; meaning: string }>

export type ErrorCode = keyof typeof errorCodes

export class TandemError extends Error {
  override readonly name = 'TandemError'
  readonly code: ErrorCode
  /** What to do about it, as an imperative, without a full stop. */
  readonly hint: string | undefined

  /** `message` may hold several lines, one problem each. */
  constructor(code: ErrorCode, message: string, more: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.hint = more.hint
  }
}

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(errorCodes, code)

/** The lines an operator sees, each complete in itself: `tandem: CODE: what is wrong; what to do`. */
export function errorLines(error: TandemError): string[] {
  const hint = error.hint === undefined ? '' : `; ${error.hint}`
  return error.message.split('\n').map((line) => `tandem: ${error.code}: ${line}${hint}`)
}

/**
 * A refused listen or bind as the operator's error, or undefined when it is none of theirs.
 * `option` is the key that moves the address.
 */
export function listenError(cause: unknown, what: string, option: string): TandemError | undefined {
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'EADDRINUSE':
      return new TandemError('PORT_TAKEN', `${what} is taken by another process`, {
        hint: `stop it, or set ${option}`,
        cause,
      })
    case 'EACCES':
      return new TandemError('PORT_FORBIDDEN', `this user may not listen on ${what}`, {
        hint: `set ${option} to a port above 1023, or grant CAP_NET_BIND_SERVICE`,
        cause,
      })
    case 'EADDRNOTAVAIL':
      return new TandemError('ADDRESS_UNAVAILABLE', `${what} is not an address of this host`, {
        hint: `set ${option} to an address that \`ip address\` lists`,
        cause,
      })
    default:
      return undefined
  }
}
