/** A number is written with its thousands apart and aligned to the right; null and undefined are a dash. */
export type Cell = string | number | null | undefined

/** Rows under their titles, in columns as wide as their widest cell. A column of numbers, or of percentages, is aligned to the right. */
export function textTable(titles: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const texts = rows.map((row) => titles.map((_, i) => cellText(row[i])))
  const columns = titles.map((title, i) => ({
    width: Math.max(width(title), ...texts.map((row) => width(row[i] ?? ''))),
    isNumber: rows.length > 0 && rows.every((row) => isNumeric(row[i])),
  }))
  const line = (cells: readonly string[]) =>
    columns
      .map(({ width, isNumber }, i) => pad(cells[i] ?? '', width, isNumber))
      .join('  ')
      .trimEnd()
  return [line(titles), ...texts.map(line)]
}

/** A block of lines under a title, indented. */
export function section(title: string, lines: readonly string[]): string {
  return [title, ...lines.map((line) => `  ${line}`)].join('\n')
}

const format = new Intl.NumberFormat('en-US')

/** `1,000,000` */
export const numberText = (value: number): string => format.format(value)

/** `1 slot`, `2 slots` */
export const counted = (count: number, noun: string): string =>
  `${numberText(count)} ${noun}${count === 1 ? '' : 's'}`

const isNumeric = (cell: Cell): boolean =>
  typeof cell !== 'string' ? typeof cell === 'number' : /^[\d.]+ %$/.test(cell)

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined) return '-'
  return typeof cell === 'number' ? numberText(cell) : cell
}

/** In characters, not in UTF-16 units. */
const width = (text: string) => (/^[\x20-\x7e]*$/.test(text) ? text.length : [...text].length)

function pad(text: string, to: number, isNumber: boolean): string {
  const space = ' '.repeat(to - width(text))
  return isNumber ? space + text : text + space
}
