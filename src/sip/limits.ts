/**
 * The bounds of what is read, checked before the work they bound is done. The figures are generous against real
 * traffic and RFC 4475's `longreq`, and small enough that the worst message costs under a millisecond.
 */
export const limits = Object.freeze({
  /** A UDP datagram cannot be longer; on streams the same bound makes a message relayable by UDP. */
  messageBytes: 65_535,
  headerCount: 256,
  /** One header with its folded lines. */
  headerBytes: 8192,
  uriBytes: 2048,
  /** Via values: no legitimate path is longer than Max-Forwards' usual start. */
  viaCount: 70,
})

export type Limits = typeof limits
