import t from 'tap'
import { Progress } from '../../scripts/progress.ts'

function progress(isTerminal: boolean, total: number | undefined) {
  const clock = { ms: 0 }
  const written: string[] = []
  const it = new Progress({ write: (text) => written.push(text), isTerminal, total, nowMs: () => clock.ms })
  return { it, written, at: (ms: number) => Object.assign(clock, { ms }) }
}

t.test('on a terminal a bar is drawn again and again, and makes room for lines', async (t) => {
  const { it, written, at } = progress(true, 1_000)
  it.update(100, 10)
  t.same(written, [], 'not at once')
  at(1_000)
  it.update(250, 1_000)
  t.same(written.splice(0), ['\r\x1b[K[######------------------] 25 %  1,000 users, 1,000/s, 3 s left'])
  at(1_050)
  it.update(300, 1_100)
  t.same(written, [], 'not more often than an eye can follow')
  it.note('line 7: no user')
  it.end()
  t.same(written, ['\r\x1b[K', 'line 7: no user\n'])
})

t.test('elsewhere a line now and then', async (t) => {
  const { it, written, at } = progress(false, 1_000)
  at(5_000)
  it.update(500, 5)
  at(10_000)
  it.update(500, 20_000)
  it.end()
  t.same(written, ['50 %  20,000 users, 2,000/s, 10 s left\n'])
})

t.test('of a source without an end it tells what it knows', async (t) => {
  const { it, written, at } = progress(false, undefined)
  at(10_000)
  it.update(500, 20_000)
  t.same(written, ['20,000 users, 2,000/s\n'])
})
