import { createHash } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { SeededRandom } from './seeded-random.ts'

const DOMAIN = 'example.com'
const RETRANSMIT_MS = [500, 1_500, 3_500, 7_500]
const GIVE_UP_MS = 11_500
/** Longer than anything stands still or is cut off. */
const LINGERS_MS = 30_000
const MOST_CONTACTS = 4
const HISTORY = 40

export const restlessUser = (n: number): string => `u${n}`
/** MD5 of user:realm:password, as table `subscriber` wants it. */
export const restlessHa1 = (user: string): string => md5(`${user}:${DOMAIN}:secret`)

const md5 = (text: string): string => createHash('md5').update(text).digest('hex')

/** Whether a contact must be there: the answer to what would have changed it may never have come. */
type Certainty = 'present' | 'absent' | 'maybe'

interface Known {
  certainty: Certainty
  /** Of the last REGISTER that named it. */
  callId: string
  atMs: number
}

/** One REGISTER: the contacts it adds or refreshes, and those it removes. */
interface Change {
  readonly add: readonly string[]
  readonly remove: readonly string[]
  readonly all?: boolean
}

interface Pending {
  onAnswer(status: number, text: string): void
}

export interface RestlessOptions {
  /** Address of its own, on which all contacts are. */
  readonly address: string
  readonly servers: readonly { readonly address: string; readonly port: number }[]
  readonly count: number
  readonly random: SeededRandom
}

/**
 * Many phones that register, move, and leave all the time, and know what has been acknowledged: which contacts must be
 * there, and which must not. Every REGISTER goes to one server after the other until somebody answers.
 */
export class RestlessPhones {
  /** Final answers, by status and reason. */
  readonly answers = new Map<string, number>()
  /** What was answered in a way that cannot be right. */
  readonly wrongs: string[] = []
  readonly #options: RestlessOptions
  readonly #socket: Socket
  readonly #phones: RestlessPhone[]
  readonly #pending = new Map<string, Pending>()
  readonly #received = new Map<string, Set<string>>()
  #branches = 0
  #isStopped = false

  private constructor(options: RestlessOptions, socket: Socket) {
    this.#options = options
    this.#socket = socket
    this.#phones = Array.from({ length: options.count }, (_, n) => new RestlessPhone(restlessUser(n), this))
    socket.on('message', (data, from) => this.#receive(data.toString('latin1'), from))
    socket.on('error', () => {})
  }

  static async open(options: RestlessOptions): Promise<RestlessPhones> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
    socket.bind({ address: options.address, port: 0 })
    await once(socket, 'listening')
    return new RestlessPhones(options, socket)
  }

  get random(): SeededRandom {
    return this.#options.random
  }

  get place(): string {
    const { address, port } = this.#socket.address()
    return `${address}:${port}`
  }

  /** Registers at this rate, as far as there are phones that do not wait for an answer, until {@link stop}. */
  async run(perSec: number): Promise<void> {
    const startedMs = performance.now()
    const work = new Set<Promise<void>>()
    for (let begun = 0; !this.#isStopped; ) {
      const due = ((performance.now() - startedMs) / 1000) * perSec
      for (; begun < due; begun++) {
        const phone = this.random.pick(this.#phones)
        if (phone.isBusy) continue
        const done = phone.change().finally(() => work.delete(done))
        work.add(done)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await Promise.all(work)
  }

  /** No more changes; those under way are waited for by {@link run}. */
  stop(): void {
    this.#isStopped = true
  }

  async close(): Promise<void> {
    this.#socket.close()
    await once(this.#socket, 'close')
  }

  /** What must and must not be there, by user, and what he did last. */
  expectations(): { user: string; present: string[]; absent: string[]; history: readonly string[] }[] {
    return this.#phones.map((phone) => ({
      user: phone.user,
      history: phone.history,
      present: phone.contacts('present'),
      absent: phone.contacts('absent'),
    }))
  }

  /** Where a MESSAGE to a user comes out: its contacts as the system has them. */
  async whereabouts(user: string): Promise<ReadonlySet<string>> {
    const reached = new Set<string>()
    this.#received.set(user, reached)
    await this.request(
      (branch) =>
        `MESSAGE sip:${user}@${DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP ${this.place};branch=${branch};rport\r\n` +
        `Max-Forwards: 70\r\nFrom: <sip:${user}@${DOMAIN}>;tag=${branch}\r\nTo: <sip:${user}@${DOMAIN}>\r\n` +
        `Call-ID: where-${branch}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n`,
      0,
    )
    // The first answer may overtake the request to another contact.
    await new Promise((resolve) => setTimeout(resolve, 300))
    this.#received.delete(user)
    return reached
  }

  /** Sends a request until it is answered; to another server each time. Status 0: nobody has answered. */
  request(textOf: (branch: string) => string, first: number): Promise<{ status: number; text: string }> {
    const branch = `z9hG4bK-${process.pid}-${++this.#branches}`
    const { servers } = this.#options
    const bytes = Buffer.from(textOf(branch), 'latin1')
    let sent = 0
    const send = () => {
      const server = servers[(first + sent++) % servers.length]
      if (server) this.#socket.send(bytes, server.port, server.address)
    }
    return new Promise((resolve) => {
      const timers = RETRANSMIT_MS.map((ms) => setTimeout(send, ms))
      const end = (status: number, text: string) => {
        if (status > 0 && status < 200) return
        for (const timer of timers) clearTimeout(timer)
        this.#pending.delete(branch)
        resolve({ status, text })
      }
      timers.push(setTimeout(() => end(0, ''), GIVE_UP_MS))
      this.#pending.set(branch, { onAnswer: end })
      send()
    })
  }

  #receive(text: string, from: { address: string; port: number }): void {
    const branch = /^Via:[^\r]*?branch=([^;,\r]+)/im.exec(text)?.[1] ?? ''
    const status = /^SIP\/2\.0 (\d+)/.exec(text)?.[1]
    if (status !== undefined) return this.#pending.get(branch)?.onAnswer(Number(status), text)
    const [, contact = '', user = ''] = /^MESSAGE (sip:(\w+)-[^ ;]+)/.exec(text) ?? []
    this.#received.get(user)?.add(contact)
    const kept = text.split('\r\n').filter((line) => /^(?:Via|From|To|Call-ID|CSeq):/i.test(line))
    const answer = `SIP/2.0 200 OK\r\n${kept.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`
    this.#socket.send(Buffer.from(answer, 'latin1'), from.port, from.address)
  }
}

class RestlessPhone {
  readonly user: string
  /** What it did last and what came of it, a line each. */
  readonly history: string[] = []
  isBusy = false
  readonly #all: RestlessPhones
  readonly #known = new Map<string, Known>()
  #boots = 1
  #cseq = 0
  #contacts = 0
  #nonce = ''
  #count = 0

  constructor(user: string, all: RestlessPhones) {
    this.user = user
    this.#all = all
  }

  get #callId(): string {
    return `${this.user}-boot-${this.#boots}`
  }

  contacts(certainty: Certainty): string[] {
    return [...this.#known].filter(([, known]) => known.certainty === certainty).map(([contact]) => contact)
  }

  async change(): Promise<void> {
    this.isBusy = true
    try {
      const change = this.#choose()
      const { status, text } = await this.#register(change)
      const words = text.slice(8, text.indexOf('\r\n')) || 'no answer'
      this.#all.answers.set(words, (this.#all.answers.get(words) ?? 0) + 1)
      this.#note(change, status === 200)
      const named = [
        ...change.add.map((c) => `+${c}`),
        ...(change.all ? ['*'] : change.remove.map((c) => `-${c}`)),
      ]
      const short = named.join(' ').replaceAll(/sip:|@[^ ]*/g, '')
      this.history.push(
        `${new Date().toISOString().slice(11, 23)} ${this.#callId} ${this.#cseq} ${short}: ${words}`,
      )
      if (this.history.length > HISTORY) this.history.shift()
      if (status === 200) this.#check(change, text)
    } finally {
      this.isBusy = false
    }
  }

  #choose(): Change {
    const { random } = this.#all
    const mine = [...this.contacts('present'), ...this.contacts('maybe')]
    const fresh = () => `sip:${this.user}-${++this.#contacts}@${this.#all.place}`
    if (mine.length === 0) return { add: [fresh()], remove: [] }
    switch (random.weighted({ move: 50, refresh: 25, more: 8, fewer: 7, none: 5, reboot: 5 })) {
      case 'move':
        return { add: [fresh()], remove: mine }
      case 'refresh':
        return { add: [random.pick(mine)], remove: [] }
      case 'more':
        return mine.length < MOST_CONTACTS
          ? { add: [fresh()], remove: [] }
          : { add: [], remove: [random.pick(mine)] }
      case 'fewer':
        return { add: [], remove: [random.pick(mine)] }
      case 'none':
        return { add: [], remove: mine, all: true }
      case 'reboot':
        this.#boots++
        this.#cseq = 0
        return { add: [fresh()], remove: mine.slice(0, MOST_CONTACTS) }
    }
  }

  /** What the answer, or that there was none, says of the contacts. */
  #note({ add, remove }: Change, isAcknowledged: boolean): void {
    const callId = this.#callId
    for (const contact of add) {
      const before = this.#known.get(contact)?.certainty
      const certainty = isAcknowledged || before === 'present' ? 'present' : 'maybe'
      this.#known.set(contact, { certainty, callId, atMs: performance.now() })
    }
    for (const contact of remove) {
      const known = this.#known.get(contact)
      if (!known) continue
      if (!isAcknowledged) known.certainty = known.certainty === 'absent' ? 'absent' : 'maybe'
      else if (!this.#mayLinger(known)) known.certainty = 'absent'
    }
  }

  /** Whether a REGISTER that nobody has answered may still lie somewhere, and be taken for newer than one of another Call-ID. */
  #mayLinger({ certainty, callId, atMs }: Known): boolean {
    return certainty === 'maybe' && callId !== this.#callId && performance.now() - atMs < LINGERS_MS
  }

  #check({ add, all }: Change, text: string): void {
    const contacts = /^Contact:(.*)$/im.exec(text)?.[1] ?? ''
    const missing = add.filter((contact) => !contacts.includes(`<${contact}>`))
    if (missing.length > 0 || (all && contacts !== '')) this.#all.wrongs.push(`${this.user}: ${text}`)
  }

  async #register(change: Change): Promise<{ status: number; text: string }> {
    for (let attempt = 0; ; attempt++) {
      const cseq = ++this.#cseq
      const first = this.#all.random.pick([0, 1])
      const answer = await this.#all.request((branch) => this.#text(change, cseq, branch), first)
      if (answer.status !== 401 || attempt === 2) return answer
      this.#nonce = /nonce="([^"]+)"/.exec(answer.text)?.[1] ?? ''
      this.#count = 0
    }
  }

  #text({ add, remove, all }: Change, cseq: number, branch: string): string {
    const { user } = this
    const contacts = all
      ? ['*']
      : [
          ...add.map((contact) => `<${contact}>;expires=3600`),
          ...remove.map((contact) => `<${contact}>;expires=0`),
        ]
    return (
      `REGISTER sip:${DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP ${this.#all.place};branch=${branch};rport\r\n` +
      `Max-Forwards: 70\r\nFrom: <sip:${user}@${DOMAIN}>;tag=${branch}\r\nTo: <sip:${user}@${DOMAIN}>\r\n` +
      `Call-ID: ${this.#callId}\r\nCSeq: ${cseq} REGISTER\r\nContact: ${contacts.join(', ')}\r\n` +
      `${all ? 'Expires: 0\r\n' : ''}${this.#authorization()}Content-Length: 0\r\n\r\n`
    )
  }

  #authorization(): string {
    if (this.#nonce === '') return ''
    const uri = `sip:${DOMAIN}`
    const nc = (++this.#count).toString(16).padStart(8, '0')
    const ha2 = md5(`REGISTER:${uri}`)
    const response = md5(`${restlessHa1(this.user)}:${this.#nonce}:${nc}:c:auth:${ha2}`)
    return (
      `Authorization: Digest username="${this.user}", realm="${DOMAIN}", nonce="${this.#nonce}", uri="${uri}", ` +
      `response="${response}", algorithm=MD5, qop=auth, cnonce="c", nc=${nc}\r\n`
    )
  }
}
