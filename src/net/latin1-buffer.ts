/** Methods of every Buffer that @types/node does not know: `toString` and `write` without looking up the encoding's name. */
export interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string
  latin1Write(text: string, offset: number): number
}
