import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import type { Rewrite } from '../src/sip/rewrite.ts'
import type { Uri } from '../src/sip/uri.ts'

/** Where a request goes as it says itself: the Request-URI, and the Route values before it. */
export class RouteSet {
  /** As it is to be sent on, if nothing else becomes of it. */
  readonly requestUri: string
  readonly uri: Uri | undefined
  /** As received, the topmost first. */
  readonly values: readonly string[]
  /** Whether it differs from what the message says. */
  readonly isRespelt: boolean
  #uris: (Uri | undefined)[] | undefined

  constructor(
    requestUri: string,
    uri: Uri | undefined,
    values: readonly string[],
    { isRespelt }: { readonly isRespelt: boolean },
  ) {
    this.requestUri = requestUri
    this.uri = uri
    this.values = values
    this.isRespelt = isRespelt
  }

  /**
   * Of a request as a loose router would have sent it. RFC 3261 §16.4: a strict router has put the URI that we gave for the
   * Record-Route in the place of the Request-URI, and that at the end of the Route.
   */
  static of(request: Message, isOwnRecord: (uri: Uri) => boolean): RouteSet {
    const values = request.values(H.route)
    const { uri, requestUri } = request
    const last = values.at(-1)
    if (last === undefined || uri === undefined || !isOwnRecord(uri))
      return new RouteSet(requestUri, uri, values, { isRespelt: false })
    const contact = parseNameAddr(last)?.uri
    // Nobody's contact is a Record-Route of ours; and the next worker would take it for a strict router's again.
    const target = contact && !isOwnRecord(contact) ? contact : undefined
    const rest = [`<${requestUri}>`, ...values.slice(0, -1)]
    return new RouteSet(target?.text ?? '', target, rest, { isRespelt: true })
  }

  /** The Route's URIs, `undefined` where one is malformed. */
  get uris(): readonly (Uri | undefined)[] {
    this.#uris ??= this.values.map((value) => parseNameAddr(value)?.uri)
    return this.#uris
  }

  /**
   * Writes it into a copy of the request without its first `count` routes. §16.6 step 6: a next hop that is a strict router
   * finds itself in the Request-URI, and that at the end of the Route; `isNextOurs` says that it is one of the cluster.
   */
  write(out: Rewrite, count: number, isNextOurs: boolean): void {
    const next = isNextOurs ? undefined : this.uris[count]
    const isStrict = next !== undefined && !next.hasParam('lr')
    if (!isStrict && !this.isRespelt) {
      if (count > 0) out.dropFirst(H.route, count)
      return
    }
    const left = this.values.slice(count)
    if (isStrict) left.splice(0, 1)
    if (isStrict) left.push(`<${this.requestUri}>`)
    out.setRequestUri(isStrict ? next.text : this.requestUri)
    if (left.length > 0) out.set(H.route, left.join(', '))
    else out.remove(H.route)
  }
}
