import t from 'tap'
import { errorCodes, errorLines, isErrorCode, listenError, TandemError } from '../../src/ops/errors.ts'

t.test('an error carries its code, its hint and its cause', async (t) => {
  const cause = new Error('because')
  const error = new TandemError('PORT_TAKEN', 'UDP 127.0.0.1:5060 is taken', { hint: 'free it', cause })
  t.match(error, { name: 'TandemError', code: 'PORT_TAKEN', hint: 'free it', cause })
  t.same(errorLines(error), ['tandem: PORT_TAKEN: UDP 127.0.0.1:5060 is taken; free it'])
  t.notOk('cause' in new TandemError('USAGE', 'no'))
})

t.test('several problems are several lines', async (t) => {
  t.same(errorLines(new TandemError('CONFIG_INVALID', 'a\nb')), [
    'tandem: CONFIG_INVALID: a',
    'tandem: CONFIG_INVALID: b',
  ])
})

t.test('the table', async (t) => {
  for (const [code, { exit, meaning }] of Object.entries(errorCodes)) {
    t.match(code, /^[A-Z][A-Z_]+$/)
    t.match(meaning, /^[A-Z`].*\.$/)
    t.ok(exit === 1 || exit === 2)
    t.ok(isErrorCode(code))
  }
  for (const other of ['toString', '', 7, undefined]) t.notOk(isErrorCode(other))
})

t.test('a refused listen is the error of whoever chose the address', async (t) => {
  const refused = (code: string) =>
    listenError(Object.assign(new Error(code), { code }), 'UDP 192.0.2.1:80', 'stage1.edge')
  t.match(refused('EADDRINUSE'), { code: 'PORT_TAKEN', message: /UDP 192\.0\.2\.1:80/, hint: /stage1\.edge/ })
  t.match(refused('EACCES'), { code: 'PORT_FORBIDDEN' })
  t.match(refused('EADDRNOTAVAIL'), { code: 'ADDRESS_UNAVAILABLE' })
  t.equal(refused('EMFILE'), undefined)
  t.equal(listenError(undefined, '', ''), undefined)
})
