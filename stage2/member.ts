import { isAway } from '../db/database-error.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Cluster } from '../src/partition/cluster.ts'
import { defaultPort, type Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { type Message, parseMessage } from '../src/sip/message.ts'
import { answerTarget, respond } from '../src/sip/response.ts'
import type { TransactionLayer, TransactionUser } from '../src/sip/transaction/layer.ts'
import type { ServerTransaction, ServerUser } from '../src/sip/transaction/server-transaction.ts'
import { checkRequest, checkResponse, type Defect } from '../src/sip/validate.ts'
import { DirectClients } from './direct-clients.ts'
import { type Aor, aorOf } from './directory.ts'
import type { HandOver } from './hand-over.ts'
import type { Probers } from './probers.ts'
import type { ProxyCore } from './proxy-core.ts'
import type { Registrar } from './registrar.ts'
import type { Standstill } from './standstill.ts'
import type { Takeover } from './takeover.ts'

/**
 * `degraded`: serves, but something it needs is away, mostly PostgreSQL. `draining`: about to stop, and stage 1 is being told;
 * whatever still comes is served.
 */
export type MemberState = 'loading' | 'serving' | 'degraded' | 'draining' | 'stopping'

export interface MemberParts {
  readonly layer: TransactionLayer
  readonly registrar: Registrar
  readonly proxy: ProxyCore
  readonly takeover: Takeover
  readonly handOver: HandOver
  readonly probers: Probers
  readonly transport: Transport
  /** Tells when this process has just stood still. */
  readonly standstill?: Pick<Standstill, 'isRecent'>
}

export interface MemberOptions {
  readonly cluster: () => Cluster
  /** Who may speak to it besides the cluster. */
  readonly directClients?: DirectClients
  readonly log: Logger
}

/** What came and was not served, for the metrics. */
export interface MemberCounters {
  requests: number
  untrusted: number
  malformed: number
  refused: number
}

/**
 * One stage-2 process: takes what stage 1 and other members send, and hands each request to the registrar or the proxy.
 * Probes are answered before anything else, without a transaction, also when all else waits.
 */
export class Member implements TransactionUser {
  readonly counters: MemberCounters = { requests: 0, untrusted: 0, malformed: 0, refused: 0 }
  state: MemberState = 'loading'
  readonly #options: MemberOptions
  #parts!: MemberParts

  constructor(options: MemberOptions) {
    this.#options = options
  }

  /** Its parts, which in turn need it; messages may be received from now on. */
  attach(parts: MemberParts): void {
    this.#parts = parts
  }

  receive(batch: InboundBatch): void {
    for (let i = 0; i < batch.length; i++) this.#message(batch.text(i), batch.source(i))
  }

  trusts(source: Endpoint): boolean {
    return this.#options.cluster().insideAddresses.has(source.address)
  }

  #message(text: string, source: Endpoint): void {
    const isInsider = this.trusts(source)
    if (!isInsider && this.#options.directClients?.has(source) !== true) {
      this.counters.untrusted++
      return
    }
    const said = parseMessage(text)
    const message = said && !isInsider ? DirectClients.heard(said) : said
    if (!message) this.counters.malformed++
    else if (!message.isRequest) this.#response(message, source)
    else if (this.#isForUs(message)) this.#answerProbe(message, source)
    else this.#request(message, source)
  }

  #response(response: Message, source: Endpoint): void {
    if (checkResponse(response)) this.counters.malformed++
    else this.#parts.layer.receive(response, source)
  }

  #request(request: Message, source: Endpoint): void {
    this.counters.requests++
    const defect = checkRequest(request) ?? (this.state === 'loading' ? UNREADY.loading : undefined)
    if (defect) return this.#refuse(request, source, defect)
    // A copy of it may have been answered by whoever took over, and the phone may have registered elsewhere since.
    if (request.requestMethod === 'REGISTER' && this.#parts.standstill?.isRecent)
      return this.#refuse(request, source, STOOD_STILL)
    this.#parts.takeover.whenFresh(() => this.#dispatch(request, source))
  }

  /** The registrar needs no transactions. */
  #dispatch(request: Message, source: Endpoint): void {
    if (request.requestMethod === 'REGISTER') this.request(request, source)
    else this.#parts.layer.receive(request, source)
  }

  /** RFC 3261 §11: no user part and our own address. */
  #isForUs(request: Message): boolean {
    const { address, port } = this.#parts.transport.local
    const { uri } = request
    return uri?.user === '' && uri.host === address && (uri.port || defaultPort('udp')) === port
  }

  #answerProbe(request: Message, source: Endpoint): void {
    if (request.requestMethod !== 'OPTIONS') this.#refuse(request, source, NOT_FOUND)
    else {
      this.reply(request, source, UNREADY[this.state] ?? OK)
      this.#parts.probers.answered(source)
    }
  }

  /** What a new transaction gets while the member does not serve. */
  #refusal(): Defect | undefined {
    return this.state === 'loading' || this.state === 'stopping' ? UNREADY[this.state] : undefined
  }

  #refuse(request: Message, source: Endpoint, defect: Defect): void {
    this.counters.refused++
    this.reply(request, source, defect)
  }

  /** Answers without a transaction. */
  reply(request: Message, source: Endpoint, { status, reason, headers }: Defect): void {
    const text = respond(request, status, { source, reason, ...(headers && { headers }) })
    if (text !== undefined) this.#parts.transport.send(text, answerTarget(request, source))
  }

  /** See {@link Serve}. */
  serve(request: Message, source: Endpoint, user: ServerUser): ServerTransaction | undefined {
    const transaction = this.#parts.layer.serve(request, source, user)
    if (!transaction) this.#refuse(request, source, BUSY)
    return transaction
  }

  /** A REGISTER, or a request that begins a transaction. While the member stops, only what is open goes on. */
  request(request: Message, source: Endpoint): void {
    const { registrar, proxy } = this.#parts
    const isCancel = request.requestMethod === 'CANCEL'
    const refusal = isCancel ? undefined : (this.#refusal() ?? checkAddressOfRecord(request))
    if (refusal) return this.#refuse(request, source, refusal)
    const aor = this.#aor(request)
    if (!aor) return this.#refuse(request, source, isCancel ? NO_TRANSACTION : NOT_FOUND)
    const again = () => this.#dispatch(request, source)
    const verdict = this.#parts.handOver.judge(request, aor, again)
    if (verdict === 'refuse') return this.#refuse(request, source, NOT_OURS)
    if (verdict === 'taken') return
    // RFC 3261 §9.2. Not §16.10: what is forwarded statelessly here has been taken, so no target could match it.
    if (isCancel) return this.#refuse(request, source, NO_TRANSACTION)
    const work =
      request.requestMethod === 'REGISTER'
        ? registrar.register(request, source, aor)
        : proxy.forward(request, source, aor)
    this.#run(request, source, work)
  }

  ack(ack: Message, source: Endpoint): void {
    const aor = this.#aor(ack)
    if (!aor) return
    const verdict = this.#parts.handOver.judge(ack, aor, () => this.ack(ack, source))
    if (verdict === 'serve') this.#parts.proxy.forwardAck(ack, source, aor)
  }

  strayResponse(response: Message): void {
    this.#parts.handOver.response(response)
  }

  /** Whom a request is for; `undefined` if that is nobody here. */
  #aor(request: Message): Aor | undefined {
    const uri = request.requestMethod === 'REGISTER' ? request.to?.uri : request.uri
    const { map } = this.#options.cluster()
    return uri?.isSip && uri.user !== '' && map.serves(uri.host) ? aorOf(uri, map.identityOf(uri)) : undefined
  }

  /** What fails has been answered; it is our own side's fault, mostly PostgreSQL's. */
  #run(request: Message, source: Endpoint, work: Promise<void>): void {
    work.catch((error: unknown) => {
      const { method, callId } = request
      // One outage fails thousands of requests, and is said once by whoever keeps memory like PostgreSQL.
      this.#options.log[isAway(error) ? 'debug' : 'error'](
        { err: error, method, callId, from: formatHostPort(source.address, source.port) },
        'request failed',
      )
    })
  }
}

/** RFC 3261 §10.3 step 5, §20.39: only sip and sips URIs can be registered for. */
function checkAddressOfRecord(request: Message): Defect | undefined {
  return request.requestMethod === 'REGISTER' && !request.to?.uri?.isSip ? BAD_TO : undefined
}

const BUSY: Defect = { status: 503, reason: 'Too Many Transactions', headers: [[H.retryAfter, '5']] }
const OK: Defect = { status: 200, reason: 'OK' }
const UNREADY = {
  serving: undefined,
  degraded: undefined,
  loading: { status: 503, reason: 'Loading', headers: [[H.retryAfter, '1']] },
  draining: { status: 503, reason: 'Draining', headers: [[H.retryAfter, '1']] },
  stopping: { status: 503, reason: 'Stopping', headers: [[H.retryAfter, '1']] },
} as const satisfies Record<MemberState, Defect | undefined>
const STOOD_STILL: Defect = { status: 503, reason: 'Stood Still', headers: [[H.retryAfter, '1']] }
/** Two members that give each other the same user have different maps: whoever sent it will know better in a moment. */
const NOT_OURS: Defect = { status: 503, reason: 'Not The Owner', headers: [[H.retryAfter, '1']] }
const BAD_TO: Defect = { status: 400, reason: 'Bad To' }
const NOT_FOUND: Defect = { status: 404, reason: 'Not Found' }
const NO_TRANSACTION: Defect = { status: 481, reason: 'Call/Transaction Does Not Exist' }
