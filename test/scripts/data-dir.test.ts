import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DATA_LAYOUT, prepareDataDir } from '../../scripts/data-dir.ts'

t.test('a new directory is created and labelled', async (t) => {
  const dir = join(t.testdir({}), 'a', 'data')
  prepareDataDir(dir, 18)
  t.equal(readFileSync(join(dir, 'VERSION'), 'utf8'), `tandem ${DATA_LAYOUT}\npostgresql 18\n`)
  prepareDataDir(dir, 18)
  t.same(readdirSync(dir), ['VERSION'], 'and found again')
})

t.test('an empty one is taken', async (t) => {
  const dir = t.testdir({})
  prepareDataDir(dir, 18)
  t.same(readdirSync(dir), ['VERSION'])
})

t.test('one of another version is refused', async (t) => {
  const dir = t.testdir({ VERSION: `tandem ${DATA_LAYOUT}\npostgresql 17\n` })
  t.throws(() => prepareDataDir(dir, 18), {
    code: 'DATA_DIR_FOREIGN',
    message: `${dir} was written by a Tandem with data layout ${DATA_LAYOUT} and PostgreSQL 17; this one has layout ${DATA_LAYOUT} and PostgreSQL 18`,
    hint: /up\.dataDir/,
  })
  writeFileSync(join(dir, 'VERSION'), 'tandem 99\npostgresql 18\n')
  t.throws(() => prepareDataDir(dir, 18), { code: 'DATA_DIR_FOREIGN', message: /layout 99/ })
})

t.test('somebody else’s files are left alone', async (t) => {
  const dir = t.testdir({ 'thesis.txt': 'x' })
  t.throws(() => prepareDataDir(dir, 18), { code: 'DATA_DIR_FOREIGN', message: /no VERSION of Tandem/ })
  writeFileSync(join(dir, 'VERSION'), '')
  t.throws(() => prepareDataDir(dir, 18), { code: 'DATA_DIR_FOREIGN' })
  t.same(readdirSync(dir).sort(), ['VERSION', 'thesis.txt'])
})

t.test('a path that cannot be a directory', async (t) => {
  const dir = t.testdir({ file: '' })
  t.throws(() => prepareDataDir(join(dir, 'file'), 18), { code: 'DATA_DIR_UNUSABLE', hint: /up\.dataDir/ })
  t.throws(() => prepareDataDir(join(dir, 'file', 'data'), 18), { code: 'DATA_DIR_UNUSABLE' })
})
