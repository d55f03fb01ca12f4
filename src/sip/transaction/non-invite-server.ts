import { report, resend, send, sendTrying, start, type Table, type TimerEvent } from './machine.ts'

type State = 'initial' | 'trying' | 'proceeding' | 'completed'
type Event =
  | 'request' // from the network; in any state but the first, a retransmission
  | 'provisional' // 100 from the user
  | 'final' // 200-699 from the user
  | 'transportError'
  | Extract<TimerEvent, `timer${'J' | 'Trying' | 'Expiry'}`>

/**
 * The non-INVITE server transaction: RFC 3261 figure 8 with RFC 4320 and erratum 1470 (a final response may come
 * straight from Trying).
 *
 * It absorbs copies of the request until there is a response, and then answers each with the latest one, the
 * final response until J. A 100 goes out by itself once the client's Timer E has reached T2, for an earlier one
 * would only slow down the repair of a lost final response. A user that has not answered when the client has
 * given up (Expiry) may be silent: a 408 helps nobody. A response that cannot be sent ends nothing (RFC 6026 §8.8).
 */
export const nonInviteServer = {
  initial: {
    request: ['trying', start('Trying'), start('Expiry')],
  },
  trying: {
    request: ['trying'],
    timerTrying: ['proceeding', sendTrying],
    timerExpiry: ['terminated', report('timeout')],
    provisional: ['proceeding', send],
    final: ['completed', send, start('J')],
  },
  proceeding: {
    request: ['proceeding', resend],
    timerExpiry: ['terminated', report('timeout')],
    provisional: ['proceeding', send],
    final: ['completed', send, start('J')],
    transportError: ['proceeding', report('transport')],
  },
  completed: {
    request: ['completed', resend],
    timerJ: ['terminated'],
    transportError: ['completed', report('transport')],
  },
} as const satisfies Table<State, Event>
