import {
  again,
  pass,
  report,
  resend,
  send,
  sendTrying,
  start,
  stop,
  type Table,
  type TimerEvent,
} from './machine.ts'

type State = 'initial' | 'proceeding' | 'completed' | 'accepted' | 'confirmed'
type Event =
  | 'request' // INVITE from the network; in any state but the first, a retransmission
  | 'ack'
  | 'cancel' // a CANCEL that matches (§9.2)
  | 'provisional' // 1xx from the user
  | 'success' // 2xx from the user
  | 'failure' // 300-699 from the user
  | 'transportError'
  | Extract<TimerEvent, `timer${'G' | 'H' | 'I' | 'L' | 'Trying'}`>

/**
 * The INVITE server transaction: RFC 3261 figure 7 as RFC 6026 §7.1 changes it.
 *
 * It quenches the caller's retransmissions with a 100 unless the user answers within 200 ms, and repeats the
 * latest provisional response to every copy of the INVITE. A failure is repeated on its own (G) until the ACK
 * comes or H gives up; copies of the ACK are absorbed until I. After a 2xx the ACK goes to the user, who also
 * repeats the 2xx if that is its duty; the transaction stays Accepted for L, only so that a late copy of the
 * INVITE is not taken for a new call. A response that cannot be sent ends nothing (RFC 6026 §8.8).
 */
export const inviteServer = {
  initial: {
    request: ['proceeding', start('Trying')],
  },
  proceeding: {
    request: ['proceeding', resend],
    cancel: ['proceeding', pass],
    timerTrying: ['proceeding', sendTrying],
    provisional: ['proceeding', stop('Trying'), send],
    success: ['accepted', send, start('L')],
    failure: ['completed', send, start('G'), start('H')],
    transportError: ['proceeding', report('transport')],
  },
  completed: {
    request: ['completed', resend],
    timerG: ['completed', resend, again('G')],
    timerH: ['terminated', report('timeout')],
    ack: ['confirmed', start('I')],
    transportError: ['completed', report('transport')],
  },
  accepted: {
    request: ['accepted'],
    ack: ['accepted', pass],
    success: ['accepted', send],
    timerL: ['terminated'],
    transportError: ['accepted', report('transport')],
  },
  confirmed: {
    ack: ['confirmed'],
    timerI: ['terminated'],
  },
} as const satisfies Table<State, Event>
