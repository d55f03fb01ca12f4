import t from 'tap'
import { MemberHealth } from '../../stage1/member-health.ts'

const watched = () => {
  const changes: string[] = []
  const health = new MemberHealth((state, reason) => changes.push(`${state}: ${reason}`))
  return { health, changes }
}

t.test('the first good answer brings a member up', async (t) => {
  const { health } = watched()
  t.equal(health.state, 'unknown')
  health.probing()
  health.answered(200, 'OK')
  t.equal(health.state, 'up')
})

t.test('one miss changes nothing, two take it down, two answers bring it back', async (t) => {
  const { health, changes } = watched()
  health.probing()
  health.answered(200, 'OK')
  health.probing()
  health.probing()
  t.equal(health.state, 'up', 'one miss')
  health.answered(200, 'OK')
  health.probing()
  health.probing()
  t.equal(health.state, 'up', 'misses that are not in a row')
  health.probing()
  t.equal(health.state, 'down')
  health.answered(200, 'OK')
  t.equal(health.state, 'down', 'one answer')
  health.probing()
  health.answered(200, 'OK')
  t.equal(health.state, 'up')
  t.same(changes, ['up: answers probes', 'down: 2 probes unanswered', 'up: answers probes'])
})

t.test('a refused connection takes it down at once', async (t) => {
  const { health } = watched()
  health.probing()
  health.answered(200, 'OK')
  health.probing()
  health.refused()
  t.equal(health.state, 'down')
  t.equal(health.reason, 'connection refused')
})

t.test('503 means alive, but not serving', async (t) => {
  const { health } = watched()
  health.probing()
  health.answered(503, 'Loading')
  t.equal(health.state, 'not-serving')
  t.equal(health.reason, 'answers 503 Loading')
  health.probing()
  health.answered(200, 'OK')
  health.probing()
  health.answered(200, 'OK')
  t.equal(health.state, 'up')
})

t.test('503 of a member that is about to stop: it goes on with what it has', async (t) => {
  const { health, changes } = watched()
  health.probing()
  health.answered(200, 'OK')
  for (const reason of ['Draining', 'Stopping']) {
    health.probing()
    health.answered(503, reason)
    t.equal(health.state, 'draining')
  }
  health.refused()
  t.same(changes, ['up: answers probes', 'draining: answers 503 Draining', 'down: connection refused'])
})
