import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The command line of a process, blanks between arguments; '' when there is no such process, or nobody can tell. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return process.platform === 'linux' ? '' : ps(pid, 'command=')
  }
}

/** The parent of a process; 0 when there is no such process. */
export function parentOf(pid: number): number {
  try {
    // proc(5): pid (comm) state ppid …; comm may hold anything, so count from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return process.platform === 'linux' ? 0 : Number(ps(pid, 'ppid='))
  }
}

const ps = (pid: number, column: string) =>
  (spawnSync('ps', ['-o', column, '-p', String(pid)], { encoding: 'utf8' }).stdout ?? '').trim()
