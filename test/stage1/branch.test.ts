import t from 'tap'
import type { Via } from '../../src/sip/via.ts'
import { Branches } from '../../stage1/branch.ts'
import { KEYS, key, parsed, requestLines, text } from './fixture.ts'

const request = parsed(text(requestLines('INVITE', 'sip:bob@example.com')))
const sender = request.topVia as Via
const response = parsed(
  text([
    'SIP/2.0 200 OK',
    ...requestLines('INVITE', '').filter((line) => /^(From|Call-ID|CSeq|To)/.test(line)),
  ]),
)
const branches = new Branches(() => KEYS)

t.test('the face is known from the branch, and cannot be changed', async (t) => {
  for (const [face, letter] of [
    ['outside', 'o'],
    ['inside', 'i'],
  ] as const) {
    const branch = branches.make(request, sender, face)
    t.match(branch, new RegExp(`^z9hG4bK${letter}[0-9a-f]{32}$`))
    t.equal(branches.faceOf(response, branch, sender), face)
    const other = branch.replace(/K[oi]/, letter === 'o' ? 'Ki' : 'Ko')
    t.equal(branches.faceOf(response, other, sender), undefined)
    for (const bad of ['', 'z9hG4bK', `z9hG4bK${letter}`, branch.slice(0, -1), `${branch}0`, `x${branch}`])
      t.equal(branches.faceOf(response, bad, sender), undefined, bad)
  }
})

t.test('the current key makes it, both are known', async (t) => {
  const old = new Branches(() => ({ current: key('previous'), previous: undefined }))
  const made = old.make(request, sender, 'outside')
  t.equal(branches.faceOf(response, made, sender), 'outside')
  t.not(branches.make(request, sender, 'outside'), made)
  t.equal(old.faceOf(response, branches.make(request, sender, 'outside'), sender), undefined)
})

t.test('RFC 2543: the dialogs of a forked call are told apart, and their answers known', async (t) => {
  const via = 'Via: SIP/2.0/UDP 198.51.100.7:40001'
  const bye = (toTag: string) => {
    const lines = requestLines('BYE', 'sip:bob@203.0.113.9').map((line) =>
      line.startsWith('Via') ? via : line.startsWith('To') ? `To: <sip:bob@example.com>${toTag}` : line,
    )
    const request = parsed(text(lines))
    const branch = branches.make(request, request.topVia as Via, 'outside')
    const answer = parsed(text(['SIP/2.0 200 OK', ...lines.slice(2)]))
    return {
      branch,
      request,
      faceOf: (message = answer) => branches.faceOf(message, branch, request.topVia as Via),
    }
  }
  const [one, other, none] = [bye(';tag=1'), bye(';tag=2'), bye('')]
  t.equal(new Set([one, other, none].map(({ branch }) => branch)).size, 3)
  t.same(
    [one, other, none].map(({ faceOf }) => faceOf()),
    ['outside', 'outside', 'outside'],
  )
  t.equal(one.faceOf(other.request), undefined)
  t.equal(none.faceOf(one.request), 'outside', 'the answer to a request without a To tag has one')
})
