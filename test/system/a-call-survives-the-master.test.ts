import t from 'tap'
import { Tandem } from '../support/tandem.ts'

const options = { host: '127.0.142.1', databasePort: 15542, dataDir: await Tandem.newDataDir() }
let tandem = await Tandem.start(options)
t.teardown(() => tandem.destroy())

const alice = await tandem.phone('alice')
const bob = await tandem.phone('bob')
t.teardown(() => Promise.all([alice.close(), bob.close()]))

t.test('the slave knows what was registered through the master a moment ago', async (t) => {
  t.equal((await alice.register()).status, 200)
  await tandem.killNode('b1')
  const call = await bob.call(alice.aor)
  t.equal(call.final.status, 200)
  t.equal((await call.hangUp()).status, 200)
  await tandem.says(/member b1 is down: connection refused/)
})

t.test('a dead process is restarted and takes its slots back', async (t) => {
  await tandem.says(/b1 \(pid \d+\) died: SIGKILL; restart in/)
  await tandem.says(/b1 is back/)
  await tandem.says(/down[\s\S]*member b1 is up/)
  t.equal((await bob.call(alice.aor)).final.status, 200)
})

t.test('after a restart of everything alice is still registered', async (t) => {
  t.ok((await tandem.stop()) < 5000)
  tandem = await Tandem.start(options)
  t.notMatch(tandem.output, /filled with the demo/)
  const call = await bob.call(alice.aor)
  t.equal(call.final.status, 200)
  t.equal((await call.hangUp()).status, 200)
})
