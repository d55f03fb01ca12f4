import { createRequire } from 'node:module'

/** An open or closed socket of the addon. */
export type NativeSocket = object

/** The native addon as JavaScript sees it: `native/addon.cc`. Negative results are errno. */
export interface UdpAddon {
  readonly interface: number
  shareInbox(bytes: Uint8Array, lengths: Uint32Array, sources: Uint32Array): void
  open(options: NativeOptions, onReady: OnReady): NativeSocket | number
  send(socket: NativeSocket, first: number, count: number): number
  awaitWritable(socket: NativeSocket): void
  status(socket: NativeSocket): [address: string, port: number, receiveBytes: number, sendBytes: number]
  drops(socket: NativeSocket): number
  close(socket: NativeSocket): void
  parseAddress(text: string, words: Uint32Array): boolean
  formatAddress(words: Uint32Array): string
}

/** Called once for every readiness: `received` messages are in the inbox, or it is the negative errno of the socket. */
export type OnReady = (received: number, writable: boolean) => void

export interface NativeOptions {
  readonly address: string
  readonly port: number
  readonly peerAddress: string | undefined
  readonly peerPort: number | undefined
  readonly reusePort: boolean
  readonly receiveBufferBytes: number
  readonly sendBufferBytes: number
  readonly bytes: Uint8Array
  /** Message `i` is `bytes[bounds[i]]` up to `bytes[bounds[i + 1]]`. */
  readonly bounds: Uint32Array
  readonly targets: Uint32Array
}

/** As `kInterface` of the addon. */
const INTERFACE = 1

const FILE = './native/build/Release/udp.node'

let loaded: UdpAddon | Error | undefined

/** The addon, or why it cannot be had: not built, built for another system or release. Looked for once per thread. */
export function loadUdpAddon(): UdpAddon | Error {
  loaded ??= load()
  return loaded
}

function load(): UdpAddon | Error {
  if (process.platform !== 'linux') return new Error(`it needs Linux, this is ${process.platform}`)
  try {
    const addon = createRequire(import.meta.url)(FILE) as UdpAddon
    return addon.interface === INTERFACE ? addon : new Error('it was built for another release of Tandem')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return new Error(
      code === 'MODULE_NOT_FOUND' ? 'it has not been built' : (message.split('\n')[0] ?? message),
    )
  }
}
