import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * Which folder may import from which: the picture of docs/design.md section 6, as a test. A folder that is not
 * named here may import whatever it likes, and nothing checked may import from it.
 */
const TYPES_FOR_SIP = ['src/ops/clock.ts', 'src/ops/cluster-keys.ts']
const MAY_IMPORT: Record<string, readonly string[]> = {
  'src/sip': ['src/sip', ...TYPES_FOR_SIP],
  src: ['src'],
  db: ['db', 'src'],
  stage1: ['stage1', 'db', 'src'],
  stage2: ['stage2', 'db', 'src'],
  loadtest: ['loadtest', 'stage1', 'stage2', 'db', 'src'],
  scripts: ['scripts', 'stage1', 'stage2', 'loadtest', 'db', 'src'],
}

interface Import {
  readonly file: string
  readonly line: number
  readonly target: string
  readonly typeOnly: boolean
}

/** Every import that breaks a rule, and every circle of imports, one line each. Paths are relative to `root`. */
export function importProblems(root: string): string[] {
  const imports = Object.keys(MAY_IMPORT)
    .filter((folder) => !folder.includes('/'))
    .flatMap((folder) => sources(root, folder))
    .flatMap((file) => importsOf(root, file))
  return [...imports.flatMap(broken), ...circles(imports)]
}

function sources(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)
    .sort()
}

// `import … from './x.ts'`, `export … from './x.ts'`, `import './x.ts'` and `import('./x.ts')`; names of packages do not begin with a dot.
const IMPORT =
  /(?:^|[\s;}])(?:(?:import|export)(\s+type)?\s[^'"`;]*?from\s*|import\s*\(?\s*)['"](\.[^'"]+)['"]/g

function importsOf(root: string, file: string): Import[] {
  const text = withoutComments(readFileSync(join(root, file), 'utf8'))
  return [...text.matchAll(IMPORT)].map((match) => ({
    file,
    line: text.slice(0, match.index + match[0].length).split('\n').length,
    target: relative(root, join(root, dirname(file), match[2] ?? '')),
    typeOnly: match[1] !== undefined,
  }))
}

// Lines are kept, so that their numbers stay right; a // inside a string hides no import that we would write.
const withoutComments = (text: string) =>
  text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/(^|\s)\/\/.*$/gm, '$1')

function broken({ file, line, target, typeOnly }: Import): string[] {
  const folder = Object.keys(MAY_IMPORT).find((name) => file.startsWith(`${name}/`)) ?? ''
  const allowed = MAY_IMPORT[folder] ?? []
  const ok = allowed.some((name) => target === name || target.startsWith(`${name}/`))
  const valueOfType = folder === 'src/sip' && TYPES_FOR_SIP.includes(target) && !typeOnly
  if (ok && !valueOfType) return []
  const rule = valueOfType ? `takes only types from ${target}` : `imports only from ${allowed.join(', ')}`
  return [`${file}:${line}: imports ${target}, but ${folder} ${rule}`]
}

/** Each circle once, from its first file on. Types are erased and make no circle. */
function circles(imports: readonly Import[]): string[] {
  const targets = new Map<string, Import[]>()
  for (const one of imports.filter(({ typeOnly }) => !typeOnly)) {
    targets.set(one.file, [...(targets.get(one.file) ?? []), one])
  }
  const done = new Set<string>()
  const found: string[] = []
  const visit = (file: string, path: readonly Import[]) => {
    const start = path.findIndex((step) => step.file === file)
    if (start >= 0) {
      const [first] = path.slice(start)
      found.push(
        `${first?.file}:${first?.line}: a circle of imports: ${[...path.slice(start).map((s) => s.file), file].join(' -> ')}`,
      )
    }
    if (done.has(file) || start >= 0) return
    for (const step of targets.get(file) ?? []) visit(step.target, [...path, step])
    done.add(file)
  }
  for (const file of targets.keys()) visit(file, [])
  return found
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = importProblems(join(dirname(fileURLToPath(import.meta.url)), '..'))
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
