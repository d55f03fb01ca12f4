import type { BindingRow } from '../db/binding-store.ts'
import type { SubscriberRow } from '../db/subscriber-store.ts'

/** The fields of a row, so that the compiler asks for each. */
type Fields<Row> = { readonly [Field in keyof Row]: true }

const BINDING: Fields<BindingRow> = {
  slot: true,
  aor: true,
  key: true,
  contact: true,
  params: true,
  q: true,
  path: true,
  callId: true,
  cseq: true,
  instance: true,
  regId: true,
  userAgent: true,
  received: true,
  expiresAt: true,
  changedAt: true,
  deleted: true,
  rev: true,
}

const SUBSCRIBER: Fields<SubscriberRow> = {
  domain: true,
  user: true,
  slot: true,
  enabled: true,
  ha1Md5: true,
  ha1Sha256: true,
  ha1Sha512256: true,
  rev: true,
}

/**
 * Rows in files: arrays of values beside the names of their fields, which are said once for many rows. One character
 * per byte, as all texts of a row are. A field that the release which wrote them did not have is null.
 */
export interface RowCodec<Row> {
  encode(rows: readonly Row[]): string
  decode(payload: string): Row[]
}

function codec<Row>(shape: Fields<Row>): RowCodec<Row> {
  const fields = Object.keys(shape) as (keyof Row & string)[]
  return {
    encode: (rows) => JSON.stringify({ fields, rows: rows.map((row) => fields.map((field) => row[field])) }),
    decode: (payload) => {
      const { fields: written, rows } = JSON.parse(payload) as { fields: string[]; rows: unknown[][] }
      const places = fields.map((field) => written.indexOf(field))
      return rows.map((values) => toRow<Row>(fields, places, values))
    },
  }
}

function toRow<Row>(fields: readonly string[], places: readonly number[], values: readonly unknown[]): Row {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < fields.length; i++) row[fields[i] as string] = values[places[i] as number] ?? null
  return row as Row
}

export const bindingCodec = codec(BINDING)
export const subscriberCodec = codec(SUBSCRIBER)
