import { BatchedTransport } from '../../src/net/batched-transport.ts'
import type { TransportEvents } from '../../src/net/transport.ts'

/* A process whose listener throws at its first message. */

const uncaught: string[] = []
process.on('uncaughtException', ({ message }) => uncaught.push(message))

const open = (onMessages: TransportEvents['onMessages']) =>
  BatchedTransport.open({ address: '127.0.52.2', port: 0, option: '--' }, { onMessages, onError: () => {} })

const heard: string[] = []
const a = await open((batch) => {
  for (let i = 0; i < batch.length; i++) heard.push(batch.text(i))
  if (heard.length === 1) a.send('again', b.local)
  else {
    console.log(JSON.stringify({ uncaught, heard }))
    void Promise.all([a.close(), b.close()])
  }
})
const b = await open((batch, transport) => {
  transport.send(uncaught.length === 0 ? 'answered before' : 'heard after', batch.source(0))
  if (uncaught.length === 0) throw new Error('a bug')
})
a.send('hello', b.local)
