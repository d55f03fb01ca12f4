import t from 'tap'
import { importProblems } from '../../scripts/check-imports.ts'

type Tree = Parameters<typeof t.testdir>[0]

const problemsIn = (t: { testdir(tree: Tree): string }, tree: Tree) => importProblems(t.testdir(tree))

t.test('imports that follow the rules', async (t) => {
  const tree = {
    src: {
      ops: { 'clock.ts': 'export interface Clock {}', 'log.ts': "import { pino } from 'pino'" },
      sip: { 'uri.ts': "import type { Clock } from '../ops/clock.ts'\nimport './via.ts'", 'via.ts': '' },
    },
    db: { 'map.ts': "import { x } from '../src/sip/uri.ts'" },
    stage1: { 'main.ts': "import { x } from './a.ts'\nexport { y } from '../db/map.ts'", 'a.ts': '' },
    stage2: { 'main.ts': "import '../src/ops/log.ts'" },
    scripts: {
      'up.ts': "const a = await import('../stage1/main.ts')\nconst b = await import('../stage2/main.ts')",
    },
    test: { 'x.ts': "import '../anything.ts'" },
  }
  t.same(problemsIn(t, tree), [])
})

t.test('each rule', async (t) => {
  const broken: [folder: string, source: string, problem: RegExp][] = [
    [
      'src',
      "import { a } from '../db/x.ts'",
      /^src\/f\.ts:1: imports db\/x\.ts, but src imports only from src$/,
    ],
    ['db', "import { a } from '../stage1/x.ts'", /^db\/f\.ts:1: .* but db imports only from db, src$/],
    ['stage1', "import { a } from '../stage2/x.ts'", /but stage1 imports only from stage1, db, src$/],
    ['stage2', "import type { A } from '../stage1/x.ts'", /but stage2 imports/],
    ['stage1', "export * from '../scripts/x.ts'", /but stage1 imports/],
    ['scripts', "import { a } from '../test/x.ts'", /but scripts imports/],
    ['loadtest', "await import('../scripts/x.ts')", /but loadtest imports/],
    ['db', "import {\n  a,\n  b,\n} from '../stage1/x.ts'", /^db\/f\.ts:4: /],
    ['db', "/* one\n two */\nimport '../stage1/x.ts'", /^db\/f\.ts:3: /],
  ]
  for (const [folder, source, problem] of broken) {
    t.match(problemsIn(t, { [folder]: { 'f.ts': source } }), [problem], source)
  }
})

t.test('src/sip keeps to itself', async (t) => {
  const sip = (source: string) => problemsIn(t, { src: { sip: { 'f.ts': source } } })
  t.match(sip("import { x } from '../net/udp.ts'"), [
    /^src\/sip\/f\.ts:1: imports src\/net\/udp\.ts, but src\/sip imports only/,
  ])
  t.match(sip("import { systemClock } from '../ops/clock.ts'"), [/takes only types from src\/ops\/clock\.ts/])
  t.same(sip("// import { x } from '../net/udp.ts'\nconst text = 'from nowhere'"), [])
})

t.test('circles', async (t) => {
  const tree = {
    src: {
      'a.ts': "import { b } from './b.ts'",
      'b.ts': "\nexport { c } from './c.ts'",
      'c.ts': "import { a } from './a.ts'",
      'd.ts': "import './a.ts'\nimport './d.ts'",
    },
  }
  t.same(problemsIn(t, tree), [
    'src/a.ts:1: a circle of imports: src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts',
    'src/d.ts:2: a circle of imports: src/d.ts -> src/d.ts',
  ])
  const types = {
    src: { 'a.ts': "import type { B } from './b.ts'", 'b.ts': "import type { A } from './a.ts'" },
  }
  t.same(problemsIn(t, types), [], 'types are erased')
})
