import { again, pass, report, resend, send, slow, start, type Table, type TimerEvent } from './machine.ts'

type State = 'initial' | 'trying' | 'proceeding' | 'completed'
type Event =
  | 'request' // from the user
  | 'provisional' // 1xx
  | 'final' // 200-699
  | 'transportError'
  | Extract<TimerEvent, `timer${'E' | 'F' | 'K'}`>

/**
 * The non-INVITE client transaction: RFC 3261 figure 6.
 *
 * It repeats the request at intervals that double up to T2 (E), and only every T2 once a provisional response
 * has shown that somebody is there, until a final response comes or F gives up. Copies of the final response are
 * absorbed until K.
 */
export const nonInviteClient = {
  initial: {
    request: ['trying', send, start('E'), start('F')],
  },
  trying: {
    timerE: ['trying', resend, again('E')],
    timerF: ['terminated', report('timeout')],
    provisional: ['proceeding', pass],
    final: ['completed', start('K'), pass],
    transportError: ['terminated', report('transport')],
  },
  proceeding: {
    timerE: ['proceeding', resend, slow('E')],
    timerF: ['terminated', report('timeout')],
    provisional: ['proceeding', pass],
    final: ['completed', start('K'), pass],
    transportError: ['terminated', report('transport')],
  },
  completed: {
    timerK: ['terminated'],
  },
} as const satisfies Table<State, Event>
