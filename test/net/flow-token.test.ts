import { randomBytes } from 'node:crypto'
import t from 'tap'
import { FlowTokens } from '../../src/net/flow-token.ts'

const current = randomBytes(32)
const flows = new FlowTokens(() => ({ current, previous: undefined }))
const flow = { transport: 'udp', address: '192.0.2.7', port: 40001 } as const

t.test('a token opens to the flow it was minted for', async (t) => {
  t.same(flows.open(flows.mint(flow)), flow)
  const v6 = { transport: 'tcp', address: '2001:db8::1', port: 5060 } as const
  t.same(flows.open(flows.mint(v6)), v6)
  const connected = { ...v6, worker: 3, connection: 4_294_967_296 }
  t.same(flows.open(flows.mint(connected)), connected)
  const local = { ...flow, address: 'fe80::1%br-0' }
  t.same(flows.open(flows.mint(local)), local)
  for (const each of [flow, connected, local])
    t.match(flows.mint(each), /^[\w.+-]+$/, 'needs no escape in a URI')
})

t.test('any changed character makes it worthless', async (t) => {
  const token = flows.mint(flow)
  for (let i = 0; i < token.length; i++) {
    const changed = `${token.slice(0, i)}${token[i] === '1' ? '2' : '1'}${token.slice(i + 1)}`
    t.equal(flows.open(changed), undefined, `character ${i}`)
  }
  for (const junk of ['', 'alice', 'A'.repeat(500), '%00']) t.equal(flows.open(junk), undefined)
})

t.test('the previous key still opens, a foreign one does not', async (t) => {
  const rotated = new FlowTokens(() => ({ current: randomBytes(32), previous: current }))
  t.same(rotated.open(flows.mint(flow)), flow)
  t.not(rotated.mint(flow), flows.mint(flow))
  const foreign = new FlowTokens(() => ({ current: randomBytes(32), previous: undefined }))
  t.equal(foreign.open(flows.mint(flow)), undefined)
})
