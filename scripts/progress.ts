import { numberText } from './text-table.ts'

export interface ProgressOptions {
  readonly write: (text: string) => void
  /** One line that is drawn again and again; elsewhere a new line now and then. */
  readonly isTerminal: boolean
  /** Bytes to read; undefined: not known. */
  readonly total: number | undefined
  readonly nowMs: () => number
}

const BAR = 24
const REDRAW_MS = 200
const NEW_LINE_MS = 10_000
const CLEAR_LINE = '\r\x1b[K'

/** How far an import is, for people. */
export class Progress {
  readonly #options: ProgressOptions
  readonly #startedMs: number
  #drawnMs: number
  #isDrawn = false

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#startedMs = options.nowMs()
    this.#drawnMs = this.#startedMs
  }

  /** Bytes read and rows written so far. */
  update(bytes: number, rows: number): void {
    const { write, isTerminal, nowMs } = this.#options
    const now = nowMs()
    if (now - this.#drawnMs < (isTerminal ? REDRAW_MS : NEW_LINE_MS)) return
    this.#drawnMs = now
    this.#isDrawn = isTerminal
    const text = this.#text(bytes, rows, (now - this.#startedMs) / 1000)
    write(isTerminal ? CLEAR_LINE + text : `${text}\n`)
  }

  /** A line of its own, above the bar. */
  note(text: string): void {
    this.end()
    this.#options.write(`${text}\n`)
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#isDrawn) this.#options.write(CLEAR_LINE)
    this.#isDrawn = false
  }

  #text(bytes: number, rows: number, sec: number): string {
    const { total, isTerminal } = this.#options
    const speed = `${numberText(rows)} users, ${numberText(Math.round(rows / sec))}/s`
    if (!total) return speed
    const done = Math.min(1, bytes / total)
    const filled = Math.round(done * BAR)
    const bar = isTerminal ? `[${'#'.repeat(filled)}${'-'.repeat(BAR - filled)}] ` : ''
    const left = done > 0 ? `, ${numberText(Math.ceil(sec / done - sec))} s left` : ''
    return `${bar}${Math.floor(done * 100)} %  ${speed}${left}`
  }
}
