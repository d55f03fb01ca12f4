import { pino } from 'pino'
import type { Test } from 'tap'
import type { BindingRow, WriteResult } from '../../db/binding-store.ts'
import type { SubscriberRow } from '../../db/subscriber-store.ts'
import { FlowTokens } from '../../src/net/flow-token.ts'
import type { Cluster } from '../../src/partition/cluster.ts'
import type { Endpoint } from '../../src/sip/endpoint.ts'
import { type Message, parseMessage } from '../../src/sip/message.ts'
import { respond } from '../../src/sip/response.ts'
import { TransactionLayer, type TransactionLayerOptions } from '../../src/sip/transaction/layer.ts'
import type { Authenticator } from '../../stage2/authenticator.ts'
import { type Aor, Directory } from '../../stage2/directory.ts'
import { GroupCommit } from '../../stage2/group-commit.ts'
import { HandOver } from '../../stage2/hand-over.ts'
import { Location } from '../../stage2/location.ts'
import { Member } from '../../stage2/member.ts'
import { Probers } from '../../stage2/probers.ts'
import { ProxyCore } from '../../stage2/proxy-core.ts'
import { Registrar } from '../../stage2/registrar.ts'
import type { RegistrationLimits } from '../../stage2/registration.ts'
import type { Serve } from '../../stage2/serve.ts'
import { Takeover } from '../../stage2/takeover.ts'
import { edgeInside, here, testCluster } from './cluster.ts'
import { FakeClock } from './fake-clock.ts'
import { batchOf, FakeTransport, type Sent, settled } from './fake-transport.ts'

export interface MemberBenchOptions {
  readonly cluster?: Cluster
  readonly durability?: 'commit' | 'async'
  readonly limits?: Partial<RegistrationLimits>
  /** What authentication says; `undefined` lets everybody in, as without this. */
  readonly challenge?: Authenticator['challenge']
  readonly layer?: Partial<TransactionLayerOptions>
}

/** A whole member on a table: time stands still, PostgreSQL is a function, what it sends is caught. */
export class MemberBench {
  readonly clock = new FakeClock()
  readonly transport = new FakeTransport(here)
  readonly location = new Location()
  readonly directory: Directory
  readonly commits: GroupCommit
  readonly layer: TransactionLayer
  readonly proxy: ProxyCore
  readonly registrar: Registrar
  readonly takeover: Takeover
  readonly member: Member
  readonly tokens: FlowTokens
  cluster: Cluster

  /** Rows written to PostgreSQL, batch by batch. */
  readonly written: (readonly BindingRow[])[] = []
  /** What PostgreSQL does with a batch; numbers it by default. */
  write = async (_rows: readonly BindingRow[]): Promise<WriteResult> => ({
    rev: 100 + this.written.length,
    newer: [],
    failed: [],
  })
  /** Users in PostgreSQL that are not in memory, and what asking for them does. */
  readThrough = async (_aor: Aor): Promise<SubscriberRow | undefined> => undefined
  /** What looking for a newer map does. */
  refreshMap = async (): Promise<void> => {}
  /** What a slot's rows are waited for by. */
  filling = (_slot: number): Promise<void> | undefined => undefined
  /** Whether the process has just stood still. */
  standstill = { isRecent: false }
  /** What a takeover does. */
  refresh = async (): Promise<void> => {}

  constructor(options: MemberBenchOptions = {}) {
    const { clock, transport, location } = this
    const log = pino({ level: 'silent' })
    const cluster = options.cluster ?? testCluster()
    this.cluster = cluster
    this.tokens = new FlowTokens(() => cluster.keys)
    this.directory = new Directory((aor) => this.readThrough(aor))
    this.commits = new GroupCommit((rows) => {
      this.written.push(rows)
      return this.write(rows)
    })
    this.member = new Member({ cluster: () => this.cluster, log })
    this.layer = new TransactionLayer(
      {
        clock,
        send: (text, to) => transport.send(text, to),
        trusts: (source) => this.member.trusts(source),
        ...options.layer,
      },
      this.member,
    )
    const serve: Serve = (request, source, user) => this.member.serve(request, source, user)
    this.registrar = new Registrar({
      reply: (request, source, answer) => this.member.reply(request, source, answer),
      authenticator: { challenge: options.challenge ?? (async () => undefined) } as Authenticator,
      location,
      commits: this.commits,
      limits: { minSec: 60, defaultSec: 3600, maxSec: 7200, maxContacts: 10, ...options.limits },
      durability: options.durability ?? 'commit',
      clock,
      log,
    })
    this.proxy = new ProxyCore({
      layer: this.layer,
      serve,
      directory: this.directory,
      location,
      cluster: () => cluster,
      tokens: this.tokens,
      clock,
      local: here,
      send: (text, to) => transport.send(text, to),
    })
    this.takeover = new Takeover(clock, 1000, () => this.refresh())
    const handOver = new HandOver({
      node: 'm1',
      local: here,
      cluster: () => this.cluster,
      refreshMap: () => this.refreshMap(),
      filling: (slot) => this.filling(slot),
      send: (text, to) => transport.send(text, to),
      clock,
    })
    const { layer, registrar, proxy, takeover } = this
    this.member.attach({
      probers: new Probers(clock),
      layer,
      registrar,
      proxy,
      takeover,
      handOver,
      transport,
      standstill: this.standstill,
    })
    this.member.state = 'serving'
  }

  /** A message arrives, and all that waits for nothing but promises is done. */
  async receive(text: string, source: Endpoint = edgeInside): Promise<void> {
    this.member.receive(batchOf(source, text))
    await settled()
  }

  /** What was sent since the last call. */
  take(): Sent[] {
    return this.transport.take()
  }

  /** The same as messages. */
  takeMessages(): Message[] {
    return this.take().map(({ text }) => read(text))
  }

  /** Statuses of the responses and methods of the requests sent since the last call: `['100', 'INVITE']`. */
  takeWords(): string[] {
    return this.takeMessages().map((message) =>
      message.isRequest ? message.requestMethod : String(message.status),
    )
  }

  /** The other side answers a request that was sent. */
  async answer(
    request: string,
    status: number,
    more: { toTag?: string; lines?: string } = {},
  ): Promise<void> {
    const text = respond(read(request), status, { toTag: more.toTag ?? 'bob' }) ?? ''
    await this.receive(text.replace('Content-Length', `${more.lines ?? ''}Content-Length`))
  }

  /** Ends every test: whatever lingers ends by itself, and nothing is left. */
  async assertEmpty(t: Test): Promise<void> {
    await settled()
    this.clock.advance(400_000)
    await settled()
    t.equal(this.layer.entries, 0, 'no transaction is left')
    t.equal(this.clock.pending, 0, 'no timer is left')
    t.equal(this.commits.backlog, 0, 'no commit is left')
    t.equal(this.location.pending, 0, 'no change waits')
    this.directory.close()
  }
}

export function read(text: string): Message {
  const message = parseMessage(text)
  if (!message) throw new Error(`not a message: ${text}`)
  return message
}

/** A user as PostgreSQL has him. */
export const subscriber = (user: string, changes: Partial<SubscriberRow> = {}): SubscriberRow => ({
  domain: 'example.com',
  user,
  slot: 0,
  enabled: true,
  ha1Md5: null,
  ha1Sha256: null,
  ha1Sha512256: null,
  rev: 1,
  ...changes,
})
