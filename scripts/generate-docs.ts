import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { configReference } from '../src/ops/config-reference.ts'
import { errorCodes } from '../src/ops/errors.ts'

/* Writes the parts of the documentation that come from the code. Tests compare them; this brings them up to date. */

/** `text` with what stands between `<!-- name -->` and `<!-- /name -->` replaced. */
export function replaceSection(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the markers ${begin} and ${end} are missing`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}

export function errorReference(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, { exit, meaning }]) => `| \`${code}\` | ${exit} | ${meaning} |`,
  )
  return ['| code | exit status | meaning |', '| --- | --- | --- |', ...rows].join('\n')
}

const ERRORS_PAGE = `# Error codes

Each failure that an operator can cause is one line on stderr: \`tandem: CODE: what is wrong; what to do\`. The codes stay the
same between releases. Exit status 70 is a bug in Tandem; its stack trace belongs in the report.

<!-- errors -->
<!-- /errors -->
`

function generateDocs(root: string): void {
  const readme = join(root, 'README.md')
  const errors = join(root, 'docs', 'errors.md')
  if (existsSync(readme)) {
    writeFileSync(readme, replaceSection(readFileSync(readme, 'utf8'), 'options', configReference()))
  }
  const page = existsSync(errors) ? readFileSync(errors, 'utf8') : ERRORS_PAGE
  writeFileSync(errors, replaceSection(page, 'errors', errorReference()))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  generateDocs(join(fileURLToPath(import.meta.url), '..', '..'))
}
