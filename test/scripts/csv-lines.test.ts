import { Readable } from 'node:stream'
import t from 'tap'
import { type CsvLine, readCsv, splitFields } from '../../scripts/csv-lines.ts'

async function read(bytes: Buffer | string, chunk = 1 << 20): Promise<CsvLine[]> {
  const all = Buffer.from(bytes as string)
  const chunks: Buffer[] = []
  for (let i = 0; i < all.length; i += chunk) chunks.push(all.subarray(i, i + chunk))
  const lines: CsvLine[] = []
  for await (const some of readCsv(Readable.from(chunks))) lines.push(...some)
  return lines
}

t.test('fields, quoted and not', async (t) => {
  const cases: [string, string[] | undefined][] = [
    ['a,b,c', ['a', 'b', 'c']],
    ['', ['']],
    [',', ['', '']],
    [' a , b', [' a ', ' b']],
    ['"a,b",c', ['a,b', 'c']],
    ['"a ""b"" c",""', ['a "b" c', '']],
    ['a,b"c', ['a', 'b"c']],
    ['""', ['']],
    ['""""', ['"']],
    ['"a', undefined],
    ['"a"b,c', undefined],
    ['a,"b,c', undefined],
  ]
  for (const [text, fields] of cases) t.same(splitFields(text, ','), fields, text)
})

t.test('lines keep their numbers, however the source is cut', async (t) => {
  const text = '\ufeffuser,domain\r\nmüller,example.com\r\n\r\n"never closed,x\n"c""d",e\nlast,line'
  const expected = [
    { line: 1, fields: ['user', 'domain'] },
    { line: 2, fields: ['müller', 'example.com'] },
    { line: 4, fields: undefined, problem: /quote/ },
    { line: 5, fields: ['c"d', 'e'] },
    { line: 6, fields: ['last', 'line'] },
  ]
  const size = Buffer.byteLength(text)
  for (let chunk = 1; chunk <= size; chunk++) t.match(await read(text, chunk), expected)
})

t.test('the separator is the one of the first line', async (t) => {
  t.match(await read('a;b\n1,5;2\n'), [{ fields: ['a', 'b'] }, { fields: ['1,5', '2'] }])
  t.match(await read('a\tb\n1;2\t3\n'), [{ fields: ['a', 'b'] }, { fields: ['1;2', '3'] }])
})

t.test('what is not UTF-8, and what has no end, costs its own line', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from('a,b\nm'),
    Buffer.from([0xfc]),
    Buffer.from('ller,x\n\ufffd,ok\n'),
  ])
  t.match(await read(bytes, 3), [
    { line: 1 },
    { line: 2, problem: 'not UTF-8' },
    { line: 3, fields: ['\ufffd', 'ok'] },
  ])
  const long = `a,b\n${'x'.repeat(200_000)}\nc,d\n`
  t.match(await read(long, 1000), [
    { line: 1 },
    { line: 2, problem: /longer than 65536/ },
    { line: 3, fields: ['c', 'd'] },
  ])
})
