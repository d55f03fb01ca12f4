import type pg from 'pg'
import { Backoff } from './backoff.ts'
import type { Log, Subscription } from './database.ts'

type Handler = (payload: string | undefined) => void

/** A server that vanished without a word is noticed by this many milliseconds of silence. */
const CHECK_MS = 10_000

/**
 * The one connection that hears notifications. It comes back by itself, listens again, and then tells every handler
 * to re-read, because what was sent meanwhile is lost.
 */
export class Listener {
  readonly #connect: () => Promise<pg.Client>
  readonly #log: Log
  readonly #backoff = new Backoff(100, 5_000)
  readonly #handlers = new Map<string, Set<Handler>>()
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #connecting: Promise<void> | undefined
  #asked: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(connect: () => Promise<pg.Client>, log: Log) {
    this.#connect = connect
    this.#log = log
  }

  subscribe(channel: string, handler: Handler): Subscription {
    const handlers = this.#handlers.get(channel) ?? new Set()
    this.#handlers.set(channel, handlers.add(handler))
    if (!this.#client) this.#start()
    else if (handlers.size === 1) this.#listenTo(this.#client, [channel])
    return { stop: () => void handlers.delete(handler) }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#connecting
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => undefined)
  }

  #start(): void {
    if (this.#closed || this.#connecting || this.#client) return
    clearTimeout(this.#timer)
    this.#connecting = this.#open().finally(() => {
      this.#connecting = undefined
    })
  }

  async #open(): Promise<void> {
    try {
      const client = await this.#connect()
      if (this.#closed) return void (await client.end().catch(() => undefined))
      this.#client = client
      client.on('notification', ({ channel, payload }) => this.#tell(channel, payload ?? ''))
      client.once('error', () => this.#lost(client))
      client.once('end', () => this.#lost(client))
      this.#backoff.reset()
      this.#listenTo(client, [...this.#handlers.keys()])
      this.#checkLater(client)
    } catch (error) {
      this.#log.debug({ err: error }, 'cannot listen to the database')
      this.#retryLater()
    }
  }

  #listenTo(client: pg.Client, channels: string[]): void {
    const text = channels.map((channel) => `listen ${client.escapeIdentifier(channel)}`).join(';')
    this.#ask(client, text).then(
      () => {
        for (const channel of channels) this.#tell(channel, undefined)
      },
      () => this.#lost(client),
    )
  }

  /** The driver wants one statement at a time. */
  #ask(client: pg.Client, text: string): Promise<unknown> {
    const answer = this.#asked.catch(() => undefined).then(() => client.query(text))
    this.#asked = answer
    return answer
  }

  #tell(channel: string, payload: string | undefined): void {
    for (const handler of this.#handlers.get(channel) ?? []) {
      try {
        handler(payload)
      } catch (error) {
        this.#log.error({ err: error, channel }, 'a handler of notifications failed')
      }
    }
  }

  /** TCP alone may take a quarter of an hour to notice that the other side is gone. */
  #checkLater(client: pg.Client): void {
    this.#timer = setTimeout(() => {
      this.#ask(client, 'select 1').then(
        () => this.#client === client && this.#checkLater(client),
        () => this.#lost(client),
      )
    }, CHECK_MS)
    this.#timer.unref()
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#closed) return
    this.#client = undefined
    this.#log.warn('no longer hears the database; reconnecting')
    client.end().catch(() => undefined)
    this.#retryLater()
  }

  #retryLater(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#start(), this.#backoff.fail())
    this.#timer.unref()
  }
}
