import { ALL_CONTACTS, type BindingRow } from '../db/binding-store.ts'
import type { Clock } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import type { HeaderField } from '../src/sip/response.ts'
import { checkRequire, type Defect } from '../src/sip/validate.ts'
import type { Authenticator } from './authenticator.ts'
import { removedWith } from './binding-order.ts'
import { NotDurable } from './binding-writer.ts'
import type { Aor } from './directory.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Location } from './location.ts'
import { type Registration, type RegistrationLimits, registration } from './registration.ts'

const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

export interface RegistrarOptions {
  readonly reply: (request: Message, source: Endpoint, answer: Defect) => void
  readonly authenticator: Authenticator
  readonly location: Location
  readonly commits: GroupCommit
  readonly limits: RegistrationLimits
  /** When a REGISTER is answered: after the commit, or at once. */
  readonly durability: 'commit' | 'async'
  readonly clock: Clock
  readonly log: Logger
}

/**
 * The registrar (RFC 3261 §10.3): authenticates, changes memory, and answers when the change is durable.
 *
 * It is a stateless UAS (§8.2.7): a transaction that is kept for half a minute, to repeat an answer that was lost, would be
 * most of what a registration costs. A copy of a request that is under way is absorbed; a copy of one that has been
 * answered changes nothing and gets the same answer again.
 */
export class Registrar {
  readonly #options: RegistrarOptions
  readonly #underWay = new Set<string>()

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  /** @throws what PostgreSQL throws, after it has been answered with 503: that is no wrong password */
  async register(request: Message, source: Endpoint, aor: Aor): Promise<void> {
    const id = `${aor.key}\n${request.callId}\n${request.cseq?.number}\n${request.fromTag}`
    if (this.#underWay.has(id)) return
    this.#underWay.add(id)
    let isAnswered = false
    const reply = (answer: Defect) => {
      // Once it is answered, a reply has no effect, not even on a copy that is under way by then.
      if (isAnswered) return
      isAnswered = true
      this.#underWay.delete(id)
      this.#options.reply(request, source, answer)
    }
    if (this.#options.commits.isFull) return reply(UNAVAILABLE)
    try {
      await this.#register(request, aor, reply)
    } catch (error) {
      reply(UNAVAILABLE)
      throw error
    }
  }

  async #register(request: Message, aor: Aor, reply: (answer: Defect) => void): Promise<void> {
    const { authenticator, location, durability } = this.#options
    const refusal =
      checkRequire(request, SUPPORTED) ??
      (await authenticator.challenge(request, aor, () => isRepeated(this.#outcome(request, aor), request)))
    if (refusal) return reply(refusal)
    const outcome = this.#outcome(request, aor)
    if ('defect' in outcome) return reply(outcome.defect)

    const { changes } = outcome
    const success = () => reply({ status: 200, reason: 'OK', headers: this.#contacts(request, aor) })
    for (const row of changes) location.put(row)
    if (changes.length === 0 || durability === 'async') success()
    if (changes.length > 0) this.#commit(changes, success, () => reply(UNAVAILABLE))
  }

  #outcome(request: Message, { slot, key: aor }: Aor): Registration {
    const { location, limits, clock } = this.#options
    return registration({ request, slot, aor, limits, nowMs: clock.now(), rows: location.rows(aor) })
  }

  #commit(changes: readonly BindingRow[], onDurable: () => void, onFailed: () => void): void {
    const { location, commits, log, durability } = this.#options
    commits.add({
      rows: changes,
      committed: ({ rev, newer }) => {
        for (const row of changes) location.settle(row, newer.find(isOf(row)) ?? { ...row, rev })
        this.#removeOthers(changes)
        onDurable()
      },
      spooled: () => {
        for (const row of changes) location.keep(row)
        this.#removeOthers(changes)
        onDurable()
      },
      failed: (error) => {
        // One outage fails thousands: whoever runs the spool says it once.
        const level = error instanceof NotDurable ? 'debug' : 'error'
        log[level]({ err: error, aor: changes[0]?.aor }, 'registration not written')
        // What has been acknowledged is kept, as long as this member lives.
        for (const row of changes) durability === 'async' ? location.keep(row) : location.revert(row)
        onFailed()
      },
    })
  }

  /** A removal of all contacts is also of those that came to be known while it was being written. */
  #removeOthers(changes: readonly BindingRow[]): void {
    const { location } = this.#options
    for (const removal of changes) {
      if (removal.key !== ALL_CONTACTS) continue
      for (const row of removedWith(removal, location.rows(removal.aor))) {
        location.put(row)
        location.keep(row)
      }
    }
  }

  /** §10.3 step 8, RFC 3327 §5.3. */
  #contacts(request: Message, aor: Aor): HeaderField[] {
    const { location, clock } = this.#options
    const nowMs = clock.now()
    const contacts = location.find(aor.key, nowMs).map((row) => contactValue(row, nowMs))
    const headers: HeaderField[] = [[H.date, new Date(nowMs).toUTCString()]]
    if (contacts.length > 0) headers.unshift([H.contact, contacts.join(', ')])
    for (const path of request.values(H.path)) headers.push([H.path, path])
    return headers
  }
}

/** Neither PostgreSQL nor the spool took it, or nobody can tell who that is. */
const UNAVAILABLE: Defect = { status: 503, reason: 'Service Unavailable', headers: [[H.retryAfter, '5']] }

/** Everything that it asks for is already so, by itself. */
const isRepeated = (outcome: Registration, request: Message): boolean =>
  'changes' in outcome && outcome.changes.length === 0 && request.has(H.contact)

const isOf =
  ({ aor, key }: BindingRow) =>
  (other: BindingRow): boolean =>
    other.key === key && other.aor === aor

function contactValue(row: BindingRow, nowMs: number): string {
  const q = row.q === 1000 ? '' : `;q=${(row.q / 1000).toFixed(3)}`
  return `<${row.contact}>${row.params}${q};expires=${Math.ceil((row.expiresAt - nowMs) / 1000)}`
}
