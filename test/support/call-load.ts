import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

interface Place {
  readonly address: string
  readonly port: number
}

export interface CallLoadOptions {
  readonly address: string
  /** The stage-1 nodes it knows from DNS: each call begins at one, and goes on at the next when that does not answer. */
  readonly servers: readonly Place[]
  readonly target: string
  /** Calls a second. */
  readonly rate: number
  /** Between the answer and the BYE. */
  readonly holdMs: number
}

export interface CallReport {
  readonly calls: number
  /** How calls ended: `ok`, `lost`, or the status that refused them → how many. */
  readonly ends: Readonly<Record<string, number>>
  /** From the INVITE to its 200 and from the BYE to its 200, sorted, in milliseconds. */
  readonly delaysMs: readonly number[]
}

const TICK_MS = 10
const T1_MS = 500
const T2_MS = 4_000
const GIVE_UP_MS = 32_000

/** Whole calls, INVITE to BYE, at a steady rate from one socket, by clients that keep to RFC 3261 §17.1 and RFC 3263 §4.3. */
export class CallLoad {
  readonly #options: CallLoadOptions
  readonly #socket: Socket
  readonly #open = new Map<string, Call>()
  readonly #ends: Record<string, number> = {}
  readonly #delaysMs: number[] = []
  #calls = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(options: CallLoadOptions, socket: Socket) {
    this.#options = options
    this.#socket = socket
    socket.on('message', (data) => this.#receive(data.toString('latin1')))
  }

  static async start(options: CallLoadOptions): Promise<CallLoad> {
    const socket = createSocket('udp4').bind(0, options.address)
    await once(socket, 'listening')
    socket.setRecvBufferSize(4 * 1024 * 1024)
    const load = new CallLoad(options, socket)
    const startedMs = performance.now()
    load.#timer = setInterval(() => {
      const due = ((performance.now() - startedMs) / 1000) * options.rate
      while (load.#calls < due) load.#begin()
    }, TICK_MS)
    return load
  }

  /** Begins no more, waits until all calls have ended, and closes. */
  async stop(): Promise<CallReport> {
    clearInterval(this.#timer)
    while (this.#open.size > 0) await pause(TICK_MS)
    this.#socket.close()
    return { calls: this.#calls, ends: this.#ends, delaysMs: this.#delaysMs.sort((a, b) => a - b) }
  }

  #begin(): void {
    const { servers, target, holdMs } = this.#options
    const { address, port } = this.#socket.address()
    const first = this.#calls++ % servers.length
    const call = new Call({
      id: `${this.#calls}-${port}`,
      target,
      here: `${address}:${port}`,
      holdMs,
      send: (text, attempt) => {
        const server = servers[(first + (attempt >> 1)) % servers.length] as Place
        this.#socket.send(Buffer.from(text, 'latin1'), server.port, server.address)
      },
      ended: (how) => {
        this.#open.delete(call.id)
        this.#ends[how] = (this.#ends[how] ?? 0) + 1
        this.#delaysMs.push(...call.delaysMs)
      },
    })
    this.#open.set(call.id, call)
    call.invite()
  }

  #receive(text: string): void {
    const [, id = ''] = /^Call-ID: (\S+)/im.exec(text) ?? []
    this.#open.get(id)?.receive(text)
  }
}

interface CallOptions {
  readonly id: string
  readonly target: string
  readonly here: string
  readonly holdMs: number
  /** Even and odd attempts go to the same server, the next pair to the next. */
  send(text: string, attempt: number): void
  ended(how: string): void
}

class Call {
  readonly id: string
  readonly delaysMs: number[] = []
  readonly #options: CallOptions
  #timer: NodeJS.Timeout | undefined
  #sentMs = 0
  #answer: string | undefined
  #acks = 0
  #isHangingUp = false

  constructor(options: CallOptions) {
    this.id = options.id
    this.#options = options
  }

  invite(): void {
    const { target } = this.#options
    this.#transact(this.#request('INVITE', target, `<${target}>`, 1))
  }

  receive(text: string): void {
    const status = Number(text.slice(8, 11))
    const isInvite = /^CSeq: 1 /im.test(text)
    if (status < 200) {
      // RFC 3261 §17.1.1.2: in Proceeding nothing is repeated.
      if (isInvite && this.#answer === undefined) this.#wait(GIVE_UP_MS, () => this.#end('lost'))
    } else if (status >= 300) this.#end(String(status))
    else if (isInvite) this.#accepted(text)
    else if (this.#isHangingUp) {
      this.#note()
      this.#end('ok')
    }
  }

  #accepted(answer: string): void {
    const isFirst = this.#answer === undefined
    this.#answer ??= answer
    // RFC 3261 §13.2.2.4: each copy of the answer is acknowledged.
    this.#options.send(this.#inDialog('ACK', 1), this.#acks++)
    if (!isFirst) return
    this.#note()
    this.#wait(this.#options.holdMs, () => {
      this.#isHangingUp = true
      this.#transact(this.#inDialog('BYE', 2))
    })
  }

  #note(): void {
    this.delaysMs.push(performance.now() - this.#sentMs)
  }

  #transact(text: string): void {
    this.#sentMs = performance.now()
    const send = (attempt: number, delayMs: number) => {
      if (performance.now() - this.#sentMs > GIVE_UP_MS) return this.#end('lost')
      this.#options.send(text, attempt)
      this.#wait(delayMs, () => send(attempt + 1, Math.min(2 * delayMs, T2_MS)))
    }
    send(0, T1_MS)
  }

  #wait(delayMs: number, action: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(action, delayMs)
  }

  #end(how: string): void {
    clearTimeout(this.#timer)
    this.#options.ended(how)
  }

  #inDialog(method: string, cseq: number): string {
    const answer = this.#answer ?? ''
    const [contact = ''] = headers(answer, 'Contact')
    const [to = ''] = headers(answer, 'To')
    return this.#request(
      method,
      contact.replace(/^.*<|>.*$/g, ''),
      to,
      cseq,
      headers(answer, 'Record-Route').reverse(),
    )
  }

  #request(method: string, uri: string, to: string, cseq: number, routes: readonly string[] = []): string {
    const { id, here } = this.#options
    return [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${here};branch=z9hG4bK${id}-${method};rport`,
      ...routes.map((route) => `Route: ${route}`),
      'Max-Forwards: 70',
      `From: <sip:load@example.org>;tag=${id}`,
      `To: ${to}`,
      `Call-ID: ${id}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: <sip:load@${here}>`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
  }
}

/** Answers every call at once, and repeats the answer until it is acknowledged: what {@link PhoneOptions.serve} wants. */
export class Answering {
  readonly #contact: () => string
  readonly #answers = new Map<string, { readonly text: string; timer: NodeJS.Timeout | undefined }>()

  constructor(contact: () => string) {
    this.#contact = contact
  }

  readonly serve = (text: string, reply: (text: string) => void): void => {
    const [id = ''] = headers(text, 'Call-ID')
    if (text.startsWith('INVITE ')) this.#invited(id, text, reply)
    else if (text.startsWith('ACK ')) clearTimeout(this.#answers.get(id)?.timer)
    else reply(this.#answer(text))
  }

  close(): void {
    for (const { timer } of this.#answers.values()) clearTimeout(timer)
  }

  #invited(id: string, text: string, reply: (text: string) => void): void {
    const known = this.#answers.get(id)
    if (known) return reply(known.text)
    const answer = { text: this.#answer(text), timer: undefined as NodeJS.Timeout | undefined }
    this.#answers.set(id, answer)
    const repeat = (delayMs: number) => {
      reply(answer.text)
      answer.timer = setTimeout(() => repeat(Math.min(2 * delayMs, T2_MS)), delayMs)
    }
    repeat(T1_MS)
  }

  #answer(request: string): string {
    const kept = request
      .split('\r\n')
      .filter((line) => /^(?:Via|Record-Route|From|Call-ID|CSeq):/i.test(line))
    const [to = ''] = headers(request, 'To')
    const tag = to.includes(';tag=') ? '' : ';tag=callee'
    return [
      'SIP/2.0 200 OK',
      ...kept,
      `To: ${to}${tag}`,
      `Contact: <${this.#contact()}>`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n')
  }
}

/** The values of a header, in their order. */
const headers = (message: string, name: string): string[] =>
  [...message.matchAll(new RegExp(`^${name}: *(.*)\\r$`, 'gim'))].flatMap(([, value = '']) =>
    name === 'Record-Route' ? value.split(/, */) : [value],
  )
