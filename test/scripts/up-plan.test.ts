import t from 'tap'
import { memberAddresses, nodeEnvironment, planNodes, wantedPorts } from '../../scripts/up-plan.ts'
import { loadConfig } from '../../src/ops/config.ts'

const URL = 'postgres://tandem@127.0.0.1:5433/tandem'

t.test('two stage-1 nodes and two groups of two', async (t) => {
  const nodes = planNodes(loadConfig({ env: {} }), [URL])
  t.same(
    nodes.map(({ name, stage }) => `${name} ${stage}`),
    ['s1 stage1', 's2 stage1', 'a1 stage2', 'a2 stage2', 'b1 stage2', 'b2 stage2'],
  )
  t.match(nodes[1]?.config, {
    node: 's2',
    database: { url: [URL], poolSize: 4 },
    stage1: { edge: [{ address: '127.0.0.1', port: 5062 }], inside: { port: 5162 }, workers: 1 },
  })
  t.same(memberAddresses(nodes), {
    a1: '127.0.0.1:5071',
    a2: '127.0.0.1:5072',
    b1: '127.0.0.1:5073',
    b2: '127.0.0.1:5074',
  })
})

t.test('another address moves everything but the database', async (t) => {
  const config = loadConfig({ env: { TANDEM_UP_HOST: '::1' } })
  t.equal(memberAddresses(planNodes(config, [URL])).b2, '[::1]:5074')
  const ports = wantedPorts(config)
  t.same(
    ports.filter(({ address }) => address !== '::1').map(({ port, option }) => [port, option]),
    [[5433, 'up.databasePort']],
  )
  t.equal(ports.length, 11)
})

t.test('with a configured database none is started', async (t) => {
  const ports = wantedPorts(loadConfig({ env: { TANDEM_DATABASE_URL: URL } }))
  t.notOk(ports.some(({ option }) => option === 'up.databasePort'))
})

t.test('every worker of an edge wants an inside port, and the edge its port for TCP too', async (t) => {
  const config = loadConfig({ env: { TANDEM_STAGE1_WORKERS: '2' } })
  t.equal(planNodes(config, [URL])[0]?.config.stage1.workers, 2)
  const wanted = wantedPorts(config).map(({ protocol, port }) => `${protocol} ${port}`)
  for (const port of ['udp 5060', 'tcp 5062', 'udp 5160', 'udp 5161', 'udp 5163'])
    t.ok(wanted.includes(port), port)
  t.throws(() => wantedPorts(loadConfig({ env: { TANDEM_STAGE1_WORKERS: '3' } })), { code: 'CONFIG_INVALID' })
})

t.test('a node gets its configuration by its environment, and nothing of ours besides', async (t) => {
  const config = loadConfig({ env: { TANDEM_LOG_LEVEL: 'debug', TANDEM_SIP_T1_MS: '100' } })
  for (const node of planNodes(config, [URL])) {
    const env = nodeEnvironment(node, {
      PATH: '/bin',
      TANDEM_CONFIG: '/etc/tandem.yaml',
      TANDEM_NODE: 'other',
    })
    t.same(loadConfig({ env }), node.config)
    t.equal(env.PATH, '/bin')
    t.notOk('TANDEM_CONFIG' in env)
  }
})
