/** The parts of package `sip` that tests use; it has no types of its own. */
declare module 'sip' {
  export interface SipAddress {
    name?: string
    uri: string
    params: Record<string, string | null>
  }
  export interface SipVia {
    version: string
    protocol: string
    host: string
    port?: number
    params: Record<string, string | null | undefined>
  }
  // biome-ignore lint/suspicious/noExplicitAny: headers it does not know are plain text or text arrays
  export type SipHeaders = Record<string, any> & {
    via: SipVia[]
    from: SipAddress
    to: SipAddress
    'call-id': string
    cseq: { method: string; seq: number }
  }
  export interface SipRequest {
    method: string
    uri: string
    version?: string
    headers: SipHeaders
    content: string
  }
  export interface SipResponse {
    status: number
    reason: string
    version?: string
    headers: SipHeaders
    content: string
  }
  export type SipMessage = SipRequest | SipResponse
  export interface SipUri {
    schema: string
    user?: string
    host: string
    port?: number
    params: Record<string, string | null>
  }
  const sip: {
    parse(text: string): SipMessage | undefined
    stringify(message: SipMessage): string
    parseUri(text: string): SipUri
    stringifyUri(uri: SipUri): string
    makeResponse(request: SipRequest, status: number, reason?: string): SipResponse
  }
  export default sip
}

declare module 'sip/digest.js' {
  import type { SipRequest, SipResponse } from 'sip'

  const digest: {
    signRequest(
      context: object,
      request: SipRequest,
      response: SipResponse,
      credentials: { user: string; password: string; realm?: string },
    ): unknown
  }
  export default digest
}
