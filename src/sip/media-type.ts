import { parseQ } from './contact.ts'
import { parseParams } from './params.ts'

/** A Content-Type, or one Accept value (RFC 3261 §20.1, §20.15). */
export interface MediaType {
  /** `type/subtype` in lower case; `*` may stand for either in an Accept. */
  readonly name: string
  /** 0…1000; 1000 where it means nothing. */
  readonly q: number
  /** Parameters, names in lower case, without `q`. */
  readonly params: ReadonlyMap<string, string>
}

const MEDIA_TYPE = /^\s*([\w!#$&^.+*%'`~-]+)\s*\/\s*([\w!#$&^.+*%'`~-]+)\s*/

export function parseMediaType(text: string): MediaType | undefined {
  const match = MEDIA_TYPE.exec(text)
  const parsed = match && parseParams(text, match[0].length)
  if (!match || !parsed) return undefined
  const params = new Map(parsed.map(({ name, value }) => [name.toLowerCase(), value ?? '']))
  const q = parseQ(params.get('q'))
  params.delete('q')
  return { name: `${match[1]}/${match[2]}`.toLowerCase(), q, params }
}

/**
 * Whether a body of type `name` may be sent to whom these are the Accept values of; `undefined` when the header is
 * missing altogether, which means application/sdp (§20.1).
 */
export function accepts(values: readonly string[] | undefined, name: string): boolean {
  if (values === undefined) return name === 'application/sdp'
  const [type] = name.split('/', 1)
  const ranges = [name, `${type}/*`, '*/*']
  const offered = values.map(parseMediaType)
  // The closest range decides, so that `text/plain;q=0, */*` refuses text/plain.
  for (const range of ranges) {
    const match = offered.find((media) => media?.name === range)
    if (match !== undefined) return match.q > 0
  }
  return false
}
