import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { createServer, isIPv6 } from 'node:net'
import { endianness } from 'node:os'
import { listenError, TandemError } from '../ops/errors.ts'
import { formatHostPort, type HostPort } from '../ops/host-port.ts'

export interface WantedPort extends HostPort {
  readonly protocol: 'udp' | 'tcp'
  /** What moves it, for the hint: `up.edgePorts or up.host`. */
  readonly option: string
}

/** Refuses the ports that cannot be had in one TandemError, one line each, before anything is started. */
export async function requirePorts(wanted: readonly WantedPort[]): Promise<void> {
  const refusals = (await Promise.all(wanted.map(refusal))).filter((error) => error !== undefined)
  const [first] = refusals
  if (!first) return
  const lines = refusals
    .filter(({ code }) => code === first.code)
    .map(({ message, hint }) => `${message}; ${hint}`)
  throw new TandemError(first.code, lines.join('\n'), { cause: first.cause })
}

async function refusal(wanted: WantedPort): Promise<TandemError | undefined> {
  try {
    await tryToListen(wanted)
    return undefined
  } catch (cause) {
    const what = `${wanted.protocol.toUpperCase()} ${formatHostPort(wanted)}`
    const error = listenError(cause, what, wanted.option)
    if (!error) throw cause
    const holder = error.code === 'PORT_TAKEN' ? await holderOf(wanted) : undefined
    if (holder === undefined) return error
    return new TandemError(error.code, `${error.message} (${holder})`, { hint: error.hint, cause })
  }
}

async function tryToListen({ protocol, address, port }: WantedPort): Promise<void> {
  if (protocol === 'tcp') {
    const server = createServer().listen({ host: address, port, exclusive: true })
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return
  }
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  try {
    socket.bind({ address, port, exclusive: true })
    await once(socket, 'listening')
  } finally {
    socket.close()
    await once(socket, 'close')
  }
}

/** `pid 4711, kamailio`, where Linux tells us; only root learns it about other users' processes. */
export async function holderOf({
  protocol,
  address,
  port,
}: Pick<WantedPort, 'protocol' | 'address' | 'port'>): Promise<string | undefined> {
  try {
    const inodes = new Set<string>()
    for (const table of [protocol, `${protocol}6`]) await collectInodes(table, address, port, inodes)
    for (const pid of await readdir('/proc')) {
      if (/^\d+$/.test(pid) && (await holdsOneOf(pid, inodes))) {
        return `pid ${pid}, ${(await readFile(`/proc/${pid}/comm`, 'utf8')).trim()}`
      }
    }
  } catch {
    // No /proc, or the process is gone by now: then we do not know.
  }
  return undefined
}

async function collectInodes(
  table: string,
  address: string,
  port: number,
  inodes: Set<string>,
): Promise<void> {
  const rows = (await readFile(`/proc/net/${table}`, 'utf8')).split('\n').slice(1)
  for (const row of rows) {
    // proc(5): sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
    const [, local = '', remote = '', , , , , , , inode] = row.trim().split(/\s+/)
    const [where = '', hexPort = ''] = local.split(':')
    const listens = remote.endsWith(':0000') && Number.parseInt(hexPort, 16) === port
    if (inode !== undefined && listens && isInTheWay(where, address)) inodes.add(inode)
  }
}

/** Whether a socket bound to an address of proc(5), words of 32 bits in the host's order, keeps others from `address`. */
function isInTheWay(hex: string, address: string): boolean {
  if (/^0+$/.test(hex) || isIPv6(address)) return true
  const bytes = address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))
  const own = (endianness() === 'LE' ? bytes.reverse() : bytes).join('').toUpperCase()
  return hex.slice(-8) === own
}

async function holdsOneOf(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
    if (inode !== undefined && inodes.has(inode)) return true
  }
  return false
}
