import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { H } from '../../../src/sip/header.ts'
import { respond } from '../../../src/sip/response.ts'
import { Rewrite } from '../../../src/sip/rewrite.ts'
import { TransactionLayer } from '../../../src/sip/transaction/layer.ts'
import type { ServerTransaction } from '../../../src/sip/transaction/server-transaction.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ackTo, parsed, peer, requestText } from './bench.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const COUNT = 300
const BODY = 32_768

/** What each of many transactions holds on to after `run`, in bytes. */
function bytesHeldAfter(
  run: (layer: TransactionLayer, serving: () => ServerTransaction, n: number) => void,
): number {
  let newest: ServerTransaction | undefined
  const layer: TransactionLayer = new TransactionLayer(
    { clock: new FakeClock(), send: () => {}, trusts: () => true, detectMerged: true },
    {
      request: (request, source) => {
        newest = layer.serve(request, source, {})
      },
      ack: () => {},
    },
  )
  const serving = () => newest as ServerTransaction
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let n = 0; n < COUNT; n++) run(layer, serving, n)
  newest = undefined
  collectGarbage()
  const bytes = (process.memoryUsage().heapUsed - before) / COUNT
  if (layer.open < COUNT) throw new Error('they were to linger')
  layer.close()
  return bytes
}

/** As from a socket: a string of its own. */
function received(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

const bulky = (method: string, n: number, via?: string) =>
  received(requestText(method, { ...(via && { via }), callId: `call-number-${n}` }) + 'x'.repeat(BODY))

const silent = { response: () => {}, failed: () => {} }

t.test('a lingering transaction holds no text of its request', async (t) => {
  const via = (n: number) => `SIP/2.0/UDP very.old.example.com;branch=${n}`
  const cases: Record<string, Parameters<typeof bytesHeldAfter>[0]> = {
    'non-INVITE server, completed': (layer, serving, n) => {
      layer.receive(parsed(bulky('MESSAGE', n)), peer)
      serving().reply(200)
    },
    'non-INVITE server of an old client': (layer, serving, n) => {
      layer.receive(parsed(bulky('MESSAGE', n, via(n))), peer)
      serving().reply(200)
    },
    'non-INVITE server, its response on another way': (layer, serving, n) => {
      const request = bulky('MESSAGE', n)
      layer.receive(parsed(request), peer)
      serving().reply(200)
      layer.receive(parsed(received(request)), { ...peer, port: 5099 })
    },
    'non-INVITE client, completed': (layer, _, n) => {
      const request = bulky('MESSAGE', n)
      layer.request(request, peer, silent)
      layer.receive(parsed(received(respond(parsed(request), 200) + 'x'.repeat(BODY))), peer)
    },
    'INVITE server, completed': (layer, serving, n) => {
      layer.receive(parsed(bulky('INVITE', n)), peer)
      serving().reply(486)
    },
    'INVITE server, confirmed': (layer, serving, n) => {
      const request = bulky('INVITE', n, via(n))
      layer.receive(parsed(request), peer)
      serving().reply(486)
      layer.receive(parsed(received(ackTo(request, serving().tag))), peer)
    },
    'INVITE server, accepted': (layer, serving, n) => {
      layer.receive(parsed(bulky('INVITE', n)), peer)
      serving().reply(200, { body: 'x'.repeat(BODY) })
    },
    'INVITE client, completed': (layer, _, n) => {
      const request = bulky('INVITE', n)
      layer.request(request, peer, silent)
      layer.receive(parsed(received(respond(parsed(request), 486) + 'x'.repeat(BODY))), peer)
    },
    'INVITE client, accepted': (layer, _, n) => {
      const received = parsed(bulky('INVITE', n))
      const request = new Rewrite(received).prepend(H.via, `SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours${n}`)
      layer.request(request.toString(), peer, silent)
      layer.receive(parsed(respond(parsed(request.toString()), 200) ?? ''), peer)
    },
  }
  for (const [what, run] of Object.entries(cases)) {
    const bytes = bytesHeldAfter(run)
    t.ok(bytes < BODY / 8, `${what}: ${Math.round(bytes)} bytes`)
  }
})

t.test('the measure is one: an unanswered request is held', async (t) => {
  const bytes = bytesHeldAfter((layer, _, n) => layer.receive(parsed(bulky('MESSAGE', n)), peer))
  t.ok(bytes > BODY, `${Math.round(bytes)} bytes`)
})
