import t from 'tap'
import { ScannerNames } from '../../stage1/guard-scanners.ts'
import { parsed, requestLines, text } from './fixture.ts'

const from = (...more: string[]) => parsed(text(requestLines('OPTIONS', 'sip:100@example.com', more)))

t.test('a name anywhere in the User-Agent, in any case', async (t) => {
  const names = new ScannerNames(['friendly-scanner', 'VaxSIPUserAgent', 'a.b+c'])
  t.equal(names.find(from('User-Agent: friendly-scanner')), 'friendly-scanner')
  t.equal(names.find(from('user-agent: My FRIENDLY-Scanner 1.0')), 'friendly-scanner')
  t.equal(names.find(from('User-Agent: VaxSIPUserAgent/3.1')), 'vaxsipuseragent')
  t.equal(names.find(from('User-Agent: x a.b+c x')), 'a.b+c')
  t.equal(names.find(from('User-Agent: x aXbbc x')), undefined, 'names are no patterns')
  t.equal(names.find(from('User-Agent: Phone 5.1')), undefined)
  t.equal(names.find(from('User-Agent: Phone 5.1')), undefined, 'and remembered as that')
  t.equal(names.find(from('User-Agent:')), undefined)
  t.equal(names.find(from('Subject: friendly-scanner')), undefined, 'in this header only')
  t.equal(names.find(from()), undefined)
})

t.test('without names there are no scanners', async (t) => {
  t.equal(new ScannerNames([]).find(from('User-Agent: friendly-scanner')), undefined)
})

t.test('more names than are remembered', async (t) => {
  const names = new ScannerNames(['sipvicious'])
  for (let i = 0; i < 3000; i++) t.equal(names.find(from(`User-Agent: Phone of the ${i}th kind`)), undefined)
  t.equal(names.find(from('User-Agent: sipvicious')), 'sipvicious')
  t.equal(names.find(from(`User-Agent: ${'x'.repeat(5000)}sipvicious`)), 'sipvicious')
})
