import { KeyedHash } from './keyed-hash.ts'
import type { Message } from './message.ts'

/**
 * The branch of a stateless proxy, without the magic cookie (RFC 3261 §16.11): a pure function of the client's
 * transaction, the same on every worker of every node that has the `key`. So a retransmission is one at the next hop
 * too, and CANCEL and the ACK to a failure follow their INVITE. Nobody without the key can make two transactions of
 * others collide.
 * @returns 128 bits in hexadecimal digits
 */
export function statelessBranch(request: Message, key: Uint8Array): string {
  return hashWith(key).token(clientTransaction(request))
}

// Deriving a key costs ten times what hashing with it does.
const hashes = new WeakMap<Uint8Array, KeyedHash>()

function hashWith(key: Uint8Array): KeyedHash {
  let hash = hashes.get(key)
  if (!hash) {
    hash = new KeyedHash(key, 'branch')
    hashes.set(key, hash)
  }
  return hash
}

/**
 * What the client's transaction is known by; of an RFC 2543 client, what §16.11 lists in place of the branch. No field
 * can hold a line break, so none can pretend to be two.
 */
function clientTransaction(request: Message): string {
  const { topVia, callId, cseq } = request
  const own = topVia?.hasMagicCookie ? topVia.branch : legacyIdentity(request)
  return `${own}\n${topVia?.sentBy}\n${callId}\n${cseq?.number}`
}

/** These three go by one branch, although the ACK has the To tag of the response and the others may have none. */
const SHARE_A_BRANCH = new Set(['INVITE', 'ACK', 'CANCEL'])

/** Without the CSeq method, which differs between those three. */
function legacyIdentity(request: Message): string {
  const { requestMethod, requestUri, fromTag, toTag, topVia } = request
  return [requestUri, fromTag, SHARE_A_BRANCH.has(requestMethod) ? '' : toTag, topVia?.text].join('\n')
}
