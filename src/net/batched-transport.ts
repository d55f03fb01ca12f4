import { isIP, isIPv6 } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { listenError, TandemError } from '../ops/errors.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import { Inbox } from './inbox.ts'
import { Outbox } from './outbox.ts'
import { TargetWriter } from './peer-words.ts'
import {
  BUFFER_BYTES,
  type TransportEvents,
  type UdpCounters,
  type UdpOptions,
  type UdpTransport,
} from './transport.ts'
import { Turn } from './turn.ts'
import { loadUdpAddon, type NativeSocket, type UdpAddon } from './udp-addon.ts'

/** Longest payload over IPv4 and IPv6: 65,535 less the headers. */
const MAX_BYTES = { ipv4: 65_507, ipv6: 65_527 } as const

/** Errors that a connected socket has because of a message that was sent before. */
const ABOUT_EARLIER: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOPROTOOPT',
  'EPROTO',
])

interface Failure {
  readonly error: NodeJS.ErrnoException
  readonly to: Endpoint | undefined
}

/** What the sockets of one thread share. */
interface Shared {
  readonly addon: UdpAddon
  readonly inbox: Inbox
  readonly turn: Turn
}

let shared: Shared | undefined

/**
 * UDP by batches through the native addon: one system call fetches up to 64 messages, one sends all that answering them has
 * queued. A message waits for nothing but the others of its batch.
 *
 * When the kernel takes no more (its send buffer is full), up to 256 messages wait; further ones are lost, as they would be on
 * any full link, and counted.
 */
export class BatchedTransport implements UdpTransport {
  readonly local: Endpoint
  readonly buffers: UdpTransport['buffers']
  readonly #shared: Shared
  readonly #events: TransportEvents
  readonly #peer: Endpoint | undefined
  readonly #socket: NativeSocket
  readonly #ipv6: boolean
  readonly #targets: TargetWriter
  readonly #outbox = new Outbox()
  readonly #counters: UdpCounters = {
    received: 0,
    batches: 0,
    sent: 0,
    failed: 0,
    overflowed: 0,
    dropped: 0,
  }
  /** What failed before it got into the outbox. */
  #failures: Failure[] = []
  /** Whether the end of the turn will flush it. */
  #queued = false
  /** Whether the kernel has taken no more, until it says that it does. */
  #blocked = false
  /** The message that was tried a second time. */
  #retried = -1
  #closed = false

  private constructor(options: UdpOptions, events: TransportEvents) {
    const { address, port, peer, bufferBytes = BUFFER_BYTES } = options
    this.#shared = sharedOfThread()
    this.#events = events
    this.#peer = peer
    this.#ipv6 = isIPv6(address)
    const { addon } = this.#shared
    if (peer && isIP(peer.address) === 0) throw errorOf('EINVAL', 'connect', peer)
    this.#targets = new TargetWriter(addon, this.#ipv6)
    const socket = addon.open(
      {
        address,
        port,
        peerAddress: peer?.address,
        peerPort: peer?.port,
        reusePort: options.shared ?? false,
        receiveBufferBytes: bufferBytes,
        sendBufferBytes: bufferBytes,
        bytes: this.#outbox.bytes,
        bounds: this.#outbox.bounds,
        targets: this.#outbox.targets,
      },
      (received, writable) => this.#ready(received, writable),
    )
    if (typeof socket === 'number') throw systemError(socket, 'open')
    this.#socket = socket
    const [localAddress, localPort, receiveBytes, sendBytes] = addon.status(socket)
    this.local = { transport: 'udp', address: localAddress, port: localPort }
    this.buffers = { receiveBytes, sendBytes }
  }

  /** @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE, UDP_ADDON_UNAVAILABLE */
  static async open(options: UdpOptions, events: TransportEvents): Promise<BatchedTransport> {
    try {
      return new BatchedTransport(options, events)
    } catch (error) {
      throw listenError(error, `UDP ${options.address} port ${options.port}`, options.option) ?? error
    }
  }

  get counters(): UdpCounters {
    return { ...this.#counters, dropped: this.#shared.addon.drops(this.#socket) }
  }

  send(text: string, to: Endpoint): void {
    if (this.#closed) return
    if (text.length > (this.#ipv6 ? MAX_BYTES.ipv6 : MAX_BYTES.ipv4)) return this.#fail('EMSGSIZE', to)
    const outbox = this.#outbox
    // A full outbox is sent at once; it stays full if the kernel takes nothing.
    if (!outbox.hasRoom(text.length)) this.#transmit()
    if (!outbox.hasRoom(text.length)) {
      this.#counters.overflowed++
      return this.#fail('ENOBUFS', to)
    }
    if (!this.#peer && !this.#targets.write(to, outbox.targets, outbox.end)) return this.#fail('EINVAL', to)
    outbox.add(text, this.#peer ?? to)
    this.#queue()
  }

  /** Sends what is queued and reports what could not be; called at the end of the turn. */
  flush(): void {
    // Failures that the transmission adds are reported below.
    this.#queued = true
    this.#transmit()
    this.#queued = false
    if (this.#failures.length === 0) return
    const failures = this.#failures
    this.#failures = []
    for (const { error, to } of failures) if (!this.#closed) this.#events.onError(error, to)
  }

  /** What is queued leaves first, as far as the kernel takes it at once. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#transmit()
    this.#counters.failed += this.#outbox.end - this.#outbox.first
    this.#closed = true
    this.#shared.addon.close(this.#socket)
  }

  #ready(received: number, writable: boolean): void {
    if (writable) {
      this.#blocked = false
      this.flush()
    }
    // Who heard of a failure may have closed it.
    if (this.#closed) return
    if (received > 0) this.#deliver(received)
    else if (received < 0) this.#events.onError(systemError(received, 'recvmmsg'), this.#peer)
  }

  #deliver(received: number): void {
    const { inbox, turn } = this.#shared
    this.#counters.batches++
    this.#counters.received += received
    inbox.length = received
    inbox.ipv6 = this.#ipv6
    turn.begin()
    try {
      this.#events.onMessages(inbox, this)
    } finally {
      turn.end()
    }
  }

  #queue(): void {
    if (this.#queued || this.#blocked) return
    this.#queued = true
    this.#shared.turn.add(this)
  }

  #fail(code: string, to: Endpoint | undefined): void {
    this.#counters.failed++
    this.#failures.push({ error: errorOf(code, 'send', to), to })
    if (this.#queued) return
    this.#queued = true
    this.#shared.turn.add(this)
  }

  #transmit(): void {
    const outbox = this.#outbox
    if (this.#blocked || this.#closed) return
    while (!outbox.isEmpty) {
      const sent = this.#shared.addon.send(this.#socket, outbox.first, outbox.end - outbox.first)
      if (sent >= 0) {
        outbox.first += sent
        this.#counters.sent += sent
      } else if (!this.#refused(getSystemErrorName(sent))) return
    }
    outbox.reset()
    this.#retried = -1
  }

  /** Deals with the error of the first message of the outbox; false if it has to wait. */
  #refused(code: string): boolean {
    const { first } = this.#outbox
    if (code === 'EAGAIN') {
      this.#blocked = true
      this.#shared.addon.awaitWritable(this.#socket)
      return false
    }
    const to = this.#outbox.to(first)
    if (this.#peer && ABOUT_EARLIER.has(code) && this.#retried !== first) {
      // Having been told, the kernel sends the message at the second try.
      this.#retried = first
      this.#failures.push({ error: errorOf(code, 'send', to), to })
      this.#queue()
      return true
    }
    this.#outbox.first++
    this.#fail(code, to)
    return true
  }
}

function sharedOfThread(): Shared {
  if (shared) return shared
  const addon = loadUdpAddon()
  if (addon instanceof Error) {
    throw new TandemError('UDP_ADDON_UNAVAILABLE', `no batched UDP: ${addon.message}`, {
      hint: 'run `npm run build:addon`, or set net.udp to auto or dgram',
    })
  }
  shared = { addon, inbox: new Inbox(addon), turn: new Turn() }
  return shared
}

const systemError = (errno: number, syscall: string) => errorOf(getSystemErrorName(errno), syscall, undefined)

function errorOf(code: string, syscall: string, to: Endpoint | undefined): NodeJS.ErrnoException {
  const where = to ? ` ${to.address}:${to.port}` : ''
  return Object.assign(new Error(`${syscall} ${code}${where}`), { code, syscall })
}
