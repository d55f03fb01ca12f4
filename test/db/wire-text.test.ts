import t from 'tap'
import { fromSql, fromSqlOrNull, toSql, toSqlOrNull } from '../../db/wire-text.ts'

t.test('bytes of UTF-8 are stored as what they mean and come back as they were', async (t) => {
  for (const text of ['', 'alice', 'Jürgen', '日本語', '😀', '\ufeffbom', 'a\tb']) {
    const wire = Buffer.from(text, 'utf8').toString('latin1')
    t.equal(toSql(wire), text)
    t.equal(fromSql(text), wire)
  }
})

t.test('what PostgreSQL cannot store is replaced', async (t) => {
  t.equal(toSql('a\0b'), 'a\ufffdb')
  t.equal(toSql('\xe9\0'), 'é\ufffd', 'no UTF-8: taken as ISO 8859-1')
})

t.test('null stays null', async (t) => {
  t.equal(toSqlOrNull(null), null)
  t.equal(fromSqlOrNull(null), null)
  t.equal(fromSqlOrNull(toSqlOrNull('x')), 'x')
})
