import type { FlowTokens } from '../src/net/flow-token.ts'
import { H } from '../src/sip/header.ts'
import type { Message } from '../src/sip/message.ts'
import { parseNameAddr } from '../src/sip/name-addr.ts'
import type { Rewrite } from '../src/sip/rewrite.ts'
import type { Uri } from '../src/sip/uri.ts'
import type { Defect } from '../src/sip/validate.ts'

/*
 * What the outside may not say, and what it is not told. Of what it may: Record-Routes of proxies in front of us, without
 * which their dialogs would not work; History-Info and Diversion, which nobody here believes; P-Preferred-Identity, a wish.
 */

/**
 * Whether the Record-Routes of a request from outside that name us are of our making: it may have passed us before, on its
 * way through somebody else's proxy. Others would have the dialog's requests sent where we never were.
 */
export function checkRecordRoutes(
  request: Message,
  isOurs: (uri: Uri) => boolean,
  tokens: FlowTokens,
): Defect | undefined {
  if (!request.has(H.recordRoute)) return undefined
  for (const value of request.values(H.recordRoute)) {
    const uri = parseNameAddr(value)?.uri
    if (!uri) return { status: 400, reason: 'Bad Record-Route' }
    if (isOurs(uri) && !tokens.open(uri.user)) return { status: 403, reason: 'Record-Route Not Ours' }
  }
  return undefined
}

/** Takes out of a request or response from outside what only our own side may say: who somebody is (RFC 3325 §5). */
export function stripIncoming(out: Rewrite): void {
  out.remove(H.assertedIdentity)
}

/** Takes out of what leaves for outside who somebody is, if he does not want it told (RFC 3325 §7). */
export function stripOutgoing(out: Rewrite): void {
  const { message } = out
  if (message.has(H.assertedIdentity) && wantsIdHidden(message)) out.remove(H.assertedIdentity)
}

const wantsIdHidden = (message: Message): boolean =>
  message.values(H.privacy).some((value) => /(?:^|;)\s*id\s*(?:;|$)/i.test(value))
