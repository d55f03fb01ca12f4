import { H, headerName } from '../header.ts'
import type { Message } from '../message.ts'

/** The ACK to a final response that is no 2xx (RFC 3261 §17.1.1.3). `invite` is the INVITE as it was sent. */
export function ackFor(invite: Message, response: Message): string {
  return withinTransaction(invite, 'ACK', response.value(H.to) ?? invite.value(H.to) ?? '')
}

/**
 * The CANCEL of an INVITE as it was sent (RFC 3261 §9.1).
 * @param reason the value of a Reason header (RFC 3326), such as `SIP;cause=200;text="Call completed elsewhere"`
 */
export function cancelFor(invite: Message, reason?: string): string {
  const line = reason === undefined ? '' : `${headerName(H.reason)}: ${reason}\r\n`
  return withinTransaction(invite, 'CANCEL', invite.value(H.to) ?? '', line)
}

/** Both share with their INVITE the way, the call and the top Via, whose branch makes them find it. */
function withinTransaction(invite: Message, method: string, to: string, more = ''): string {
  const routes = invite.values(H.route).map((route) => `Route: ${route}\r\n`)
  return (
    `${method} ${invite.requestUri} SIP/2.0\r\n` +
    `Via: ${invite.topVia?.text}\r\n` +
    routes.join('') +
    `Max-Forwards: 70\r\n` +
    `From: ${invite.value(H.from)}\r\n` +
    `To: ${to}\r\n` +
    `Call-ID: ${invite.callId}\r\n` +
    `CSeq: ${invite.cseq?.number} ${method}\r\n` +
    `${more}Content-Length: 0\r\n\r\n`
  )
}
