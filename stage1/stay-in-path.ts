import type { FlowTokens } from '../src/net/flow-token.ts'
import { numericTarget } from '../src/net/resolve.ts'
import type { EdgeWorker } from '../src/partition/cluster.ts'
import { parseContacts } from '../src/sip/contact.ts'
import { defaultPort, type Endpoint } from '../src/sip/endpoint.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import type { Rewrite } from '../src/sip/rewrite.ts'
import type { Uri } from '../src/sip/uri.ts'
import type { Exits } from './exits.ts'

/** Whether later requests are to come by here: those to all clients, or only to those who cannot be reached otherwise. */
export type StayInPathMode = 'always' | 'needed'

/** Requests that begin a dialog, where who must stay in the path has to say so (RFC 3261 §16.6 step 4). */
const BEGINS_DIALOG = new Set(['INVITE', 'SUBSCRIBE', 'REFER'])

export interface StayInPathOptions {
  readonly mode: StayInPathMode
  readonly self: EdgeWorker
  readonly exits: Exits
  readonly tokens: FlowTokens
}

/**
 * Adds what brings later requests back over the same flow, a token (RFC 5626 §5) in a Path (RFC 3327) or Record-Route.
 * Each side of a dialog gets a Record-Route of its own, with an address of its version of IP and its transport: the double
 * Record-Route of RFC 5658, except that another node may write the second one.
 */
export class StayInPath {
  readonly #options: StayInPathOptions

  constructor(options: StayInPathOptions) {
    this.#options = options
  }

  /** For a request from a client. */
  from(client: Endpoint, out: Rewrite): void {
    const request = out.message
    const { requestMethod: method } = request
    if (method === 'REGISTER') {
      out.remove(H.path)
      if (this.#isNeeded(request, client)) out.prepend(H.path, this.#path(request, client))
    } else if (BEGINS_DIALOG.has(method) && request.toTag === undefined && this.#isNeeded(request, client)) {
      this.#record(out, client)
    }
  }

  /**
   * For a request to a client. `isOurs` tells the URIs that name the cluster: a dialog passes us in both directions or not
   * at all, for from outside nobody gets through us to where we have no Record-Route for.
   */
  to(client: Endpoint, out: Rewrite, isOurs: (uri: Uri) => boolean): void {
    const request = out.message
    if (!BEGINS_DIALOG.has(request.requestMethod) || request.toTag !== undefined) return
    if (this.#options.mode === 'always') return this.#record(out, client)
    const isCallers = request.values(H.recordRoute).some((value) => {
      const uri = parseNameAddr(value)?.uri
      return uri !== undefined && isOurs(uri)
    })
    if (!isCallers && !isReachedOnlyByFlow(request, client)) return
    this.#record(out, client)
    const caller = isCallers ? undefined : contactPlace(request)
    if (caller) this.#record(out, caller)
  }

  #record(out: Rewrite, client: Endpoint): void {
    const exit = this.#options.exits.towards(client)
    if (exit) out.prepend(H.recordRoute, exit.route(this.#token(client)))
  }

  /** RFC 5626 §5.1: only the client's first hop can say that its flow will be used. */
  #path(request: Message, client: Endpoint): string {
    return this.#options.exits.inside.route(this.#token(client), isFirstHop(request) ? ';ob' : '')
  }

  #token(client: Endpoint): string {
    const { tokens, self } = this.#options
    return tokens.mint(client.connection === undefined ? client : { ...client, worker: self.number })
  }

  /** Whether a client that sends this can only be reached through us, or asks for it. */
  #isNeeded(request: Message, client: Endpoint): boolean {
    if (this.#options.mode === 'always' || client.connection !== undefined) return true
    const via = request.topVia
    const isVias = via?.host === client.address && (via.port || defaultPort(via.transport)) === client.port
    return !isVias || !isAt(contactPlace(request), client) || asksForOutbound(request)
  }
}

/** Who sent it says that nobody was before us. */
function isFirstHop(request: Message): boolean {
  const line = request.firstLine(H.via)
  return request.find(H.via, line) < 0 && request.firstEnd(line) === request.valueEnd(line)
}

/** The registered contact is where no packet gets to from here. */
const isReachedOnlyByFlow = (request: Message, client: Endpoint): boolean =>
  client.connection !== undefined || !isAt(request.uri && numericTarget(request.uri), client)

/** Where the sender's Contact leads; `undefined` for several, which only a REGISTER may have, and for names. */
function contactPlace(request: Message): Endpoint | undefined {
  const contacts = parseContacts(request.values(H.contact))
  const uri = contacts !== '*' && contacts?.length === 1 ? contacts[0]?.uri : undefined
  return uri && numericTarget(uri)
}

const isAt = (place: Endpoint | undefined, client: Endpoint): boolean =>
  place?.address === client.address && place.port === client.port && place.transport === client.transport

/** RFC 5626 §4.2.1, §4.3. */
const asksForOutbound = (request: Message): boolean =>
  request.values(H.supported).some((tag) => tag.toLowerCase() === 'outbound') ||
  request.values(H.contact).some((value) => /;\s*(?:reg-id\s*=|ob\b)/i.test(value))
