import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TandemError } from '../src/ops/errors.ts'

/** Raised when what we keep in the data directory changes so that an older start cannot be continued. */
export const DATA_LAYOUT = 1

const FILE = 'VERSION'

/**
 * Creates the data directory, or makes sure that this release can go on with what is there. PostgreSQL of one
 * major version cannot read the files of another, and would say so in a way that helps nobody.
 */
export function prepareDataDir(dir: string, postgresMajor: number): void {
  const ours = `tandem ${DATA_LAYOUT}\npostgresql ${postgresMajor}\n`
  try {
    mkdirSync(dir, { recursive: true })
    const found = readVersion(dir)
    if (found === undefined) writeFileSync(join(dir, FILE), ours)
    else if (found !== ours) throw foreign(dir, found, postgresMajor)
  } catch (cause) {
    if (cause instanceof TandemError) throw cause
    throw new TandemError('DATA_DIR_UNUSABLE', `${dir}: ${(cause as Error).message}`, {
      hint: 'make it a directory this user can write to, or set up.dataDir (TANDEM_UP_DATA_DIR) to another',
      cause,
    })
  }
}

/** undefined: the directory is new. */
function readVersion(dir: string): string | undefined {
  const names = readdirSync(dir)
  if (names.includes(FILE)) return readFileSync(join(dir, FILE), 'latin1')
  return names.length === 0 ? undefined : ''
}

function foreign(dir: string, found: string, postgresMajor: number): TandemError {
  const match = /^tandem (\d+)\npostgresql (\d+)\n$/.exec(found)
  const problem = match
    ? `was written by a Tandem with data layout ${match[1]} and PostgreSQL ${match[2]}; this one has layout ${DATA_LAYOUT} and PostgreSQL ${postgresMajor}`
    : `holds files but no ${FILE} of Tandem's`
  return new TandemError('DATA_DIR_FOREIGN', `${dir} ${problem}`, {
    hint: 'move it away, start the release that wrote it, or set up.dataDir (TANDEM_UP_DATA_DIR) to another directory',
  })
}
