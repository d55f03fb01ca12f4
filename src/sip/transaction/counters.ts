/** What a layer has open, and what it has seen since it was made. */
export interface TransactionCounters {
  /** Open now. */
  inviteClients: number
  inviteServers: number
  nonInviteClients: number
  nonInviteServers: number
  /** Since the start. */
  retransmissionsReceived: number
  retransmissionsSent: number
  timeouts: number
  transportErrors: number
  /** Responses that match no transaction (§18.1.2). */
  strayResponses: number
  /** ACKs that no transaction absorbed: those to a 2xx, and lost ones. */
  acksPassed: number
  /** CANCELs without their INVITE. */
  strayCancels: number
  /** Requests that came by two ways (§8.2.2.2). */
  merged: number
  /** Requests refused because `maxTransactions` were open. */
  refused: number
}

export function newCounters(): TransactionCounters {
  return {
    inviteClients: 0,
    inviteServers: 0,
    nonInviteClients: 0,
    nonInviteServers: 0,
    retransmissionsReceived: 0,
    retransmissionsSent: 0,
    timeouts: 0,
    transportErrors: 0,
    strayResponses: 0,
    acksPassed: 0,
    strayCancels: 0,
    merged: 0,
    refused: 0,
  }
}

export type OpenCounter = 'inviteClients' | 'inviteServers' | 'nonInviteClients' | 'nonInviteServers'
