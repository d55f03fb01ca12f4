import { BatchedTransport } from './batched-transport.ts'
import { DgramTransport } from './dgram-transport.ts'
import type { TransportEvents, UdpOptions, UdpTransport } from './transport.ts'
import { loadUdpAddon } from './udp-addon.ts'

/** What the operator wants: `net.udp`. */
export type UdpChoice = 'auto' | 'batched' | 'dgram'

export interface UdpImplementation {
  readonly name: 'batched' | 'dgram'
  /** Why this one, for the log. */
  readonly reason: string
}

/** How {@link openUdp} opens sockets. */
export function udpImplementation(choice: UdpChoice = 'auto'): UdpImplementation {
  if (choice !== 'auto') return { name: choice, reason: 'net.udp says so' }
  const addon = loadUdpAddon()
  if (!(addon instanceof Error)) return { name: 'batched', reason: 'the native addon is there' }
  return { name: 'dgram', reason: `no native addon: ${addon.message}` }
}

/**
 * Opens a UDP socket: by batches where the native addon can be loaded, else over Node's `dgram`.
 * @throws TandemError PORT_TAKEN, PORT_FORBIDDEN, ADDRESS_UNAVAILABLE; UDP_ADDON_UNAVAILABLE if only `batched` will do
 */
export function openUdp(
  options: UdpOptions & { readonly choice?: UdpChoice },
  events: TransportEvents,
): Promise<UdpTransport> {
  const { name } = udpImplementation(options.choice)
  return name === 'batched' ? BatchedTransport.open(options, events) : DgramTransport.open(options, events)
}
