import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { configReference } from '../../src/ops/config-reference.ts'
import { configKeys } from '../../src/ops/config-schema.ts'
import { errorCodes } from '../../src/ops/errors.ts'

const readme = new URL('../../README.md', import.meta.url)
const errors = new URL('../../docs/errors.md', import.meta.url)

const UNITS = { Ms: /[Mm]illiseconds/, Sec: /seconds/, PerSec: /second/ }

t.test('every key says what it means and what it takes', async (t) => {
  for (const key of configKeys) {
    t.match(key.meaning, /^\S.*\.$/, key.path.join('.'))
    t.notMatch(key.allowed, /undefined/, key.path.join('.'))
    const unit = /(?:Ms|(?:Per)?Sec)$/.exec(key.path.at(-1) ?? '')?.[0]
    if (unit) t.match(key.meaning, UNITS[unit as keyof typeof UNITS], `${key.path.join('.')} names its unit`)
  }
})

t.test('the table has a row for each key', async (t) => {
  const rows = configReference().split('\n')
  t.same(rows.slice(0, 2), ['| key | variable | default | meaning |', '| --- | --- | --- | --- |'])
  for (const { path, variable } of configKeys) {
    t.equal(
      rows.filter((row) => row.startsWith(`| \`${path.join('.')}\` | \`${variable}\` |`)).length,
      1,
      variable,
    )
  }
  t.ok(rows.some((row) => row.includes('`[5060, 5062]`')))
})

t.test(
  'the README shows the options of this release',
  { skip: !existsSync(readme) && 'no README yet' },
  async (t) => {
    const shown = /<!-- options -->\n([\s\S]*?)\n<!-- \/options -->/.exec(readFileSync(readme, 'utf8'))?.[1]
    t.equal(shown?.trim(), configReference(), 'run `node --import=tsx scripts/generate-docs.ts`')
  },
)

t.test(
  'the documented error codes are the ones in the code',
  { skip: !existsSync(errors) && 'no docs/errors.md yet' },
  async (t) => {
    const documented = [...readFileSync(errors, 'utf8').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(
      ([, code]) => code,
    )
    t.same(documented, Object.keys(errorCodes), 'run `node --import=tsx scripts/generate-docs.ts`')
  },
)
