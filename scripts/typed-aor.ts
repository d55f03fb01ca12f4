import { fromSql, toSql } from '../db/wire-text.ts'
import { TandemError } from '../src/ops/errors.ts'
import { canonicalUser, canonicalUserOf } from '../src/partition/canonical-user.ts'
import { parseUri, type Uri } from '../src/sip/uri.ts'

/** An address of record that somebody typed. Texts are wire text. */
export interface TypedAor {
  readonly uri: Uri
  /** Canonical. */
  readonly user: string
  /** '' when it names none: a telephone number, or a user alone. */
  readonly domain: string
}

/**
 * `alice@example.com`, `sip:alice@example.com`, `tel:+49-30-123` or only `alice`, in Unicode as a terminal gives it.
 * @throws TandemError USAGE
 */
export function parseTypedAor(text: string): TypedAor {
  const wire = fromSql(text.trim())
  const whole = /^(sips?|tel):/i.test(wire) ? wire : wire.includes('@') ? `sip:${wire}` : `sip:${wire}@-`
  const uri = parseUri(whole)
  const user = uri && canonicalUserOf(uri)
  if (!uri || !user || uri.password !== undefined) throw notAnAddress(text)
  return { uri, user, domain: uri.host === '-' ? '' : uri.host }
}

/** As {@link parseTypedAor}, of a user of some domain. @throws TandemError USAGE */
export function parseUserAtDomain(text: string): TypedAor {
  const aor = parseTypedAor(text)
  if (aor.domain === '' || aor.uri.user.includes(';')) throw notAnAddress(text)
  return aor
}

/**
 * The canonical form of what stands before the `@`, in Unicode; undefined when it may not stand there. Parameters and a password
 * have no place in the name of a subscriber.
 */
export function parseUserPart(text: string): string | undefined {
  const wire = fromSql(text)
  const uri = parseUri(`sip:${wire}@-`)
  return uri?.user === wire && wire !== '' && !wire.includes(';') ? canonicalUser(wire) : undefined
}

/** Wire text for a terminal. */
export const shown = toSql

const notAnAddress = (text: string) =>
  new TandemError('USAGE', `'${text}' is no address of a user`, {
    hint: 'write alice@example.com; characters that may not stand in a user are written %HH',
  })
