import cluster from 'node:cluster'
import { once } from 'node:events'
import { isMainThread, parentPort, Worker as Thread, workerData } from 'node:worker_threads'
import { pino } from 'pino'
import { FlowTokens } from '../src/net/flow-token.ts'
import type { InboundBatch, Transport } from '../src/net/transport.ts'
import { openUdp } from '../src/net/udp.ts'
import { systemClock } from '../src/ops/clock.ts'
import { edgeWorker } from '../src/partition/cluster.ts'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { Edge } from '../stage1/edge.ts'
import { Guard } from '../stage1/guard.ts'
import type { Face } from '../stage1/route-request.ts'
import { Worker } from '../stage1/worker.ts'
import { edgeNodeOf } from '../stage1/worker-addresses.ts'
import { type BenchNode, benchCluster, benchConfig } from './stage1-node.ts'

/*
 * The servers of `bench:pools`. A pool is processes, each with a worker of the product; that of `dgram` shares one socket, that of
 * the batched transport has one each by SO_REUSEPORT. The threads have no sockets: one thread receives, hands batches over
 * in turn, and sends what comes back.
 */

export interface PoolOrder extends BenchNode {
  readonly architecture: 'loop' | 'pool' | 'threads'
  readonly size: number
}

const log = pino({ level: 'silent' })

async function startLoop(order: PoolOrder, number: number, isShared: boolean): Promise<void> {
  const config = benchConfig(order, order.size)
  await Worker.start({
    config,
    number,
    isShared,
    cluster: benchCluster(config, order),
    clock: systemClock,
    log,
    onMember: () => {},
  })
}

async function startPool(order: PoolOrder): Promise<void> {
  cluster.setupPrimary({ args: [JSON.stringify(order)] })
  for (let number = 0; number < order.size; number++) {
    const worker = cluster.fork({ BENCH_WORKER: String(number) })
    await once(worker, 'message')
  }
}

/** What goes to a thread. */
interface HandedBatch {
  readonly face: Face
  readonly texts: readonly string[]
  readonly sources: readonly Endpoint[]
}

/** What comes back: by which face, or over the link to the member. */
type HandedSend = readonly [way: Face | 'link', text: string, to: Endpoint | undefined]

async function startThreads(order: PoolOrder): Promise<void> {
  const threads = Array.from(
    { length: order.size },
    () => new Thread(import.meta.filename, { workerData: order }),
  )
  await Promise.all(threads.map((thread) => once(thread, 'message')))
  let next = 0
  const onBatch = (batch: InboundBatch, face: Face) => {
    const indices = Array.from({ length: batch.length }, (_, i) => i)
    const handed: HandedBatch = {
      face,
      texts: indices.map((i) => batch.text(i)),
      sources: indices.map((i) => batch.source(i)),
    }
    threads[next++ % threads.length]?.postMessage(handed)
  }
  const open = (face: Face, at: Endpoint, peer?: Endpoint): Promise<Transport> =>
    openUdp(
      {
        address: at.address,
        port: peer ? 0 : at.port,
        option: '--',
        choice: order.udp,
        ...(peer && { peer }),
      },
      { onMessages: (batch) => onBatch(batch, face), onError: () => {} },
    )
  const ways = {
    outside: await open('outside', order.outside),
    inside: await open('inside', order.inside),
    link: await open('inside', order.inside, order.member),
  }
  for (const thread of threads)
    thread.on('message', (sends: readonly HandedSend[]) => {
      for (const [way, text, to] of sends) ways[way].send(text, to ?? order.member)
    })
}

function runThread(order: PoolOrder): void {
  const config = benchConfig(order)
  const inCluster = benchCluster(config, order)
  let sends: HandedSend[] = []
  const way = (name: HandedSend[0]) => ({
    send: (text: string, to?: Endpoint) => {
      sends.push([name, text, to])
      return true
    },
    isOpen: () => false,
  })
  const edge = new Edge({
    self: edgeWorker(edgeNodeOf(config), 0),
    outside: way('outside'),
    inside: way('inside'),
    cluster: () => inCluster,
    tokens: new FlowTokens(() => inCluster.keys),
    members: { serving: () => way('link') },
    guard: new Guard({ config: config.stage1.guard, clock: systemClock, log }),
    clock: systemClock,
    log,
  })
  parentPort?.on('message', ({ face, texts, sources }: HandedBatch) => {
    edge.receive(
      { length: texts.length, text: (i) => texts[i] as string, source: (i) => sources[i] as Endpoint },
      face,
    )
    parentPort?.postMessage(sends)
    sends = []
  })
  parentPort?.postMessage('ready')
}

if (!isMainThread) runThread(workerData as PoolOrder)
else {
  const order = JSON.parse(process.argv[2] ?? '{}') as PoolOrder
  if (cluster.isWorker) await startLoop(order, Number(process.env.BENCH_WORKER), true)
  else if (order.architecture === 'loop') await startLoop(order, 0, false)
  else await (order.architecture === 'pool' ? startPool(order) : startThreads(order))
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}
