import type { BindingRow } from '../db/binding-store.ts'
import type { Clock } from '../src/ops/clock.ts'
import type { Logger } from '../src/ops/logging.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import type { HeaderField } from '../src/sip/response.ts'
import { checkRequire } from '../src/sip/validate.ts'
import type { Authenticator } from './authenticator.ts'
import type { Aor } from './directory.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Location } from './location.ts'
import { type RegistrationLimits, registration } from './registration.ts'
import type { Serve } from './serve.ts'

const SUPPORTED: ReadonlySet<string> = new Set(['path', 'outbound'])

export interface RegistrarOptions {
  readonly serve: Serve
  readonly authenticator: Authenticator
  readonly location: Location
  readonly commits: GroupCommit
  readonly limits: RegistrationLimits
  /** When a REGISTER is answered: after the commit, or at once. */
  readonly durability: 'commit' | 'async'
  readonly clock: Clock
  readonly log: Logger
}

/** The registrar (RFC 3261 §10.3): authenticates, changes memory, and answers when the change is durable. */
export class Registrar {
  readonly #options: RegistrarOptions

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  async register(request: Message, source: Endpoint, aor: Aor): Promise<void> {
    const transaction = this.#options.serve(request, source, {})
    if (!transaction) return
    const refusal =
      checkRequire(request, SUPPORTED) ?? (await this.#options.authenticator.challenge(request, aor))
    if (refusal) return void transaction.reply(refusal.status, refusal)

    const { location, limits, clock, durability } = this.#options
    const nowMs = clock.now()
    const rows = location.rows(aor.key)
    const outcome = registration({ request, slot: aor.slot, aor: aor.key, limits, nowMs, rows })
    if ('defect' in outcome) return void transaction.reply(outcome.defect.status, outcome.defect)

    const { changes } = outcome
    for (const row of changes) location.put(row)
    const success = () => transaction.reply(200, { headers: this.#contacts(request, aor) })
    if (changes.length === 0 || durability === 'async') success()
    if (changes.length === 0) return
    this.#commit(changes, rows, (durable) => {
      if (durability === 'commit') durable ? success() : transaction.reply(503, { headers: RETRY_LATER })
    })
  }

  #commit(
    changes: readonly BindingRow[],
    before: readonly BindingRow[],
    done: (durable: boolean) => void,
  ): void {
    const { location, commits, log } = this.#options
    commits.add({
      rows: changes,
      committed: ({ rev, newer }) => {
        for (const row of changes) location.settle(row, rev)
        for (const row of newer) location.adopt(row)
        done(true)
      },
      failed: (error) => {
        log.error({ err: error, aor: changes[0]?.aor }, 'registration not written')
        for (const row of changes) location.revert(row, before)
        done(false)
      },
    })
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

/** Seconds after which a client may try again when PostgreSQL did not take its registration. */
const RETRY_LATER: readonly HeaderField[] = [[H.retryAfter, '5']]

function contactValue(row: BindingRow, nowMs: number): string {
  const q = row.q === 1000 ? '' : `;q=${(row.q / 1000).toFixed(3)}`
  return `<${row.contact}>${row.params}${q};expires=${Math.ceil((row.expiresAt - nowMs) / 1000)}`
}
