import { once } from 'node:events'
import type { Socket } from 'node:net'
import pg from 'pg'

/** ReadyForQuery, outside a transaction: the end of every answer. */
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1')

/** How long `COPY (select) TO STDOUT` takes for a client that throws everything away, ms. */
export async function bareCopy(url: string, select: string, format: 'text' | 'binary'): Promise<number> {
  const client = new pg.Client(url)
  // It does not understand that its connection is closed over its head.
  client.on('error', () => {})
  await client.connect()
  const { connection } = client as unknown as { connection: { stream: Socket; query(text: string): void } }
  const { stream } = connection
  stream.removeAllListeners('data')
  let end = Buffer.alloc(0)
  const over = new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      end = Buffer.concat([end, chunk.subarray(-READY.length)]).subarray(-READY.length)
      if (end.equals(READY)) resolve()
    })
  })
  const startedMs = performance.now()
  connection.query(`copy (${select}) to stdout (format ${format})`)
  await over
  const elapsedMs = performance.now() - startedMs
  stream.destroy()
  await once(stream, 'close')
  return elapsedMs
}
