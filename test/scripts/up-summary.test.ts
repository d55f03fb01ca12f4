import t from 'tap'
import { planNodes } from '../../scripts/up-plan.ts'
import { summary, type UpState } from '../../scripts/up-summary.ts'
import { loadConfig } from '../../src/ops/config.ts'

function state(env: NodeJS.ProcessEnv = {}): UpState {
  const nodes = planNodes(loadConfig({ env }), ['postgres://h/x'])
  const member = (group: string, node: string, role: 'master' | 'slave', port: number) => ({
    group,
    node,
    role,
    address: nodes[0]?.config.up.host ?? '',
    port,
  })
  return {
    version: '1.2.3',
    nodes,
    database: { shownUrl: 'postgres://tandem:x@127.0.0.1:5433/tandem', dataDir: './data' },
    contents: {
      map: {
        domains: [{ name: 'example.com' }],
        groups: [{ name: 'a' }, { name: 'b' }],
        members: [
          member('a', 'a1', 'master', 5071),
          member('a', 'a2', 'slave', 5072),
          member('b', 'b1', 'master', 5073),
          member('b', 'b2', 'slave', 5074),
        ],
        ranges: [
          { first: 0, last: 2047, group: 'a' },
          { first: 2048, last: 16382, group: 'b' },
          { first: 16383, last: 16383, group: 'a' },
        ],
      },
      users: [{ group: 'a', count: 7, names: ['alice', 'carol'] }],
    },
  }
}

t.test('where everything is, and what to try', async (t) => {
  const lines = summary(state())
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '))
  for (const line of [
    'Tandem 1.2.3 is running. Ctrl-C stops it.',
    's1 outside 127.0.0.1:5060 inside 127.0.0.1:5160',
    's2 outside 127.0.0.1:5062 inside 127.0.0.1:5162',
    'group a: a1 master 127.0.0.1:5071, a2 slave 127.0.0.1:5072',
    'users alice, carol, …',
    'slots 0-2047, 16383',
    'group b: b1 master 127.0.0.1:5073, b2 slave 127.0.0.1:5074',
    'users none',
    "psql 'postgres://tandem:x@127.0.0.1:5433/tandem'",
    'data in ./data',
    '_sip._udp.example.com. 60 IN SRV 10 50 5060 s1.example.com.',
    '_sip._udp.example.com. 60 IN SRV 10 50 5062 s2.example.com.',
    's2.example.com. 60 IN A 127.0.0.1',
    'example.com. 60 IN A 127.0.0.1',
  ]) {
    t.ok(lines.includes(line), line)
  }
  t.ok(lines.some((line) => line.startsWith('sipsak -v -U -p 127.0.0.1:5060 ')))
  t.ok(lines.includes('baresip -f data/phones/bob'))
})

t.test('IPv6 is published as AAAA', async (t) => {
  const text = summary(state({ TANDEM_UP_HOST: '2001:db8::1' }))
  t.match(text, /s1\.example\.com\. +60 +IN +AAAA +2001:db8::1/)
  t.match(text, /outside \[2001:db8::1\]:5060/)
})

t.test('no line is wider than a terminal', async (t) => {
  for (const line of summary(state()).split('\n')) t.ok(line.length <= 140, line)
})
