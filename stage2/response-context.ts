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
  #server: ServerTransaction | undefined
  readonly #request: Message
  readonly #copy: (target: Target) => string
  #waves: Target[][] = []
  #pending = new Set<ClientTransaction>()
  #best: Candidate | undefined
  #challenges: Message[] = []
  #answered = false
  #cancelled = false

  /** `copy` makes the text for a target, our own Via on top. */
  constructor(layer: TransactionLayer, request: Message, copy: (target: Target) => string) {
    this.#layer = layer
    this.#request = request
    this.#copy = copy
  }

  /** Opens the server transaction: from here on copies of the request are absorbed. False if there are too many. */
  open(source: Endpoint, serve: Serve): boolean {
    this.#server = serve(this.#request, source, { cancelled: () => this.#cancel() })
    if (this.#request.requestMethod === 'INVITE') this.#answer({ status: 100 })
    return this.#server !== undefined
  }

  /** Sends the request to its targets, of which there is at least one. */
  start(targets: readonly Target[]): void {
    if (this.#cancelled) return this.refuse({ status: 487 })
    this.#waves = wavesOf(targets)
    this.#nextWave()
  }

  /** Answers it here. */
  refuse(refusal: Refusal): void {
    this.#answered = true
    this.#answer(refusal)
  }

  response(response: Message, transaction: ClientTransaction): void {
    const { status } = response
    if (status === 100) return
    if (status < 200) {
      if (!this.#answered) this.#pass(response)
      return
    }
    this.#pending.delete(transaction)
    // Every 2xx to an INVITE makes a dialog of its own, so all of them are passed on (§16.7 step 5).
    if (status < 300) {
      this.#pass(response)
      this.#answered = true
      this.#cancelPending()
    } else this.#keepBest({ status, response })
    this.#goOn()
  }

  failed(transaction: ClientTransaction, failure: Failure): void {
    this.#pending.delete(transaction)
    this.#keepBest({ status: failure === 'timeout' ? 408 : 503, response: undefined })
    this.#goOn()
  }

  /** The caller gave up (§16.10): what the branches now answer, 487 mostly, is passed on as usual. */
  #cancel(): void {
    this.#cancelled = true
    this.#cancelPending()
  }

  #nextWave(): void {
    for (const target of this.#waves.shift() ?? []) {
      const timerC = this.#request.requestMethod === 'INVITE'
      this.#pending.add(this.#layer.request(this.#copy(target), target.hop, this, { timerC }))
    }
  }

  #goOn(): void {
    if (this.#pending.size > 0 || this.#answered) return
    if (this.#waves.length > 0) this.#nextWave()
    else this.#passBest()
  }

  #cancelPending(): void {
    this.#waves = []
    for (const transaction of this.#pending) transaction.cancel()
  }

  /** §16.7 step 6. */
  #keepBest(candidate: Candidate): void {
    const { status, response } = candidate
    if (status >= 600) this.#cancelPending()
    if (response && (status === 401 || status === 407)) this.#challenges.push(response)
    if (!this.#best || rank(status) < rank(this.#best.status)) this.#best = candidate
  }

  #passBest(): void {
    const best = this.#best
    this.#answered = true
    if (!best) return
    // A 503 speaks of one target only; passed on, it would take us out of service as a whole (§16.7 step 6).
    if (best.status === 503) this.#answer({ status: 500 })
    else if (best.response) this.#pass(best.response)
    else this.#answer({ status: best.status })
  }

  #pass(response: Message): void {
    const out = new Rewrite(response).dropFirst(H.via)
    // §16.7 step 7: the caller may have credentials for any of the challengers.
    for (const other of this.#challenges) {
      if (other === response || response.status !== this.#best?.status) continue
      for (const id of [H.wwwAuthenticate, H.proxyAuthenticate]) {
        for (const challenge of other.values(id)) out.append(id, challenge)
      }
    }
    this.#server?.respond(response.status, out.toString())
  }

  #answer({ status, ...options }: Refusal): void {
    this.#server?.reply(status, options)
  }
}

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
