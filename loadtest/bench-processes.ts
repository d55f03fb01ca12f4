import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname, join } from 'node:path'
import type { LoadAddresses, LoadOrder, LoadResult } from './stage1-load.ts'

/** Starts a file of this folder, compiled as this one is, and waits until it says that it is ready. */
export async function started(name: string, order: object): Promise<ChildProcess> {
  const file = `${name}${extname(import.meta.filename)}`
  const child = fork(join(import.meta.dirname, file), [JSON.stringify(order)])
  const outcome = await Promise.race([
    once(child, 'message').then(() => undefined),
    once(child, 'exit').then(([status]) => new Error(`${file} ended with status ${status}`)),
  ])
  if (outcome) throw outcome
  return child
}

export async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.disconnect()
  await exit
}

/** The process that the load comes from, and stage 2's stand-in. */
export class Load {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(addresses: LoadAddresses): Promise<Load> {
    return new Load(await started('stage1-load', addresses))
  }

  async run<O extends LoadOrder>(order: O): Promise<Extract<LoadResult, { type: O['type'] }>> {
    this.#child.send(order)
    const [result] = await once(this.#child, 'message')
    return result
  }

  stop(): Promise<void> {
    return ended(this.#child)
  }
}

export const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN

export const median = (values: readonly number[]): number => quantile(values, 0.5)
