/** The methods that we know (RFC 3261 and its extensions). */
export const METHODS: readonly string[] = [
  ...['INVITE', 'ACK', 'BYE', 'CANCEL', 'REGISTER', 'OPTIONS', 'MESSAGE', 'SUBSCRIBE', 'NOTIFY', 'PRACK'],
  ...['UPDATE', 'INFO', 'REFER', 'PUBLISH'],
]

// Length and first letter tell them apart.
const slots = 32
const slotOf = (length: number, first: number) => (length * 11 + first) & (slots - 1)
const bySlot: string[] = new Array(slots).fill('')

for (const method of METHODS) {
  const slot = slotOf(method.length, method.charCodeAt(0))
  if (bySlot[slot] !== '') throw new Error(`methods ${method} and ${bySlot[slot]} share a slot`)
  bySlot[slot] = method
}

/**
 * The known method that `text[start, end)` is, a pattern having said that it is one. A constant in place of a slice:
 * comparisons are then by pointer, and nothing keeps the text alive.
 */
export function knownMethodAt(text: string, start: number, end: number): string {
  return bySlot[slotOf(end - start, text.charCodeAt(start))] as string
}

/** The method in `text[start, end)`: the constant if we know it. */
export function methodAt(text: string, start: number, end: number): string {
  const known = knownMethodAt(text, start, end)
  const method = text.slice(start, end)
  return known === method ? known : method
}
