/**
 * The form of the four machines of RFC 3261 §17. A machine is a table: a row for each state of its figure, and in
 * the row, for each event that has an arrow, the next state and what is done on the way. An event without a cell
 * has no arrow: nothing happens. Tables know no messages, sockets or clocks; a {@link Transaction} performs them.
 */

/** The timers of RFC 3261 §17 table 4 and RFC 6026, and three that the RFCs demand but do not letter. */
export type TimerName =
  | 'A'
  | 'B'
  | 'C'
  | 'D'
  | 'E'
  | 'F'
  | 'G'
  | 'H'
  | 'I'
  | 'J'
  | 'K'
  | 'L'
  | 'M'
  | Unlettered

/**
 * - `Trying`: a 100 is due, after 200 ms for INVITE (§17.2.1), after Timer E's way to T2 for others (RFC 4320 §4.1).
 * - `Expiry`: the client of a non-INVITE has given up by now (RFC 4320 §4.2).
 * - `Cancel`: nothing has answered the INVITE that was cancelled (§9.1).
 */
export type Unlettered = 'Trying' | 'Expiry' | 'Cancel'

export type TimerEvent = `timer${TimerName}`

export type Action =
  /** The request or response at hand to the network. */
  | { readonly do: 'send' }
  /** The last message of this transaction once more. */
  | { readonly do: 'resend' }
  /** A 100 that the user did not send. */
  | { readonly do: 'sendTrying' }
  /** The ACK to a final response that is no 2xx (§17.1.1.3). */
  | { readonly do: 'sendAck' }
  | { readonly do: 'sendCancel' }
  /** Sends the CANCEL that waited for a provisional response (§9.1). */
  | { readonly do: 'releaseCancel' }
  /** The message at hand to the transaction user. */
  | { readonly do: 'pass' }
  | { readonly do: 'report'; readonly failure: Failure }
  | { readonly do: 'start' | 'again' | 'slow' | 'renew' | 'stop'; readonly timer: TimerName }

/** Why a transaction user gets no, or no certain, answer (§8.1.3.1: as a 408, as a 503). */
export type Failure = 'timeout' | 'transport'

export const send = { do: 'send' } as const
export const resend = { do: 'resend' } as const
export const sendTrying = { do: 'sendTrying' } as const
export const sendAck = { do: 'sendAck' } as const
export const sendCancel = { do: 'sendCancel' } as const
export const releaseCancel = { do: 'releaseCancel' } as const
export const pass = { do: 'pass' } as const
export const report = <F extends Failure>(failure: F) => ({ do: 'report', failure }) as const
export const start = <T extends TimerName>(timer: T) => ({ do: 'start', timer }) as const
/** Starts a timer again at twice its interval (A), or that up to T2 (E, G). */
export const again = <T extends TimerName>(timer: T) => ({ do: 'again', timer }) as const
/** Starts a timer again at T2. */
export const slow = <T extends TimerName>(timer: T) => ({ do: 'slow', timer }) as const
/** Starts a timer afresh if it is running. */
export const renew = <T extends TimerName>(timer: T) => ({ do: 'renew', timer }) as const
export const stop = <T extends TimerName>(timer: T) => ({ do: 'stop', timer }) as const

export type Cell<State extends string> = readonly [next: State | 'terminated', ...actions: readonly Action[]]

/**
 * A timer runs on into the next state if that state has a cell for it, and otherwise ends with the state it was
 * started in. So B belongs to Calling alone, and C, E and F to two states, as in the figures.
 */
export type Table<State extends string, Event extends string> = {
  readonly [S in State]: { readonly [E in Event]?: Cell<State> }
}

/** Any table, for code that performs them all. */
export type AnyTable = { readonly [state: string]: { readonly [event: string]: Cell<string> | undefined } }

/** What `event` does in `state`; undefined if the figure has no such arrow. */
export function step(table: AnyTable, state: string, event: string): Cell<string> | undefined {
  return table[state]?.[event]
}
