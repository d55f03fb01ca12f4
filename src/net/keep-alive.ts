import { CR, LF } from '../sip/chars.ts'
import type { Endpoint } from '../sip/endpoint.ts'
import { answerStun } from './stun.ts'

/** What a datagram is that carries no SIP; `answer` is what goes back to where it came from, if anything does. */
export interface KeepAlive {
  readonly handled: boolean
  /** latin1, like all text of the wire. */
  readonly answer?: string
}

const SIP: KeepAlive = { handled: false }
const SILENT: KeepAlive = { handled: true }

/** One character less than the shortest request line. */
const MAX_FILLER = 'M u SIP/2.0'.length - 1

/**
 * Recognises what clients send over UDP to keep their way through a NAT open: STUN Binding requests (RFC 5626 §4.4.2),
 * which are answered; and empty lines, zeros and short words such as Linphone's `jaK`, of which nothing is expected but
 * that they come. For SIP, that is, for nearly everything, it takes two comparisons.
 */
export function answerKeepAlive(text: string, source: Endpoint): KeepAlive {
  const isShort = text.length <= MAX_FILLER
  const first = isShort ? 0 : text.charCodeAt(0)
  if (first > CR) return SIP
  if (isShort) return SILENT
  // RFC 5626 §8: the first octet of a STUN message is 0 or 1.
  if (first <= 1) {
    const answer = answerStun(text, source)
    return answer === undefined ? SILENT : { handled: true, answer }
  }
  return isBlank(text) ? SILENT : SIP
}

/** RFC 3261 §7.5: line breaks may also stand before a message. */
function isBlank(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code !== CR && code !== LF) return false
  }
  return true
}
