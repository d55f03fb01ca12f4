import { createHash, randomUUID } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'

/*
 * Registrations with digest from many users over one socket, in a process of its own: forked, it gets a LoadOrder,
 * answers with a LoadResult, and so on. Each user is challenged once and then counts his nonce up.
 */

export interface LoadOrder {
  readonly users: number
  readonly from: string
  readonly to: { readonly address: string; readonly port: number }
  readonly domain: string
  readonly seconds: number
  /** Requests a second, open loop; without it as many as the server takes, `window` of them open at a time. */
  readonly rate?: number
  readonly window: number
}

export interface LoadResult {
  readonly registered: number
  /** Answers other than 200 after the challenge, and requests without an answer. */
  readonly failed: number
  readonly seconds: number
  /** Of answered ones, in ms. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the load's own process, of one core. */
  readonly busy: number
}

/** CSeq starts anew with every load, so Call-IDs must differ. */
const CALL_ID = randomUUID()
const ANSWER_LIMIT_MS = 5_000
const TICK_MS = 1

export const userName = (i: number): string => `u${String(i).padStart(7, '0')}`
export const password = (user: string): string => `${user}-secret`

interface User {
  readonly name: string
  readonly ha1: string
  nonce: string
  count: number
  cseq: number
  sentMs: number
}

class RegisterLoad {
  readonly #order: LoadOrder
  readonly #socket: Socket
  readonly #users: User[]
  readonly #ha2: string
  readonly #delays: number[] = []
  #next = 0
  #open = 0
  #failed = 0
  #isOver = false

  constructor(order: LoadOrder, socket: Socket, users: User[]) {
    this.#order = order
    this.#socket = socket
    this.#users = users
    this.#ha2 = md5(`REGISTER:sip:${order.domain}`)
  }

  /** Challenges every user that has no nonce, once. */
  async prepare(): Promise<void> {
    const strangers = this.#users.filter(({ nonce }) => nonce === '')
    this.#socket.on('message', this.#receive)
    for (let i = 0; i < strangers.length; i += this.#order.window) {
      for (const user of strangers.slice(i, i + this.#order.window)) this.#send(user)
      await this.#drained()
    }
  }

  async run(): Promise<LoadResult> {
    this.#delays.length = 0
    this.#failed = 0
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    const endMs = startMs + this.#order.seconds * 1000
    if (this.#order.rate === undefined) {
      for (let i = 0; i < this.#order.window; i++) this.#send(this.#user())
      await until(() => performance.now() >= endMs)
    } else await this.#steadily(this.#order.rate, startMs, endMs)
    this.#isOver = true
    const seconds = (performance.now() - startMs) / 1000
    const registered = this.#delays.length
    await this.#drained()
    const { user, system } = process.cpuUsage(cpu)
    this.#socket.off('message', this.#receive)
    const sorted = Float64Array.from(this.#delays).sort()
    const at = (part: number) => sorted[Math.floor(sorted.length * part)] ?? Number.NaN
    return {
      registered,
      failed: this.#failed,
      seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      busy: (user + system) / 1e6 / seconds,
    }
  }

  async #steadily(rate: number, startMs: number, endMs: number): Promise<void> {
    let sent = 0
    for (let nowMs = startMs; nowMs < endMs; nowMs = performance.now()) {
      for (const due = ((nowMs - startMs) / 1000) * rate; sent < due; sent++) this.#send(this.#user())
      await new Promise((resolve) => setTimeout(resolve, TICK_MS))
    }
  }

  /** In turn, so that nobody has two requests open. */
  #user(): User {
    const user = this.#users[this.#next]
    this.#next = (this.#next + 1) % this.#users.length
    return user as User
  }

  /** All answered; what is not after a while never will be. */
  async #drained(): Promise<void> {
    const giveUpMs = performance.now() + ANSWER_LIMIT_MS
    await until(() => this.#open === 0 || performance.now() > giveUpMs)
    this.#failed += this.#open
    this.#open = 0
  }

  #send(user: User): void {
    const { domain, from, to } = this.#order
    const { port } = this.#socket.address()
    user.sentMs = performance.now()
    user.cseq++
    this.#open++
    const text =
      `REGISTER sip:${domain} SIP/2.0\r\n` +
      `Via: SIP/2.0/UDP ${from}:${port};branch=z9hG4bK${user.name}.${user.cseq}\r\n` +
      'Max-Forwards: 70\r\n' +
      `From: <sip:${user.name}@${domain}>;tag=f${user.name}\r\n` +
      `To: <sip:${user.name}@${domain}>\r\n` +
      `Call-ID: ${user.name}-${CALL_ID}\r\n` +
      `CSeq: ${user.cseq} REGISTER\r\n` +
      `Contact: <sip:${user.name}@192.0.2.${Number(user.name.slice(-2))}:5060;transport=udp>;expires=3600\r\n` +
      this.#authorization(user) +
      'User-Agent: Load 1.0\r\n' +
      'Content-Length: 0\r\n\r\n'
    this.#socket.send(text, to.port, to.address)
  }

  #authorization(user: User): string {
    if (user.nonce === '') return ''
    const { domain } = this.#order
    const nc = (++user.count).toString(16).padStart(8, '0')
    const cnonce = `c${user.cseq}`
    const response = md5(`${user.ha1}:${user.nonce}:${nc}:${cnonce}:auth:${this.#ha2}`)
    return (
      `Authorization: Digest username="${user.name}", realm="${domain}", nonce="${user.nonce}", ` +
      `uri="sip:${domain}", response="${response}", algorithm=MD5, qop=auth, nc=${nc}, cnonce="${cnonce}"\r\n`
    )
  }

  readonly #receive = (data: Buffer): void => {
    const text = data.toString('latin1')
    const [, index, cseq] = /branch=z9hG4bKu(\d+)\.(\d+)/.exec(text) ?? []
    const user = this.#users[Number(index)]
    // A repeated answer, or one that came too late.
    if (!user || user.cseq !== Number(cseq) || user.sentMs === 0) return
    const status = Number(text.slice(8, 11))
    if (status < 200) return
    this.#open--
    const delayMs = performance.now() - user.sentMs
    user.sentMs = 0
    if (status === 401) {
      user.nonce = /nonce="([^"]+)"/.exec(text)?.[1] ?? ''
      user.count = 0
    }
    if (status === 200) this.#delays.push(delayMs)
    else if (status !== 401) this.#failed++
    if (this.#order.rate === undefined && this.#delays.length > 0 && !this.#isOver) this.#send(this.#user())
  }
}

const md5 = (text: string) => createHash('md5').update(text).digest('hex')

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

let users: User[] = []
let socket: Socket | undefined

process.on('message', async (order: LoadOrder) => {
  if (!socket) {
    socket = createSocket({ type: 'udp4', lookup: (host, _options, done) => done(null, host, 4) })
    // Listening before the call: with a lookup that answers at once, so does the event.
    const listening = once(socket, 'listening')
    socket.bind({ address: order.from, port: 0 })
    await listening
    socket.setRecvBufferSize(8 << 20)
    const names = Array.from({ length: order.users }, (_, i) => userName(i))
    users = names.map((name) => {
      const ha1 = md5(`${name}:${order.domain}:${password(name)}`)
      return { name, ha1, nonce: '', count: 0, cseq: 0, sentMs: 0 }
    })
  }
  const load = new RegisterLoad(order, socket, users)
  await load.prepare()
  process.send?.(await load.run())
})
process.on('disconnect', () => process.exit())
