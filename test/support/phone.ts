import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import sip, { type SipMessage, type SipRequest, type SipResponse } from 'sip'
import digest from 'sip/digest.js'

const T1_MS = 500
const GIVE_UP_MS = 32_000

export interface PhoneOptions {
  /** Loopback address of its own; the port is any. */
  readonly address: string
  readonly user: string
  readonly domain: string
  readonly password: string
  /** The stage-1 nodes it knows from DNS, tried in turn when one does not answer (RFC 3263 §4.3). */
  readonly servers: readonly { readonly address: string; readonly port: number }[]
  /** Ring only: answer an INVITE with 180 and nothing more. */
  readonly ringOnly?: boolean
  /** Answer an INVITE with this final status instead of 200. */
  readonly inviteStatus?: number
  /** Takes all requests in place of the phone, which may be too slow. */
  readonly serve?: (text: string, reply: (text: string) => void) => void
}

export interface Call {
  readonly final: SipResponse
  /** Ends the call from the caller's side; resolves to the answer to BYE. */
  hangUp(): Promise<SipResponse>
}

interface Pending {
  onResponse(response: SipResponse): void
}

/** A small SIP phone on package `sip`'s parser and printer: the second opinion, and careful rather than fast. */
export class Phone {
  readonly options: PhoneOptions
  /** Requests received, in order, without retransmissions. */
  readonly requests: SipRequest[] = []
  #socket: Socket
  #pending = new Map<string, Pending>()
  #answered = new Map<string, string>()
  #timers = new Set<NodeJS.Timeout>()
  #ringing = new Map<string, SipRequest>()
  #cseq = 0
  #ids = 0

  private constructor(options: PhoneOptions, socket: Socket) {
    this.options = options
    this.#socket = socket
    socket.on('message', (data, from) => this.#receive(data.toString('latin1'), from))
    socket.on('error', () => {})
  }

  static async open(options: PhoneOptions): Promise<Phone> {
    const socket = createSocket('udp4')
    socket.bind({ address: options.address, port: 0 })
    await once(socket, 'listening')
    return new Phone(options, socket)
  }

  get aor(): string {
    return `sip:${this.options.user}@${this.options.domain}`
  }

  get contact(): string {
    const { address, port } = this.#socket.address()
    return `sip:${this.options.user}@${address}:${port}`
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#socket.close()
    await once(this.#socket, 'close')
  }

  /** Registers its contact, answering the digest challenge; resolves to the final answer. */
  async register(expiresSec = 600): Promise<SipResponse> {
    const request = this.#request('REGISTER', `sip:${this.options.domain}`, this.aor)
    request.headers.contact = [{ uri: this.contact, params: { expires: String(expiresSec) } }]
    return this.#withDigest(request)
  }

  async message(target: string, text: string): Promise<SipResponse> {
    const request = this.#request('MESSAGE', target, target)
    request.headers['content-type'] = 'text/plain'
    request.content = text
    return this.#withDigest(request)
  }

  /** Calls; resolves when there is a final answer, which it has acknowledged. */
  async call(target: string, onProvisional: (response: SipResponse) => void = () => {}): Promise<Call> {
    const invite = this.#request('INVITE', target, target)
    invite.headers.contact = [{ uri: this.contact }]
    const final = await this.#withDigest(invite, onProvisional)
    if (final.status >= 200 && final.status < 300) this.#ackSuccess(invite, final)
    return { final, hangUp: () => this.#bye(invite, final) }
  }

  /** Calls and cancels at the first provisional answer above 100. */
  async callAndCancel(target: string): Promise<SipResponse> {
    const invite = this.#request('INVITE', target, target)
    invite.headers.contact = [{ uri: this.contact }]
    let cancelled = false
    return this.#transact(invite, (response) => {
      if (cancelled || response.status <= 100) return
      cancelled = true
      const cancel = this.#like(invite, 'CANCEL', invite.headers.to)
      void this.#transact(cancel)
    })
  }

  #request(method: string, uri: string, to: string): SipRequest {
    const id = `${process.pid}-${++this.#ids}-${Math.random().toString(36).slice(2)}`
    return {
      method,
      uri,
      version: '2.0',
      headers: {
        via: [],
        'max-forwards': 70,
        from: { uri: this.aor, params: { tag: `f${id}` } },
        to: { uri: to, params: {} },
        'call-id': id,
        cseq: { method, seq: ++this.#cseq },
      },
      content: '',
    }
  }

  async #withDigest(
    request: SipRequest,
    onProvisional: (response: SipResponse) => void = () => {},
  ): Promise<SipResponse> {
    const first = await this.#transact(request, onProvisional)
    if (first.status !== 401 && first.status !== 407) return first
    const { user, password, domain } = this.options
    const header = first.status === 401 ? 'www-authenticate' : 'proxy-authenticate'
    // Package `sip` speaks MD5 only.
    first.headers[header] = first.headers[header].filter(({ algorithm }: { algorithm?: string }) =>
      /^"?md5"?$/i.test(algorithm ?? 'md5'),
    )
    digest.signRequest({}, request, first, { user, password, realm: domain })
    request.headers.cseq.seq = ++this.#cseq
    request.headers.via = []
    return this.#transact(request, onProvisional)
  }

  /** One client transaction; retransmits by RFC 3261 §17.1 and goes to the next server halfway to giving up. */
  #transact(
    request: SipRequest,
    onProvisional: (response: SipResponse) => void = () => {},
  ): Promise<SipResponse> {
    const { address, port } = this.#socket.address()
    if (request.headers.via.length === 0) {
      request.headers.via = [
        this.#via(`z9hG4bK${request.headers['call-id']}-${request.headers.cseq.seq}`, address, port),
      ]
    }
    const key = `${request.headers.via[0]?.params.branch} ${request.method}`
    return new Promise((resolve, reject) => {
      const started = Date.now()
      let quiet = false
      let attempt = 0
      const send = () => {
        if (quiet) return
        if (Date.now() - started > GIVE_UP_MS) return reject(new Error(`${request.method}: no answer`))
        this.#send(sip.stringify(request), attempt >> 1, routeTarget(request))
        this.#later(T1_MS * 2 ** Math.min(attempt++, 2), send)
      }
      this.#pending.set(key, {
        onResponse: (response) => {
          quiet = true
          if (response.status < 200) return onProvisional(response)
          if (request.method === 'INVITE' && response.status >= 300) this.#ackFailure(request, response)
          resolve(response)
        },
      })
      send()
    })
  }

  #via(branch: string, host: string, port: number) {
    return { version: '2.0', protocol: 'UDP', host, port, params: { branch, rport: null } }
  }

  #send(text: string, server = 0, to?: { address: string; port: number }): void {
    const { servers } = this.options
    const target = to ?? servers[server % servers.length]
    if (target) this.#socket.send(Buffer.from(text, 'latin1'), target.port, target.address)
  }

  #later(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, delayMs)
    this.#timers.add(timer)
  }

  #receive(text: string, from: { address: string; port: number }): void {
    const { serve } = this.options
    if (serve && !text.startsWith('SIP/2.0 ')) return serve(text, (reply) => this.#send(reply, 0, from))
    const message: SipMessage | undefined = sip.parse(text)
    if (!message) return
    if ('status' in message) {
      const key = `${message.headers.via[0]?.params.branch} ${message.headers.cseq.method}`
      this.#pending.get(key)?.onResponse(message)
    } else this.#serve(message, from)
  }

  #serve(request: SipRequest, from: { address: string; port: number }): void {
    const key = `${request.headers.via[0]?.params.branch} ${request.method}`
    const before = this.#answered.get(key)
    if (before !== undefined) return before === '' ? undefined : this.#send(before, 0, from)
    this.requests.push(request)
    this.#answered.set(key, '')
    const answer = (status: number, to = request) => {
      const response = sip.makeResponse(to, status)
      response.headers.to = {
        ...to.headers.to,
        params: { ...to.headers.to.params, tag: `t${to.headers['call-id']}` },
      }
      if (to.headers['record-route']) response.headers['record-route'] = to.headers['record-route']
      if (to.method === 'INVITE') response.headers.contact = [{ uri: this.contact }]
      const text = sip.stringify(response)
      this.#answered.set(`${to.headers.via[0]?.params.branch} ${to.method}`, text)
      this.#send(text, 0, from)
    }
    switch (request.method) {
      case 'ACK':
        return
      case 'INVITE': {
        const { ringOnly, inviteStatus = 200 } = this.options
        answer(180)
        if (ringOnly) this.#ringing.set(request.headers['call-id'], request)
        else answer(inviteStatus)
        return
      }
      case 'CANCEL': {
        answer(200)
        const ringing = this.#ringing.get(request.headers['call-id'])
        if (ringing) answer(487, ringing)
        return
      }
      default:
        answer(200)
    }
  }

  #ackFailure(invite: SipRequest, response: SipResponse): void {
    this.#send(sip.stringify(this.#like(invite, 'ACK', response.headers.to)))
  }

  /** ACK and CANCEL: the INVITE's own Via, Route, From, Call-ID and CSeq number (RFC 3261 §9.1, §17.1.1.3). */
  #like(invite: SipRequest, method: string, to: SipRequest['headers']['to']): SipRequest {
    const { via, from, 'call-id': callId, cseq, 'max-forwards': hops, route } = invite.headers
    return {
      method,
      uri: invite.uri,
      version: '2.0',
      headers: {
        via,
        from,
        to,
        'call-id': callId,
        cseq: { method, seq: cseq.seq },
        'max-forwards': hops,
        ...(route && { route }),
      },
      content: '',
    }
  }

  #ackSuccess(invite: SipRequest, final: SipResponse): void {
    const ack = this.#inDialog('ACK', invite, final, invite.headers.cseq.seq)
    this.#send(sip.stringify(ack), 0, routeTarget(ack))
  }

  #bye(invite: SipRequest, final: SipResponse): Promise<SipResponse> {
    return this.#transact(this.#inDialog('BYE', invite, final, ++this.#cseq))
  }

  /** RFC 3261 §12.2.1.1: the dialog's remote target and route set; all of it goes through the server. */
  #inDialog(method: string, invite: SipRequest, final: SipResponse, seq: number): SipRequest {
    const request = this.#request(method, final.headers.contact?.[0]?.uri ?? invite.uri, '')
    const { address, port } = this.#socket.address()
    request.headers.via = [this.#via(`z9hG4bK${request.headers['call-id']}`, address, port)]
    request.headers.from = invite.headers.from
    request.headers.to = final.headers.to
    request.headers['call-id'] = invite.headers['call-id']
    request.headers.cseq = { method, seq }
    const routes = final.headers['record-route']
    if (routes) request.headers.route = [...routes].reverse()
    return request
  }
}

/** Where a dialog's route set leads (RFC 3261 §8.1.2); our edges write numeric addresses there. */
function routeTarget(request: SipRequest): { address: string; port: number } | undefined {
  const route = request.headers.route?.[0]
  if (!route) return undefined
  const { host, port } = sip.parseUri(typeof route.uri === 'string' ? route.uri : sip.stringifyUri(route.uri))
  return { address: host, port: port ?? 5060 }
}
