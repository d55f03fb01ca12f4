import { createSocket, type Socket } from 'node:dgram'
import { setPriority } from 'node:os'
import type { Flood, FloodReport } from './flooder.ts'

/* A process of its own, so that what it does to the event loop is not measured as the delay of others. */

const TICK_MS = 5
/** Sockets that wait for answers at a time. */
const MAX_OPEN = 500

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Addresses in 127.0.0.0/8, which all belong to this host. */
const addressOf = (i: number) => `127.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`

class Flooding {
  readonly #flood: Flood
  readonly #report: FloodReport = { sent: 0, sources: 0, answers: {} }
  readonly #statuses: Record<string, number> = {}
  readonly #open: Socket[] = []

  constructor(flood: Flood) {
    this.#flood = flood
  }

  async run(): Promise<FloodReport> {
    const { sources, perSource, ratePerSec, lingerMs } = this.#flood
    const startMs = performance.now()
    for (let i = 0; i < sources; i++) {
      await this.#from(this.#flood.firstSource + i)
      const dueMs = (((i + 1) * perSource) / ratePerSec) * 1000
      const aheadMs = dueMs - (performance.now() - startMs)
      if (aheadMs > TICK_MS) await sleep(aheadMs)
    }
    await sleep(lingerMs)
    for (const socket of this.#open.splice(0)) socket.close()
    return { ...this.#report, answers: this.#statuses }
  }

  async #from(source: number): Promise<void> {
    const socket = createSocket({ type: 'udp4', lookup: (name, _, callback) => callback(null, name, 4) })
    socket.on('message', (data) => {
      const status = data.toString('latin1', 8, 11)
      this.#statuses[status] = (this.#statuses[status] ?? 0) + 1
    })
    socket.on('error', () => {})
    const address = addressOf(source)
    await new Promise<void>((resolve) => socket.bind({ address, port: 0, exclusive: true }, resolve))
    this.#report.sources++
    this.#open.push(socket)
    if (this.#open.length > MAX_OPEN) this.#open.shift()?.close()
    await this.#send(socket, address)
  }

  async #send(socket: Socket, address: string): Promise<void> {
    const { texts, to, perSource, ratePerSec } = this.#flood
    const startMs = performance.now()
    for (let n = 0; n < perSource; n++) {
      const template = texts[n % texts.length] ?? ''
      const text = template
        .replaceAll('%source%', `${address}:${socket.address().port}`)
        .replaceAll('%n%', `${address}-${n}`)
      socket.send(Buffer.from(text, 'latin1'), to.port, to.address, () => {})
      this.#report.sent++
      const aheadMs = ((n + 1) / ratePerSec) * 1000 - (performance.now() - startMs)
      if (perSource > 1 && aheadMs > TICK_MS) await sleep(aheadMs)
    }
  }
}

// An attacker's processor is another than ours.
setPriority(15)

process.on('message', (flood: Flood) => {
  void new Flooding(flood).run().then((report) => process.send?.(report))
})
process.on('disconnect', () => process.exit(0))
