import { createHmac } from 'node:crypto'
import type { Message } from './message.ts'

/** 96 bits. */
const BYTES = 12

/**
 * The branch of a stateless proxy, without the magic cookie (RFC 3261 §16.11): a pure function of the client's
 * transaction, the same on every worker of every node that has the `key`. So a retransmission is one at the next hop
 * too, and CANCEL and the ACK to a failure follow their INVITE. Nobody without the key can make two transactions of
 * others collide.
 */
export function statelessBranch(request: Message, key: Uint8Array): string {
  return createHmac('sha256', key).update(clientTransaction(request)).digest().toString('base64url', 0, BYTES)
}

/** What the client's transaction is known by; of an RFC 2543 client, what §16.11 lists in place of the branch. */
function clientTransaction(request: Message): string {
  const { topVia, callId, cseq } = request
  const own = topVia?.hasMagicCookie ? topVia.branch : legacyIdentity(request)
  return `${own}\n${topVia?.sentBy}\n${callId}\n${cseq?.number}`
}

/** Without To tag and CSeq method, which differ between INVITE, CANCEL and ACK. */
const legacyIdentity = (request: Message): string =>
  [request.requestUri, request.fromTag, request.topVia?.text].join('\n')
