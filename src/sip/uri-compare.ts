import { normalizeEscapes } from './escapes.ts'
import type { Uri } from './uri.ts'

/** RFC 3261 §19.1.4: in one URI only, these make a difference; transport by the section's first paragraph and examples. */
const NEVER_IGNORED = ['user', 'ttl', 'method', 'maddr', 'transport']

/**
 * Whether two URIs are equal: sip and sips by RFC 3261 §19.1.4 with RFC 5954 §4.2, tel by RFC 3966 §4, others byte for
 * byte. Not transitive: `sip:a@b` equals both `sip:a@b;x=1` and `sip:a@b;x=2`, which differ from each other.
 */
export function sameUri(a: Uri, b: Uri): boolean {
  if (a.text === b.text) return true
  if (!a.isSip) return uriKey(a) === uriKey(b)
  if (authorityKey(a) !== authorityKey(b) || headersKey(a) !== headersKey(b)) return false
  return sameParams(paramsOf(a), paramsOf(b))
}

function sameParams(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (NEVER_IGNORED.some((name) => a.get(name) !== b.get(name))) return false
  for (const [name, value] of a) {
    const other = b.get(name)
    if (other !== undefined && other !== value) return false
  }
  return true
}

/**
 * A key for Maps: URIs with the same key are equal. The converse cannot be had, since equality is not transitive: a
 * parameter that `sameUri` ignores in one URI only is in the key, so `sip:a@b` and `sip:a@b;x=1` have two keys. Who
 * must find those too asks `sameUri` of the few candidates (an AOR's bindings) when the key misses. For sip URIs with
 * the same parameter names, and always for tel, the key is exact.
 */
export function uriKey(uri: Uri): string {
  if (uri.scheme === 'tel') return telKey(uri)
  if (!uri.isSip) return uri.text
  const params = uri.params === '' ? '' : sorted(paramsOf(uri))
  return `${authorityKey(uri)}${params}${headersKey(uri)}`
}

/** Everything before the parameters; an absent port is not the default one, so it is 0. */
function authorityKey(uri: Uri): string {
  const password = uri.password
  const user = normalizeEscapes(uri.user)
  const userInfo = password === undefined ? user : `${user}:${normalizeEscapes(password)}`
  return `${uri.scheme}:${userInfo}@${uri.host}:${uri.port}`
}

function paramsOf(uri: Uri): Map<string, string> {
  const params = new Map<string, string>()
  for (const param of uri.params.split(';')) {
    if (param === '') continue
    const [name = '', ...value] = param.split('=')
    params.set(normalizeEscapes(name).toLowerCase(), normalizeEscapes(value.join('=')).toLowerCase())
  }
  return params
}

function sorted(params: ReadonlyMap<string, string>): string {
  const names = [...params.keys()].sort()
  return names.map((name) => `;${name}=${params.get(name)}`).join('')
}

/** Headers count always, in any order. Names in any case; values as they are, the strictest of §20's many rules. */
function headersKey(uri: Uri): string {
  if (!uri.hasHeaders) return ''
  const headers = uri.headers.split('&').map((header) => {
    const [name = '', ...value] = header.split('=')
    return `${normalizeEscapes(name).toLowerCase()}=${normalizeEscapes(value.join('='))}`
  })
  return `?${headers.sort().join('&')}`
}

/** RFC 3966 §4: visual separators do not count, every parameter does, nothing is case-sensitive. */
function telKey(uri: Uri): string {
  const params = paramsOf(uri)
  for (const name of ['phone-context', 'ext']) {
    const value = params.get(name)
    if (value !== undefined && !/[a-z]/.test(value)) params.set(name, withoutSeparators(value))
  }
  return `tel:${withoutSeparators(uri.user).toLowerCase()}${sorted(params)}`
}

function withoutSeparators(number: string): string {
  return number.replace(/[-.()]/g, '')
}
