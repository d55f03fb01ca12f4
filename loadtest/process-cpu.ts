import { readdirSync, readFileSync } from 'node:fs'

/** CPU time that processes have used, in microseconds: all threads, user and kernel. Linux keeps it in nanoseconds. */
export function cpuUs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + processNs(pid), 0) / 1000
}

/** CPU time of each thread of processes, in microseconds, by thread id. */
export function threadsCpuUs(pids: readonly number[]): Map<string, number> {
  return new Map(pids.flatMap(threadsNs).map(([thread, ns]) => [thread, ns / 1000]))
}

/** A process and all that it has started. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  return [pid, ...children.flatMap((child) => processTree(Number(child)))]
}

const processNs = (pid: number): number => threadsNs(pid).reduce((sum, [, ns]) => sum + ns, 0)

function threadsNs(pid: number): [thread: string, ns: number][] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread): [string, number][] => {
    try {
      const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
      return [[thread, Number(ns)]]
    } catch {
      // It has just ended.
      return []
    }
  })
}
