import { commandVariables } from './config-env.ts'
import { type ConfigKey, configKeys } from './config-schema.ts'

/** The options as a Markdown table, for the README: generated, so that it cannot be out of date. */
export function configReference(): string {
  const rows = configKeys.map((key) => [
    `\`${key.path.join('.')}\``,
    `\`${key.variable}\``,
    shownDefault(key),
    `${key.meaning} Allowed: ${key.allowed}.`,
  ])
  const others = Object.entries(commandVariables).map(([name, meaning]) => ['', `\`${name}\``, '', meaning])
  const table = [['key', 'variable', 'default', 'meaning'], ['---', '---', '---', '---'], ...rows, ...others]
  return table
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')
}

function shownDefault({ fallback }: ConfigKey): string {
  if (fallback === undefined) return ''
  if (Array.isArray(fallback)) return fallback.length === 0 ? '' : `\`[${fallback.join(', ')}]\``
  return `\`${String(fallback)}\``
}
