/** What a member can do without, for a while. */
export type Lack = 'writing' | 'reading' | 'users' | 'spool'

/** What a member does without at the moment, and why: `degraded`, for operators; it serves all the same. */
export class Health {
  readonly #lacks = new Map<Lack, string>()
  readonly #onChange: (reason: string | undefined) => void

  /** `onChange` hears all reasons in one line; `undefined` when nothing is lacking any more. */
  constructor(onChange: (reason: string | undefined) => void) {
    this.#onChange = onChange
  }

  /** All reasons in one line; `undefined` if nothing is lacking. */
  get reason(): string | undefined {
    return this.#lacks.size === 0 ? undefined : [...this.#lacks.values()].join('; ')
  }

  reasonOf(lack: Lack): string | undefined {
    return this.#lacks.get(lack)
  }

  set(lack: Lack, reason: string | undefined): void {
    if (this.#lacks.get(lack) === reason) return
    if (reason === undefined) this.#lacks.delete(lack)
    else this.#lacks.set(lack, reason)
    this.#onChange(this.reason)
  }
}
