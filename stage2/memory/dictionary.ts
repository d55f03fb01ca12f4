import { crc32 } from '../../src/partition/slot.ts'
import { detach } from '../../src/sip/detach.ts'

/** Texts at most; what comes beyond them is not learnt. */
const ENTRIES = 0x1_00_00
const LONGEST = 512
/** How many texts are remembered that were seen once. */
const CANDIDATES = 4096

/**
 * Short numbers for texts that many rows have in common: User-Agents, the host in a Path, contact parameters. A text is
 * learnt when it comes a second time within a few thousand others, so that what is different in every row (some phones put their
 * address into User-Agent) takes no place. What has been learnt is never forgotten: at most 65,536 texts.
 */
export class Dictionary {
  readonly #codes = new Map<string, number>()
  readonly #texts: string[] = []
  readonly #candidates = new Uint32Array(CANDIDATES)

  get size(): number {
    return this.#texts.length
  }

  /** The number of a text, 0…65,535; `undefined` for one that has none. */
  code(text: string): number | undefined {
    return text === '' ? undefined : (this.#codes.get(text) ?? this.#learn(text))
  }

  text(code: number): string {
    return this.#texts[code] as string
  }

  #learn(text: string): number | undefined {
    if (text.length > LONGEST || this.#texts.length >= ENTRIES) return undefined
    const hash = crc32(text)
    if (this.#candidates[hash % CANDIDATES] !== hash) {
      this.#candidates[hash % CANDIDATES] = hash
      return undefined
    }
    const code = this.#texts.length
    const own = detach(text)
    this.#texts.push(own)
    this.#codes.set(own, code)
    return code
  }
}
