import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { WorkerChannel } from './worker-pool.ts'

const WORKER = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? 'worker-main.ts' : 'worker-main.js', import.meta.url),
)

/** Begins the process of a worker: of node:cluster, so that workers can share the port that TCP is accepted on. */
export function forkWorker(): WorkerChannel {
  // 'advanced' passes a large text as it is, where 'json' would have to quote it.
  cluster.setupPrimary({ exec: WORKER, args: [], serialization: 'advanced' })
  const worker = cluster.fork()
  // What is sent to a process that is gone is lost: its exit says so.
  worker.on('error', () => {})
  return {
    get pid() {
      return worker.process.pid
    },
    send: (message) => void (worker.isConnected() && worker.send(message)),
    kill: (signal) => worker.process.kill(signal),
    on: (event: string, listener: (...args: never[]) => void) => worker.process.on(event, listener as never),
  }
}
