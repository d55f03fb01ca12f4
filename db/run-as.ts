import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { TandemError } from '../src/ops/errors.ts'

const USER = 'postgres'

/** Whom PostgreSQL runs as when we are root, which it refuses to be. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
}

/**
 * undefined for an ordinary user, who runs PostgreSQL himself. For root: user `postgres`, created if need be.
 * @throws TandemError EMBEDDED_FAILED
 */
export function runAs(): RunAs | undefined {
  if (process.getuid?.() !== 0) return undefined
  const found = lookUp()
  if (found) return found
  spawnSync('groupadd', [USER])
  spawnSync('useradd', ['-g', USER, USER])
  const created = lookUp()
  if (created) return created
  throw new TandemError(
    'EMBEDDED_FAILED',
    `PostgreSQL does not run as root, and user ${USER} cannot be created for it`,
    { hint: `start this as an ordinary user, or create user ${USER}` },
  )
}

function lookUp(): RunAs | undefined {
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number.parseInt(spawnSync('id', [flag, USER]).stdout?.toString(), 10),
  )
  return uid && gid ? { uid, gid } : undefined
}

/** Names the folder that stands in the way. @throws TandemError DATA_DIR_UNUSABLE */
export function requireEnterable(path: string, user: RunAs): void {
  const blocked = foldersOf(path).find((folder) => !canEnter(folder, user))
  if (blocked === undefined) return
  throw new TandemError(
    'DATA_DIR_UNUSABLE',
    `started by root, PostgreSQL runs as user ${USER}, who cannot enter ${blocked} on the way to ${path}`,
    { hint: `run \`chmod o+x ${blocked}\`, start this as an ordinary user, or use another folder` },
  )
}

/** From the root down. */
function foldersOf(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [...foldersOf(parent), path]
}

// Asking the kernel also answers for access lists and read-only or root-squashed mounts.
const canEnter = (folder: string, user: RunAs) =>
  spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...user, cwd: '/', stdio: 'ignore' }).status === 0
