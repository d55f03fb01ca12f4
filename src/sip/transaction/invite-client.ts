import {
  again,
  pass,
  releaseCancel,
  renew,
  report,
  resend,
  send,
  sendAck,
  sendCancel,
  start,
  stop,
  type Table,
  type TimerEvent,
} from './machine.ts'

type State = 'initial' | 'calling' | 'proceeding' | 'completed' | 'accepted'
type Event =
  | 'request' // from the user
  | 'cancel' // from the user
  | 'trying' // 100
  | 'provisional' // 101-199
  | 'success' // 2xx
  | 'failure' // 300-699
  | 'transportError'
  | Extract<TimerEvent, `timer${'A' | 'B' | 'C' | 'D' | 'M' | 'Cancel'}`>

/**
 * The INVITE client transaction: RFC 3261 figure 5 as RFC 6026 §7.2 changes it.
 *
 * It repeats the INVITE at doubling intervals (A) until anything answers or B gives up. A provisional response
 * ends the repeating and the giving up: from then on the phone may ring for as long as the user, or a proxy's
 * Timer C, lets it. A failure is acknowledged here, hop by hop, and again for every copy of it that D's time
 * brings, since the ACK may have been lost. A 2xx is acknowledged by the caller, end to end; the transaction stays
 * Accepted for M, so that the 2xx of every branch of a fork, and every copy, finds its way to the user.
 *
 * A CANCEL waits for a provisional response, for before one it might overtake its INVITE (§9.1); a final
 * response makes it pointless. If the cancelled INVITE is still unanswered 64·T1 later, it is given up.
 */
export const inviteClient = {
  initial: {
    request: ['calling', send, start('A'), start('B'), start('C')],
  },
  calling: {
    timerA: ['calling', resend, again('A')],
    timerB: ['terminated', report('timeout')],
    timerC: ['terminated', report('timeout')], // §16.8: no provisional response, so as if by a 408
    cancel: ['calling'],
    trying: ['proceeding', pass, releaseCancel],
    provisional: ['proceeding', renew('C'), pass, releaseCancel],
    success: ['accepted', start('M'), pass],
    failure: ['completed', sendAck, start('D'), pass],
    transportError: ['terminated', report('transport')],
  },
  proceeding: {
    trying: ['proceeding', pass],
    provisional: ['proceeding', renew('C'), pass], // §16.7 step 2: any but 100
    success: ['accepted', start('M'), pass],
    failure: ['completed', sendAck, start('D'), pass],
    cancel: ['proceeding', sendCancel, stop('C'), start('Cancel')],
    timerC: ['proceeding', sendCancel, start('Cancel')], // §16.8
    timerCancel: ['terminated', report('timeout')], // §9.1
  },
  completed: {
    failure: ['completed', sendAck],
    timerD: ['terminated'],
    transportError: ['terminated', report('transport')],
  },
  accepted: {
    success: ['accepted', pass],
    timerM: ['terminated'],
  },
} as const satisfies Table<State, Event>
