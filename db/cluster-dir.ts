import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { TandemError } from '../src/ops/errors.ts'
import { commandOf, parentOf } from './process-info.ts'

/** Part of the command line of the process that keeps PostgreSQL; see embedded-main.ts. */
const KEEPER = 'embedded-main'
const STOP_LIMIT_MS = 10_000
const MOVE_AWAY = 'move that folder away, or set up.dataDir to another'

/** Where things are in the data folder of an embedded PostgreSQL. */
export interface ClusterDir {
  /** The cluster, as PostgreSQL knows it (PGDATA). */
  readonly cluster: string
  /** Where a new cluster is made; it takes its place when it is complete. */
  readonly unfinished: string
  readonly passwordFile: string
}

/** Makes the data folder if need be. @throws TandemError DATA_DIR_UNUSABLE */
export function openClusterDir(dataDir: string): ClusterDir {
  try {
    mkdirSync(dataDir, { recursive: true })
    const dir = realpathSync(dataDir)
    return {
      cluster: join(dir, 'postgres'),
      unfinished: join(dir, 'postgres.new'),
      passwordFile: join(dir, 'postgres.password'),
    }
  } catch (cause) {
    throw new TandemError('DATA_DIR_UNUSABLE', `${dataDir} cannot be used: ${(cause as Error).message}`, {
      hint: 'make it a folder that this user can write to, or set up.dataDir to another',
      cause,
    })
  }
}

/**
 * Whether the cluster exists already.
 * @throws TandemError DATA_DIR_FOREIGN if it is not of this PostgreSQL's major version, or no cluster at all
 */
export function clusterExists({ cluster }: ClusterDir, major: number): boolean {
  if (!existsSync(cluster) || readdirSync(cluster).length === 0) return false
  const file = join(cluster, 'PG_VERSION')
  const found = existsSync(file) ? readFileSync(file, 'latin1').trim() : undefined
  if (found === String(major)) return true
  const what = found === undefined ? 'holds files that are not PostgreSQL’s' : `is of PostgreSQL ${found}`
  throw new TandemError('DATA_DIR_FOREIGN', `${cluster} ${what}; this release brings PostgreSQL ${major}`, {
    hint:
      found === undefined ? MOVE_AWAY : `${MOVE_AWAY}; to keep the data, dump it with the old release first`,
  })
}

/** The password of an existing cluster. @throws TandemError DATA_DIR_UNUSABLE */
export function readPassword({ passwordFile, cluster }: ClusterDir): string {
  try {
    return readFileSync(passwordFile, 'latin1').trim()
  } catch (cause) {
    throw new TandemError(
      'DATA_DIR_UNUSABLE',
      `${passwordFile}, the password of ${cluster}, cannot be read: ${(cause as Error).message}`,
      { hint: `put it back, or ${MOVE_AWAY}`, cause },
    )
  }
}

/** Clears away what a killed first start left, and makes the password of a new cluster. @throws TandemError DATA_DIR_UNUSABLE */
export function prepareNewCluster({ cluster, unfinished, passwordFile }: ClusterDir): string {
  try {
    rmSync(unfinished, { recursive: true, force: true })
    rmSync(cluster, { recursive: true, force: true })
    const password = randomBytes(18).toString('base64url')
    rmSync(passwordFile, { force: true })
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
    return password
  } catch (cause) {
    throw new TandemError(
      'DATA_DIR_UNUSABLE',
      `${passwordFile} cannot be written: ${(cause as Error).message}`,
      {
        hint: 'make its folder one that this user can write to, or set up.dataDir to another',
        cause,
      },
    )
  }
}

/** Process id in postmaster.pid, dead or alive; undefined without that file. */
export function postmasterPid({ cluster }: ClusterDir): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(cluster, 'postmaster.pid'), 'latin1'), 10) || undefined
  } catch {
    return undefined
  }
}

/**
 * Makes sure that no PostgreSQL runs on the cluster. One whose keeper was killed is stopped; a pid file that a crash
 * left is removed, because its number may by now be that of some other process, and PostgreSQL would not start.
 * @throws TandemError DATA_DIR_IN_USE
 */
export async function takeOver(dir: ClusterDir): Promise<void> {
  const pid = postmasterPid(dir)
  if (pid === undefined) return
  if (!isPostmasterOf(dir, pid)) {
    rmSync(join(dir.cluster, 'postmaster.pid'), { force: true })
    return
  }
  const keeper = parentOf(pid)
  if (commandOf(keeper).includes(KEEPER)) {
    throw new TandemError('DATA_DIR_IN_USE', `${dir.cluster} is in use by process ${keeper}`, {
      hint: 'stop the other `tandem up`, or set up.dataDir to another folder',
    })
  }
  await stopPostmaster(dir, pid)
}

function isPostmasterOf({ cluster }: ClusterDir, pid: number): boolean {
  const command = commandOf(pid)
  return command.includes('postgres') && command.includes(cluster)
}

async function stopPostmaster(dir: ClusterDir, pid: number): Promise<void> {
  const giveUpAt = performance.now() + STOP_LIMIT_MS
  try {
    process.kill(pid, 'SIGINT') // a fast shutdown
    while (isPostmasterOf(dir, pid) && performance.now() < giveUpAt) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  } catch {
    // Not ours to stop, or gone already: the check says which.
  }
  if (!isPostmasterOf(dir, pid)) return
  throw new TandemError('DATA_DIR_IN_USE', `${dir.cluster} is in use by PostgreSQL process ${pid}`, {
    hint: 'stop that process, or set up.dataDir to another folder',
  })
}
