import { EventEmitter } from 'node:events'
import t from 'tap'
import { whenAskedToStop } from '../../scripts/stop-signals.ts'

t.test('the first signal asks, a later one forces, and an echo of the first does neither', async (t) => {
  const source = new EventEmitter()
  let nowMs = 1_000
  let forced = 0
  const asked = whenAskedToStop(
    () => {
      forced++
    },
    source,
    () => nowMs,
  )
  source.emit('SIGINT', 'SIGINT')
  t.equal(await asked, 'SIGINT')
  nowMs += 5
  source.emit('SIGINT', 'SIGINT')
  t.equal(forced, 0)
  nowMs += 800
  source.emit('SIGINT', 'SIGINT')
  t.equal(forced, 1)
})

for (const signal of ['SIGTERM', 'SIGHUP']) {
  t.test(`${signal} asks too`, async (t) => {
    const source = new EventEmitter()
    const asked = whenAskedToStop(() => {}, source)
    source.emit(signal, signal)
    t.equal(await asked, signal)
  })
}
