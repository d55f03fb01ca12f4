import type { TimerEvent, TimerName } from './machine.ts'

/** What the timers are made of (RFC 3261 §17.1.1.1, table 4). */
export interface TimerValues {
  /** Estimate of the round trip. */
  readonly t1Ms: number
  /** The longest interval between copies of a non-INVITE request or an INVITE response. */
  readonly t2Ms: number
  /** How long a message may remain in the network. */
  readonly t4Ms: number
  /** More than three minutes (§16.6 step 11). */
  readonly timerCMs: number
  /** How long the user has before a 100 is sent for an INVITE (§17.2.1). */
  readonly tryingMs: number
}

export const defaultTimerValues: TimerValues = {
  t1Ms: 500,
  t2Ms: 4000,
  t4Ms: 5000,
  timerCMs: 181_000,
  tryingMs: 200,
}

/** The first interval of every timer in milliseconds; 0 fires at once, Infinity never. */
export type TimerDurations = Readonly<Record<TimerName, number>>

const NEVER = Number.POSITIVE_INFINITY

/** RFC 3261 table 4 and RFC 6026 §8, for INVITE or other transactions over a transport that is `reliable` or not. */
export function timerDurations(values: TimerValues, invite: boolean, reliable: boolean): TimerDurations {
  const { t1Ms, t4Ms } = values
  const giveUpMs = 64 * t1Ms
  return {
    A: reliable ? NEVER : t1Ms,
    B: giveUpMs,
    C: values.timerCMs,
    D: reliable ? 0 : Math.max(giveUpMs, 32_000),
    E: reliable ? NEVER : t1Ms,
    F: giveUpMs,
    G: reliable ? NEVER : t1Ms,
    H: giveUpMs,
    I: reliable ? 0 : t4Ms,
    J: reliable ? 0 : giveUpMs,
    K: reliable ? 0 : t4Ms,
    L: giveUpMs,
    M: giveUpMs,
    Trying: invite ? values.tryingMs : timerEReachesT2(values),
    Expiry: giveUpMs,
    Cancel: giveUpMs,
  }
}

/** RFC 4320 §4.1: when a client sets Timer E to T2 for the first time; 3.5 s with the default values. */
function timerEReachesT2({ t1Ms, t2Ms }: TimerValues): number {
  let elapsedMs = 0
  for (let intervalMs = t1Ms; intervalMs < t2Ms; intervalMs *= 2) elapsedMs += intervalMs
  return elapsedMs
}

const names = [
  'A',
  'B',
  'C',
  'D',
  'E',
  'F',
  'G',
  'H',
  'I',
  'J',
  'K',
  'L',
  'M',
  'Trying',
  'Expiry',
  'Cancel',
] as const

/** Timer → the event of the tables. */
export const timerEvent = Object.fromEntries(names.map((name) => [name, `timer${name}`])) as {
  readonly [T in TimerName]: TimerEvent
}
