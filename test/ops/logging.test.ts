import { spawnSync } from 'node:child_process'
import t from 'tap'
import { textLine } from '../../src/ops/log-text.ts'
import { createLogger } from '../../src/ops/logging.ts'

function logTo(format: 'auto' | 'json' | 'text', level: 'info' | 'debug' = 'info') {
  const lines: string[] = []
  const log = createLogger({ level, format }, { node: 's1', to: { write: (line) => lines.push(line) } })
  return { log, lines }
}

t.test('JSON, one object a line', async (t) => {
  const { log, lines } = logTo('auto')
  log.info({ callId: 'x@y' }, 'hello')
  log.debug('not seen')
  t.equal(lines.length, 1)
  const line = JSON.parse(lines[0] ?? '')
  t.match(line, { level: 'info', node: 's1', callId: 'x@y', msg: 'hello', time: /^\d{4}-\d\d-\d\dT.*Z$/ })
})

t.test('secrets do not reach the log', async (t) => {
  const { log, lines } = logTo('json')
  log.info({ password: 'heim', user: { ha1Md5: 'heim' }, authorization: 'heim' }, 'fields')
  log.info({ url: 'postgres://u:heim@h/x', database: { url: ['postgres://u:heim@h/x'] } }, 'URLs')
  log.error({ err: new Error('no connection to postgres://u:heim@h/x') }, 'errors')
  log.error({ err: new Error('outer', { cause: new Error('inner: postgres://u:heim@h/x') }) }, 'causes')
  t.equal(lines.length, 4)
  t.notMatch(lines.join(''), /heim/)
  t.match(JSON.parse(lines[3] ?? ''), {
    err: { message: 'outer', cause: { message: 'inner: postgres://u:***@h/x' } },
  })
  t.match(JSON.parse(lines[1] ?? ''), {
    url: 'postgres://u:***@h/x',
    database: { url: ['postgres://u:***@h/x'] },
  })
})

t.test('text for people', async (t) => {
  const { log, lines } = logTo('text')
  log.warn({ slots: 8192, aor: 'sip:alice@example.com', ua: 'a\u001b[31m\nb' }, 'member a1 is down')
  t.match(
    lines[0],
    /^\d\d:\d\d:\d\d\.\d{3} s1 WARN {2}member a1 is down {2}slots=8192 {2}aor=sip:alice@example\.com {2}ua="a\\u001b\[31m\\nb"\n$/,
  )
  log.error({ err: new Error('boom') }, 'failed')
  t.match(lines[1], /s1 ERROR failed {2}error=boom\n$/)
  t.match(
    textLine('{"time":"2002-06-01T10:11:12.345Z","level":"info","node":"a1","msg":"ready"}'),
    '10:11:12.345 a1 INFO  ready\n',
  )
})

t.test('what was logged before process.exit() is written', async (t) => {
  const script = `
    import { createLogger } from ${JSON.stringify(new URL('../../src/ops/logging.ts', import.meta.url).href)}
    const log = createLogger({ level: 'info', format: 'json' }, { node: 'x' })
    for (let i = 0; i < 1000; i++) log.info({ i }, 'line')
    log.fatal('last words')
    process.exit(70)`
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--import=tsx', '--input-type=module', '-e', script],
    {
      encoding: 'utf8',
    },
  )
  const lines = stdout.trim().split('\n')
  t.equal(lines.length, 1001)
  t.match(lines.at(-1), /last words/)
  t.equal(status, 70)
})

t.test('one of several processes of a node says which', async (t) => {
  const lines: string[] = []
  for (const format of ['json', 'text'] as const) {
    const to = { write: (line: string) => lines.push(line) }
    createLogger({ level: 'info', format }, { node: 's1', worker: 2, to }).info('hello')
  }
  t.match(JSON.parse(lines[0] ?? ''), { node: 's1', worker: 2, msg: 'hello' })
  t.match(lines[1], / s1\/2 INFO {2}hello\n$/)
})
