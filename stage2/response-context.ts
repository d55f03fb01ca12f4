import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { Rewrite } from '../src/sip/rewrite.ts'
import type { ClientTransaction, ClientUser } from '../src/sip/transaction/client-transaction.ts'
import type { TransactionLayer } from '../src/sip/transaction/layer.ts'
import type { Failure } from '../src/sip/transaction/machine.ts'
import type { ServerTransaction } from '../src/sip/transaction/server-transaction.ts'
import type { Defect } from '../src/sip/validate.ts'
import type { Serve } from './serve.ts'

/** One place to try: a binding, or whatever else a user is reached at. */
export interface Target {
  /** The new Request-URI. */
  readonly uri: string
  /** Route values to go through, the binding's own Path (RFC 3327 §5.4). */
  readonly route: readonly string[]
  /** Where the first of them, or the URI, is. */
  readonly hop: Endpoint
  /** 0…1000: higher ones are tried first, equal ones together. */
  readonly q: number
}

/** A response of our own making. */
type Refusal = Pick<Defect, 'status'> & Partial<Defect>

/** The best final answer so far: a response, or the status that stands for a branch that brought none (§16.9). */
interface Candidate {
  readonly status: number
  readonly response: Message | undefined
}

/**
 * The response context of a request that is being proxied (RFC 3261 §16.7): forks it to its targets, passes on what
 * must be passed on at once, and of the rest the best answer when no target is left.
 */
export class ResponseContext implements ClientUser {
  readonly #layer: TransactionLayer
  readonly #isInvite: boolean
  /** `undefined` when there is nobody to answer: too many transactions. */
  readonly #server: ServerTransaction | undefined
  #waves: Target[][] = []
  #copy: (target: Target) => string = () => ''
  #pending = new Set<ClientTransaction>()
  #isStarting = false
  #best: Candidate | undefined
  #challenges: Message[] = []
  #answered = false
  #cancelled = false

  /** Opens the server transaction: from here on copies of the request are absorbed. */
  constructor(layer: TransactionLayer, request: Message, source: Endpoint, serve: Serve) {
    this.#layer = layer
    this.#isInvite = request.requestMethod === 'INVITE'
    this.#server = serve(request, source, { cancelled: () => this.#cancel() })
    if (this.#isInvite) this.#server?.reply(100)
  }

  get isOpen(): boolean {
    return this.#server !== undefined
  }

  /** Sends the request to its targets, at least one; `copy` makes the text for each, our own Via on top. */
  start(targets: readonly Target[], copy: (target: Target) => string): void {
    if (this.#cancelled) return this.refuse({ status: 487 })
    this.#waves = wavesOf(targets)
    this.#copy = copy
    this.#nextWave()
  }

  /** Answers it here. */
  refuse({ status, ...options }: Refusal): void {
    this.#server?.reply(status, options)
    this.#done()
  }

  response(response: Message, transaction: ClientTransaction): void {
    const { status } = response
    if (status < 200) {
      if (status !== 100 && !this.#answered) this.#pass(status, withoutOurVia(response))
      return
    }
    this.#pending.delete(transaction)
    if (status >= 300) return this.#keep({ status, response })
    // Every 2xx to an INVITE makes a dialog of its own, so all of them are passed on (§16.7 step 5).
    this.#pass(status, withoutOurVia(response))
    this.#cancelPending()
    this.#done()
  }

  failed(transaction: ClientTransaction, failure: Failure): void {
    this.#pending.delete(transaction)
    this.#keep({ status: failure === 'timeout' ? 408 : 503, response: undefined })
  }

  /** The caller gave up (§16.10): what the branches now answer, 487 mostly, is passed on as usual. */
  #cancel(): void {
    this.#cancelled = true
    this.#cancelPending()
  }

  #nextWave(): void {
    this.#isStarting = true
    for (const target of this.#waves.shift() ?? []) this.#try(target)
    this.#isStarting = false
    this.#goOn()
  }

  #try(target: Target): void {
    const options = { timerC: this.#isInvite }
    const transaction = this.#layer.request(this.#copy(target), target.hop, this, options)
    // If it could not be sent, we have heard of it by now.
    if (transaction.state !== 'terminated') this.#pending.add(transaction)
  }

  /** A final answer of one branch (§16.7 steps 5 and 6). */
  #keep(candidate: Candidate): void {
    if (this.#answered) return
    const { status, response } = candidate
    if (status >= 600) this.#cancelPending()
    if (response && isChallenge(status)) this.#challenges.push(response)
    if (!this.#best || rank(status) < rank(this.#best.status)) this.#best = candidate
    this.#goOn()
  }

  #goOn(): void {
    if (this.#isStarting || this.#answered || this.#pending.size > 0) return
    if (this.#waves.length > 0) this.#nextWave()
    else this.#passBest()
  }

  #passBest(): void {
    const { status, response } = this.#best ?? { status: 503, response: undefined }
    // A 503 speaks of one target only; passed on, it would take us out of service as a whole (§16.7 step 6).
    if (status === 503) return this.refuse({ status: 500 })
    if (!response) return this.refuse({ status })
    const out = withoutOurVia(response)
    if (isChallenge(status)) this.#addChallenges(out)
    this.#pass(status, out)
    this.#done()
  }

  /** §16.7 step 7: the caller may have credentials for any of the challengers. */
  #addChallenges(out: Rewrite): void {
    for (const other of this.#challenges) {
      if (other === out.message) continue
      for (const id of [H.wwwAuthenticate, H.proxyAuthenticate]) {
        for (const challenge of other.values(id)) out.append(id, challenge)
      }
    }
  }

  #pass(status: number, out: Rewrite): void {
    this.#server?.respond(status, out.toString())
  }

  #cancelPending(): void {
    this.#waves = []
    for (const transaction of this.#pending) transaction.cancel()
  }

  /** Transactions linger and know this context: it lets go of all texts. */
  #done(): void {
    this.#answered = true
    this.#waves = []
    this.#copy = () => ''
    this.#best = undefined
    this.#challenges = []
  }
}

const withoutOurVia = (response: Message): Rewrite => new Rewrite(response).dropFirst(H.via)

const isChallenge = (status: number): boolean => status === 401 || status === 407

/** Parallel at equal q, serial by falling q (RFC 3261 §16.6). */
function wavesOf(targets: readonly Target[]): Target[][] {
  const byQ = new Map<number, Target[]>()
  for (const target of targets) byQ.set(target.q, [...(byQ.get(target.q) ?? []), target])
  return [...byQ].sort(([a], [b]) => b - a).map(([, wave]) => wave)
}

/** What tells the caller how to go on comes before the other 4xx. */
const HELPFUL = new Set([401, 407, 415, 420, 484])

/** The lower, the better: 6xx, then the lowest class, then what is helpful; and anything rather than a 503. */
function rank(status: number): number {
  if (status >= 600) return 0
  if (status === 503) return 100
  const kind = Math.floor(status / 100)
  return kind * 10 + (HELPFUL.has(status) ? 0 : status === 408 ? 2 : 1)
}
