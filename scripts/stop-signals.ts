import type { EventEmitter } from 'node:events'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

// One Ctrl-C under `npm start` arrives twice: from the terminal, and passed on by npm.
const ECHO_MS = 500

/** Resolves with the first signal that asks to stop. A later one, such as an impatient second Ctrl-C, calls `force`. */
export function whenAskedToStop(
  force: () => void,
  source: EventEmitter = process,
  nowMs: () => number = () => performance.now(),
): Promise<string> {
  return new Promise((resolve) => {
    let firstAtMs: number | undefined
    const asked = (signal: string) => {
      if (firstAtMs === undefined) {
        firstAtMs = nowMs()
        resolve(signal)
      } else if (nowMs() - firstAtMs > ECHO_MS) force()
    }
    for (const signal of SIGNALS) source.on(signal, asked)
  })
}
