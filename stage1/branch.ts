import { ClusterHash } from '../src/net/cluster-hash.ts'
import type { ClusterKeys } from '../src/ops/cluster-keys.ts'
import type { Message } from '../src/sip/message.ts'
import { MAGIC_COOKIE, type Via } from '../src/sip/via.ts'
import type { Face } from './route-request.ts'

const letterOf: Readonly<Record<Face, string>> = { outside: 'o', inside: 'i' }
const faceOfLetter = (letter: string): Face | undefined =>
  letter === 'o' ? 'outside' : letter === 'i' ? 'inside' : undefined

/**
 * The branches of the stateless proxy (RFC 3261 §16.11): a letter for the face that the request came in by, and 128 bits
 * that are a pure function of the client's transaction, the same on every worker of every node. So a retransmission is
 * one at the next hop too, and CANCEL and the ACK to a failure follow their INVITE.
 *
 * A response carries all that its branch was made from, so a node knows the branches that it, or one of its cluster, has
 * made without remembering any. For the same reason an RFC 2543 client, whose branch names no transaction, is known by
 * its tags in addition, and not by its Request-URI as §16.11 has it.
 */
export class Branches {
  readonly #hash: ClusterHash

  constructor(keys: () => ClusterKeys) {
    this.#hash = new ClusterHash(keys, 'branch')
  }

  /** For a request that came in by `face` with this Via on top. */
  make(request: Message, sender: Via, face: Face): string {
    const isKnownByTags = !sender.hasMagicCookie && !SHARE_A_BRANCH.has(request.requestMethod)
    const toTag = isKnownByTags ? request.toTag : undefined
    return MAGIC_COOKIE + letterOf[face] + this.#hash.current.token(transaction(request, sender, face, toTag))
  }

  /**
   * By which face the request of a response came in, `sender` being the Via below ours; `undefined` when the branch is
   * none that we made for it.
   */
  faceOf(response: Message, branch: string, sender: Via): Face | undefined {
    const face = branch.startsWith(MAGIC_COOKIE)
      ? faceOfLetter(branch.charAt(MAGIC_COOKIE.length))
      : undefined
    if (!face) return undefined
    const token = branch.slice(MAGIC_COOKIE.length + 1)
    if (this.#isMade(token, transaction(response, sender, face))) return face
    if (sender.hasMagicCookie) return undefined
    // The To tag may be the response's own.
    return this.#isMade(token, transaction(response, sender, face, response.toTag)) ? face : undefined
  }

  #isMade(token: string, text: string): boolean {
    return this.#hash.accepts((hash) => hash.token(text) === token)
  }
}

/** These go by one branch, although the ACK has the To tag of the response and the others may have none. */
const SHARE_A_BRANCH = new Set(['INVITE', 'ACK', 'CANCEL'])

/** No field can hold a line break, so none can pretend to be two. */
function transaction(message: Message, sender: Via, face: Face, toTag?: string): string {
  const text = `${face}\n${sender.branch}\n${sender.sentBy}\n${message.callId}\n${message.cseq?.number}`
  return sender.hasMagicCookie ? text : `${text}\n${message.fromTag}\n${toTag ?? ''}`
}
