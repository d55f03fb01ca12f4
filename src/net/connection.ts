import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Endpoint } from '../sip/endpoint.ts'
import { type FramingDefect, StreamFramer } from '../sip/framing.ts'

/** RFC 5626 §4.4.1. */
const PONG = '\r\n'

/** How long a connection that has been ended may take to end: what the peer has not read yet would be lost. */
const LINGER_MS = 2_000

export interface ConnectionLimits {
  /** How long opening a connection may take. */
  readonly connectSec: number
  /** How long one that was accepted may stay without a complete message. */
  readonly firstMessageSec: number
  /** How long a message that has begun may take to arrive, and how long the peer may read nothing of what is sent to it. */
  readonly messageSec: number
  /** How long nothing, not even a keep-alive, may come. */
  readonly idleSec: number
  /** What may wait to be sent. */
  readonly bufferBytes: number
  /** What is read in a second from one source, over all its connections. */
  readonly bytesPerSec: number
}

/** What has been read from one source since it was last reset. */
export interface ReadMeter {
  bytes: number
}

/** Why a connection was ended from this side. */
export type CutReason = 'unreachable' | 'silent' | 'slow' | 'unread' | 'idle' | 'crowded'

export interface ConnectionEvents {
  onMessages(texts: readonly string[], connection: Connection): void
  /** The stream has lost its frames; the connection is to be ended with an answer, or without. */
  onDefect(defect: FramingDefect, head: string, connection: Connection): void
  onPing(connection: Connection): void
  /** No longer usable: closed by the peer, cut, or ended here. What `unsent` holds has not been sent, or not been read. */
  onGone(connection: Connection, error: NodeJS.ErrnoException | undefined, unsent: readonly string[]): void
  /** The socket is closed. */
  onClosed(connection: Connection): void
}

export interface ConnectionOptions {
  readonly socket: Socket
  /** Ends the socket with all that it holds, at once. */
  readonly abort: () => void
  readonly remote: Endpoint
  readonly isAccepted: boolean
  readonly limits: ConnectionLimits
  /** Shared by the connections of a source. */
  readonly meter: ReadMeter
  readonly monotonicMs: () => number
}

// A restarted process must not give a flow of before its restart to somebody else.
let lastNumber = randomInt(2 ** 40)

/**
 * One connection that carries SIP as a stream, accepted or opened. It does not know whether the stream is encrypted. It
 * sets no timers: {@link overdue} and {@link readOn} are to be called every second.
 *
 * What is sent is written in one piece at {@link flush}, and the next piece when the system has taken that one, so that
 * it is known message by message what was not sent.
 */
export class Connection {
  /** Never given twice in the life of a process. */
  readonly number: number = ++lastNumber
  readonly remote: Endpoint
  readonly isAccepted: boolean
  readonly #socket: Socket
  readonly #abort: () => void
  readonly #limits: ConnectionLimits
  readonly #meter: ReadMeter
  readonly #events: ConnectionEvents
  readonly #framer = new StreamFramer()
  #state: 'connecting' | 'open' | 'ending' | 'closed'
  #error: NodeJS.ErrnoException | undefined
  #queue: string[] = []
  #queuedBytes = 0
  /** What the socket has been given and has not passed on yet. */
  #written: string[] = []
  #writtenBytes = 0
  #hasBroughtMessage = false
  // Times of the clock that `overdue` is told.
  #stateSinceMs: number
  #heardMs: number
  #messageSinceMs = Number.POSITIVE_INFINITY
  #writtenSinceMs = Number.POSITIVE_INFINITY
  readonly #monotonicMs: () => number

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    const { socket, remote, isAccepted, monotonicMs } = options
    this.remote = { ...remote, connection: this.number }
    this.isAccepted = isAccepted
    this.#socket = socket
    this.#abort = options.abort
    this.#limits = options.limits
    this.#meter = options.meter
    this.#events = events
    this.#monotonicMs = monotonicMs
    this.#state = isAccepted ? 'open' : 'connecting'
    this.#stateSinceMs = this.#heardMs = monotonicMs()
    socket.on('data', (chunk) => this.#received(chunk))
    // The peer reads no more either, as far as we can know: RFC 3261 knows no half-open connections.
    socket.on('end', () => this.end())
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('close', () => this.#closed())
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isConnecting(): boolean {
    return this.#state === 'connecting'
  }

  /** Waiting to be sent. */
  get waitingBytes(): number {
    return this.#queuedBytes + this.#writtenBytes
  }

  /** All that is kept for this connection: what waits to be sent, and an unfinished message. */
  get heldBytes(): number {
    return this.waitingBytes + this.#framer.pendingBytes
  }

  /** The connection that was being opened is there; what has been queued leaves. */
  opened(): void {
    if (this.#state !== 'connecting') return
    this.#enter('open')
    this.#heardMs = this.#stateSinceMs
    this.flush()
  }

  /** Queues a message. @returns false when there is no room for it, or nobody to send it to. */
  queue(text: string): boolean {
    const hasRoom = this.waitingBytes + text.length <= this.#limits.bufferBytes
    if (!hasRoom || (this.#state !== 'open' && this.#state !== 'connecting')) return false
    this.#queue.push(text)
    this.#queuedBytes += text.length
    return true
  }

  /** Writes what is queued, unless the socket still has some to write, or is not there yet. */
  flush(): void {
    if (this.#queue.length === 0 || this.#writtenBytes > 0) return
    if (this.#state === 'connecting' || this.#state === 'closed') return
    this.#written = this.#queue
    this.#writtenBytes = this.#queuedBytes
    this.#queue = []
    this.#queuedBytes = 0
    this.#writtenSinceMs = this.#monotonicMs()
    this.#socket.write(this.#written.join(''), 'latin1', this.#onWritten)
  }

  /** Sends what is queued, `last` after it, and closes; takes no more. */
  end(last = ''): void {
    if (this.#state === 'connecting') return this.cut()
    if (this.#state !== 'open') return
    if (last !== '') this.queue(last)
    this.#enter('ending')
    if (this.waitingBytes === 0) this.#socket.end()
    else this.flush()
    this.#events.onGone(this, undefined, [])
  }

  /** Closes at once; what is queued is not sent. */
  cut(error?: NodeJS.ErrnoException): void {
    if (this.#state === 'closed') return
    this.#error ??= error
    this.#abort()
    this.#leave()
  }

  /** Whether this connection has taken longer than it may, and with what. Never early. */
  overdue(nowMs: number): CutReason | 'lingering' | undefined {
    const { connectSec, firstMessageSec, messageSec, idleSec } = this.#limits
    const inStateMs = nowMs - this.#stateSinceMs
    if (this.#state === 'connecting') return inStateMs >= connectSec * 1000 ? 'unreachable' : undefined
    if (this.#state === 'ending') return inStateMs >= LINGER_MS ? 'lingering' : undefined
    if (this.#state === 'closed') return undefined
    if (nowMs - this.#messageSinceMs >= messageSec * 1000) return 'slow'
    if (nowMs - this.#writtenSinceMs >= messageSec * 1000) return 'unread'
    if (this.isAccepted && !this.#hasBroughtMessage && inStateMs >= firstMessageSec * 1000) return 'silent'
    return nowMs - this.#heardMs >= idleSec * 1000 ? 'idle' : undefined
  }

  /** A second is over: what is read is counted anew. */
  readOn(): void {
    this.#meter.bytes = 0
    if (this.#socket.isPaused()) this.#socket.resume()
  }

  #enter(state: 'open' | 'ending' | 'closed'): void {
    this.#state = state
    this.#stateSinceMs = this.#monotonicMs()
  }

  #received(chunk: Buffer): void {
    // What is not read the peer cannot send: nothing is lost, and the others have their turn.
    this.#meter.bytes += chunk.length
    if (this.#meter.bytes > this.#limits.bytesPerSec) this.#socket.pause()
    if (this.#state !== 'open') return
    const texts: string[] = []
    let defect: { readonly defect: FramingDefect; readonly head: string } | undefined
    let isPinged = false
    const frames = this.#framer.push(chunk)
    for (const frame of frames) {
      if (frame.kind === 'message') texts.push(frame.text)
      else if (frame.kind === 'ping') isPinged = true
      else if (frame.kind === 'defect') defect = frame
    }
    this.#heard(frames.length > 0, texts.length > 0)
    if (isPinged) this.#pong()
    if (texts.length > 0) this.#events.onMessages(texts, this)
    if (defect) this.#events.onDefect(defect.defect, defect.head, this)
  }

  /** Notes the times that {@link overdue} judges. */
  #heard(anything: boolean, message: boolean): void {
    const nowMs = this.#monotonicMs()
    if (anything) this.#heardMs = nowMs
    if (message) this.#hasBroughtMessage = true
    if (this.#framer.pendingBytes === 0) this.#messageSinceMs = Number.POSITIVE_INFINITY
    else if (message || this.#messageSinceMs > nowMs) this.#messageSinceMs = nowMs
  }

  #pong(): void {
    this.#events.onPing(this)
    if (this.queue(PONG)) this.flush()
  }

  // One function for all writes saves a closure each.
  readonly #onWritten = (error?: Error | null): void => {
    if (error) return
    this.#written = []
    this.#writtenBytes = 0
    this.#writtenSinceMs = Number.POSITIVE_INFINITY
    if (this.#queue.length > 0) this.flush()
    else if (this.#state === 'ending') this.#socket.end()
  }

  #closed(): void {
    this.#leave()
    this.#events.onClosed(this)
  }

  /** What cannot be sent any more is told once. */
  #leave(): void {
    const wasUsable = this.#state === 'open' || this.#state === 'connecting'
    const unsent = [...this.#written, ...this.#queue]
    this.#written = this.#queue = []
    this.#writtenBytes = this.#queuedBytes = 0
    this.#state = 'closed'
    if (wasUsable || unsent.length > 0) this.#events.onGone(this, this.#error, unsent)
  }
}
