import { COLON, PLUS, SEMI } from '../sip/chars.ts'
import { normalizeEscapes } from '../sip/escapes.ts'
import type { Uri } from '../sip/uri.ts'

/**
 * The user part in the one form that is hashed, stored and compared: everything that RFC 3261 §19.1.4 calls equal, and a
 * telephone number however it is punctuated, becomes the same ASCII string.
 *
 * - Parameters in the user part (`;phone-context=…`) and a password are cut off, before anything is unescaped: `%3B` and
 *   `%3A` are characters of a name.
 * - Escapes of unreserved characters are decoded, other escapes are in upper case. What may stand in a user part but is
 *   reserved (`&=+$,;?/`) is *not* equal to its escape, so both stay as they came: `+1` is not `%2B1`. What must be
 *   escaped and came bare (`#`, UTF-8) is escaped.
 * - `-.()` are dropped from a telephone number: from all of `+` and digits, and with `isPhone` (`;user=phone`)
 *   from local numbers too. `user=phone` on something with letters, say `j.smith`, changes nothing.
 * - Case is kept.
 *
 * @returns `user` itself when there is nothing to do, which for nearly all users is the case.
 */
export function canonicalUser(user: string, isPhone = false): string {
  const end = nameEnd(user)
  const normal = normalizeEscapes(end === user.length ? user : user.slice(0, end))
  return isPhone || normal.charCodeAt(0) === PLUS ? withoutSeparators(normal) : normal
}

/** The canonical user of a sip, sips or tel URI; '' when it has none. */
export function canonicalUserOf(uri: Uri): string {
  return canonicalUser(uri.user, uri.scheme === 'tel' || isUserPhone(uri))
}

/** `user@host`: what a subscriber is known by. Neither scheme, port nor parameters count (RFC 3261 §10.3 step 5). */
export function aorKey(uri: Uri): string {
  return `${canonicalUserOf(uri)}@${uri.host}`
}

function isUserPhone(uri: Uri): boolean {
  return uri.param('user')?.toLowerCase() === 'phone'
}

function nameEnd(user: string): number {
  for (let i = 0; i < user.length; i++) {
    const c = user.charCodeAt(i)
    if (c === SEMI || c === COLON) return i
  }
  return user.length
}

/** Digits, `*`, `#` (escaped by now), visual separators and a leading `+`; A–D of RFC 3966 would make names of numbers. */
const TELEPHONE_NUMBER = /^\+?[*.()-]*(?:\d|%23)(?:[0-9*.()-]|%23)*$/

function withoutSeparators(user: string): string {
  return hasSeparator(user) && TELEPHONE_NUMBER.test(user) ? user.replace(/[-.()]/g, '') : user
}

/** Spares the regular expressions, 100 ns, where a number is written plainly. */
function hasSeparator(user: string): boolean {
  for (let i = 0; i < user.length; i++) {
    const c = user.charCodeAt(i)
    if (c === 0x2d || c === 0x2e || c === 0x28 || c === 0x29) return true
  }
  return false
}
