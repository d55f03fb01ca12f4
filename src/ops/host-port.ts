import { isIP } from 'node:net'

/** Where a socket listens: a numeric address (IPv6 without brackets) and a port. */
export interface HostPort {
  readonly address: string
  readonly port: number
}

/** `192.0.2.1:5060` or `[2001:db8::1]:5060`; undefined for anything else. Names are not resolved. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text.trim())
  if (!match) return undefined
  const [, v6, v4, digits] = match
  const port = Number(digits)
  if (port > 65535) return undefined
  if (v6 !== undefined) return isIP(v6) === 6 ? { address: v6, port } : undefined
  return v4 !== undefined && isIP(v4) === 4 ? { address: v4, port } : undefined
}

export const formatHostPort = ({ address, port }: HostPort): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
