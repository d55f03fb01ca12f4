import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Phone } from './phone.ts'

interface Place {
  readonly address: string
  readonly port: number
}

/** A way into the cluster of which it is known by which worker it leads. */
export interface Door {
  readonly transport: 'UDP' | 'TCP'
  /** Where the worker speaks to the cluster: `127.0.0.1:5161`. */
  readonly worker: string
  send(text: string): void
}

/** Sockets at all workers of all stage-1 nodes, by UDP and by TCP, and one ear for all that comes back. */
export class Doors {
  readonly doors: Door[] = []
  readonly heard: string[] = []
  readonly #address: string
  readonly #closers: (() => void)[] = []

  private constructor(address: string) {
    this.#address = address
  }

  /**
   * Opens sockets until each of so many workers behind each edge has one of each transport. `probed` is a registered phone: the
   * Vias of what reaches it tell the way that it came.
   */
  static async open(
    address: string,
    edges: readonly Place[],
    workers: number,
    probed: Phone,
  ): Promise<Doors> {
    const doors = new Doors(address)
    for (const edge of edges) {
      for (const transport of ['UDP', 'TCP'] as const) {
        const found = new Set<string>()
        for (let tries = 0; found.size < workers; tries++) {
          if (tries === 60) throw new Error(`${found.size} of ${workers} workers found by ${transport}`)
          const send = await (transport === 'UDP' ? doors.#udp(edge) : doors.#tcp(edge))
          const worker = await doors.#workerBehind(send, transport, probed)
          if (found.has(worker)) continue
          found.add(worker)
          doors.doors.push({ transport, worker, send })
        }
      }
    }
    doors.heard.length = 0
    return doors
  }

  /** The first message that matches. */
  async hears(pattern: RegExp, limitMs = 10_000): Promise<string> {
    for (const until = Date.now() + limitMs; Date.now() < until; await pause(10)) {
      const message = this.heard.find((text) => pattern.test(text))
      if (message !== undefined) return message
    }
    throw new Error(`nothing like ${pattern} among\n${this.heard.join('\n')}`)
  }

  close(): void {
    for (const close of this.#closers) close()
  }

  /** A socket of its own that answers by UDP are sent to: what a phone has in its Via. */
  async listen(): Promise<number> {
    const socket = createSocket('udp4').bind(0, this.#address)
    await once(socket, 'listening')
    socket.on('message', (data) => void this.heard.push(data.toString('latin1')))
    this.#closers.push(() => socket.close())
    return socket.address().port
  }

  async #udp({ address, port }: Place): Promise<(text: string) => void> {
    const socket = createSocket('udp4').bind(0, this.#address)
    await once(socket, 'listening')
    socket.on('message', (data) => void this.heard.push(data.toString('latin1')))
    this.#closers.push(() => socket.close())
    return (text) => socket.send(Buffer.from(text, 'latin1'), port, address)
  }

  async #tcp({ address, port }: Place): Promise<(text: string) => void> {
    const socket = connect({ host: address, port, localAddress: this.#address })
    await once(socket, 'connect')
    let rest = ''
    socket.setEncoding('latin1').on('data', (data: string) => {
      // Nothing here has a body.
      const messages = (rest + data).split('\r\n\r\n')
      rest = messages.pop() ?? ''
      this.heard.push(...messages.map((text) => `${text}\r\n\r\n`))
    })
    socket.on('error', () => {})
    this.#closers.push(() => socket.destroy())
    return (text) => socket.write(text, 'latin1')
  }

  async #workerBehind(send: (text: string) => void, transport: string, probed: Phone): Promise<string> {
    const id = `probe-${Math.random()}`
    const here = probed.contact.slice(probed.contact.indexOf('@') + 1)
    const text = [
      `MESSAGE ${probed.aor} SIP/2.0`,
      `Via: SIP/2.0/${transport} ${here};branch=z9hG4bK${id};rport`,
      'Max-Forwards: 70',
      `From: <sip:door@example.org>;tag=${id}`,
      `To: <${probed.aor}>`,
      `Call-ID: ${id}`,
      'CSeq: 1 MESSAGE',
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
    const isIt = ({ headers }: Phone['requests'][number]) => headers['call-id'] === id
    for (let i = 0; i < 1500 && !probed.requests.some(isIt); i++) {
      if (i % 50 === 0) send(text)
      await pause(10)
    }
    // Above the sender's own: the edge that the member heard it from.
    const via = probed.requests.find(isIt)?.headers.via.at(-2)
    if (!via) throw new Error('the probe never arrived')
    return `${via.host}:${via.port}`
  }
}
