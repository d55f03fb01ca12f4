import t from 'tap'
import { Tandem } from '../support/tandem.ts'

const tandem = await Tandem.start({
  host: '127.0.141.1',
  databasePort: 15541,
  dataDir: await Tandem.newDataDir(),
})
t.teardown(() => tandem.destroy())

const open = async (user: string, more = {}) => {
  const phone = await tandem.phone(user, more)
  t.teardown(() => phone.close())
  return phone
}

const alice = await open('alice')
const bob = await open('bob')

t.test('phones register with digest, and a wrong password does not', async (t) => {
  const answer = await alice.register()
  t.equal(answer.status, 200)
  t.equal(answer.headers.contact[0].uri, alice.contact)
  t.equal(answer.headers.contact[0].params.expires, '600')
  t.equal((await bob.register()).status, 200)
  const mallory = await open('alice', { password: 'guess' })
  t.equal((await mallory.register()).status, 401)
  const nobody = await open('nobody')
  t.equal((await nobody.register()).status, 401, 'a user who does not exist looks like a wrong password')
})

t.test('alice calls bob in the other group, and hangs up', async (t) => {
  const provisional: number[] = []
  const call = await alice.call(bob.aor, ({ status }) => provisional.push(status))
  t.equal(call.final.status, 200)
  t.same(provisional, [100, 180])
  t.equal((await call.hangUp()).status, 200)
  t.same(
    bob.requests.map(({ method }) => method),
    ['INVITE', 'ACK', 'BYE'],
  )
  const [invite] = bob.requests
  t.equal(invite?.uri, bob.contact, 'the contact that bob registered')
  t.equal(invite?.headers.via.length, 4, 'edge, member, edge, alice')
})

t.test('bob calls alice', async (t) => {
  const call = await bob.call(alice.aor)
  t.equal(call.final.status, 200)
  t.equal((await call.hangUp()).status, 200)
})

t.test('the other stage-1 node does as well', async (t) => {
  const other = await open('bob', { servers: tandem.edges.slice(1) })
  const answer = await other.message(alice.aor, 'hello')
  t.equal(answer.status, 200)
  t.equal(alice.requests.at(-1)?.content, 'hello')
})

t.test('a cancelled call ends with 487', async (t) => {
  const carol = await open('carol', { ringOnly: true })
  t.equal((await carol.register()).status, 200)
  t.equal((await bob.callAndCancel(carol.aor)).status, 487)
  t.ok(carol.requests.some(({ method }) => method === 'CANCEL'))
})

t.test('busy is passed on', async (t) => {
  const dave = await open('dave', { inviteStatus: 486 })
  t.equal((await dave.register()).status, 200)
  t.equal((await alice.call(dave.aor)).final.status, 486)
})

t.test('who is not registered gets 480, who does not exist 404, a foreign domain 403', async (t) => {
  t.equal((await alice.register(0)).status, 200, 'she leaves')
  t.equal((await bob.call(alice.aor)).final.status, 480)
  t.equal((await bob.call('sip:nobody@example.com')).final.status, 404)
  t.equal((await bob.call('sip:someone@example.net')).final.status, 403)
})

t.test('it stops in order within five seconds', async (t) => {
  t.ok((await tandem.stop()) < 5000)
  t.match(tandem.output, /stopped in \d/)
  t.notMatch(tandem.output, /\n\s+at /, 'no stack trace')
})
