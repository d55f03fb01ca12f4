import { aorKey } from '../../../src/partition/canonical-user.ts'
import { parseContacts } from '../../../src/sip/contact.ts'
import { credentialsFor, parseChallenge, parseCredentials } from '../../../src/sip/credentials.ts'
import { verify } from '../../../src/sip/digest.ts'
import type { Endpoint } from '../../../src/sip/endpoint.ts'
import { parseEvent } from '../../../src/sip/event.ts'
import { type Frame, StreamFramer } from '../../../src/sip/framing.ts'
import { H, isListHeader } from '../../../src/sip/header.ts'
import { limits } from '../../../src/sip/limits.ts'
import { accepts } from '../../../src/sip/media-type.ts'
import { type Message, parseMessage } from '../../../src/sip/message.ts'
import { type NameAddr, parseNameAddr } from '../../../src/sip/name-addr.ts'
import { optionTags } from '../../../src/sip/option-tags.ts'
import { answerTarget, respond } from '../../../src/sip/response.ts'
import { parseRetryAfter } from '../../../src/sip/retry-after.ts'
import { Rewrite } from '../../../src/sip/rewrite.ts'
import { nextHopOf, parseRoutes } from '../../../src/sip/route.ts'
import { parseUri, type Uri } from '../../../src/sip/uri.ts'
import { sameUri, uriKey } from '../../../src/sip/uri-compare.ts'
import {
  checkMaxForwards,
  checkProxyRequire,
  checkRequest,
  checkRequire,
  checkResponse,
  type Defect,
} from '../../../src/sip/validate.ts'
import { parseVia, responseTarget, viaFor } from '../../../src/sip/via.ts'
import { Branches } from '../../../stage1/branch.ts'
import type { Random } from './random.ts'

const SOURCE: Endpoint = { transport: 'udp', address: '198.51.100.7', port: 40_000 }
const BRANCHES = new Branches(() => ({ current: new Uint8Array(32).fill(7), previous: undefined }))
const IDS = Object.values(H)
const TEL = /^tel:/i

/** What became of an input, to see that the fuzzer reaches every part. */
export type Outcome = 'none' | 'refused' | 'accepted' | 'response' | 'dropped'

function must(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Error(what)
}

/** Everything that happens to a datagram before a transaction or a lookup. Throws where a promise is broken. */
export function checkDatagram(text: string): Outcome {
  const message = parseMessage(text)
  if (message === undefined) return 'none'
  checkText(message, text)
  checkValues(message)
  checkTyped(message)
  return message.isRequest ? checkAsRequest(message) : checkAsResponse(message)
}

/** The text is a part of the input, the lines are all of the headers, and a rewrite without edits is the text. */
function checkText(message: Message, input: string): void {
  const lead = /^[\r\n]*/.exec(input)?.[0].length ?? 0
  must(input.startsWith(message.text, lead), 'the text is no part of the input')
  must(new Rewrite(message).toString() === message.text, 'a rewrite without edits differs')
  let at = message.headersStart
  for (let line = 0; line < message.lineCount; line++) {
    must(message.lineStart(line) === at, 'a gap between lines')
    const [start, end] = [message.valueStart(line), message.valueEnd(line)]
    must(at <= start && start <= end && end <= message.lineEnd(line), 'a value outside its line')
    at = message.lineEnd(line)
  }
  must(at === message.headersEnd && at <= message.bodyStart, 'lines that do not end where the headers end')
  must(message.body.length === message.text.length - message.bodyStart, 'a body of another length')
  const again = parseMessage(message.text)
  must(again?.text === message.text && again.lineCount === message.lineCount, 'reads differently again')
}

function checkValues(message: Message): void {
  for (const id of IDS) {
    const values = message.values(id)
    must(message.has(id) === message.count(id) > 0, 'has and count disagree')
    must(message.value(id) === values[0], `value is not the first of values: ${id}`)
    if (!isListHeader(id)) must(values.length === message.count(id), 'a line without its value')
    for (const value of values) must(!/\n/.test(value), 'a fold in a value')
  }
  for (let line = 0; line < Math.min(message.lineCount, 20); line++) {
    const name = message.lineName(line)
    if (name !== '') must(message.valueOf(name) !== undefined, `${name} is not found by its name`)
  }
}

function checkTyped(message: Message): void {
  const { topVia, from, to, cseq, maxForwards } = message
  must(maxForwards === undefined || (maxForwards >= 0 && maxForwards <= 255), 'Max-Forwards out of range')
  must(cseq === undefined || (cseq.number >= 0 && cseq.number < 2 ** 32), 'CSeq out of range')
  must(message.status === 0 || (message.status >= 100 && message.status < 700), 'status out of range')
  if (topVia) checkVia(topVia.text)
  for (const value of message.values(H.via)) checkVia(value)
  if (from) checkNameAddr(from)
  if (to) checkNameAddr(to)
  for (const id of [H.contact, H.route, H.recordRoute, H.path, H.assertedIdentity])
    for (const value of message.values(id)) checkNameAddr(parseNameAddr(value))
  checkUri(parseUri(message.requestUri))
  checkRest(message)
}

function checkVia(text: string): void {
  const via = parseVia(text)
  if (via === undefined) return
  must(parseVia(via.text)?.text === via.text, 'a Via that reads differently again')
  must(via.hasMagicCookie === via.branch.startsWith('z9hG4bK'), 'cookie and branch disagree')
  must(via.port >= 0 && via.port <= 65_535 && via.rport >= 0 && via.rport <= 65_535, 'a port out of range')
  for (const property of [via.sentBy, via.params, via.received, via.maddr, via.ttl]) String(property)
  const stamped = viaFor(via, SOURCE)
  if (stamped !== undefined) {
    const read = parseVia(stamped)
    must(read !== undefined, `a stamped Via that is malformed: ${stamped}`)
    must(read.branch === via.branch && read.sentBy === via.sentBy, `stamping changed the Via: ${stamped}`)
    must(viaFor(read, SOURCE) === undefined, `stamping twice: ${stamped}`)
    const target = responseTarget(read)
    if (read.transport === 'udp' && target && via.hasRport)
      must(target.port === SOURCE.port, 'not to the source')
  }
}

function checkNameAddr(value: NameAddr | undefined): void {
  if (value === undefined) return
  for (const property of [value.display, value.displayDecoded, value.params, value.tag, value.param('x')])
    String(property)
  checkUri(value.uri)
}

function checkUri(uri: Uri | undefined): void {
  if (uri === undefined) return
  const again = parseUri(uri.text)
  must(again !== undefined && sameUri(uri, again), `a URI that differs from itself: ${uri.text}`)
  must(uriKey(uri) === uriKey(again), 'a key that changes')
  must(uri.port >= 0 && uri.port <= 65_535, 'a port out of range')
  must(uri.isSip || TEL.test(uri.text) || uri.user === '', 'a user of no URI of ours')
  for (const property of [
    uri.userDecoded,
    uri.password,
    uri.params,
    uri.headers,
    uri.param('lr'),
    uri.hostPort,
  ])
    String(property)
  if (uri.isSip) nextHopOf(uri)
  aorKey(uri)
}

function checkRest(message: Message): void {
  parseContacts(message.values(H.contact))
  parseRoutes(message.values(H.route))
  parseRoutes(message.values(H.path))
  accepts(message.values(H.accept), 'application/sdp')
  optionTags(message.values(H.supported))
  for (const value of message.values(H.event)) parseEvent(value)
  for (const value of message.values(H.retryAfter)) parseRetryAfter(value)
  for (const id of [H.wwwAuthenticate, H.proxyAuthenticate])
    for (const value of message.values(id)) parseChallenge(value)
  for (const id of [H.authorization, H.proxyAuthorization]) {
    for (const value of message.values(id)) {
      const credentials = parseCredentials(value)
      if (!credentials) continue
      must(!verify(credentials, '0'.repeat(32), message.method, message.body), 'guessed a password')
      must(credentialsFor([value], credentials.realm) !== undefined, 'credentials of no realm')
    }
  }
}

function checkAsRequest(request: Message): Outcome {
  const defect =
    checkRequest(request) ??
    checkMaxForwards(request) ??
    checkProxyRequire(request, new Set()) ??
    checkRequire(request, new Set())
  checkAnswer(request, defect)
  if (checkRequest(request) === undefined) checkForwarded(request)
  return defect ? 'refused' : 'accepted'
}

/** The answer to whatever it was can be read, and says what it was made to say. */
function checkAnswer(request: Message, defect: Defect | undefined): void {
  const target = answerTarget(request, SOURCE)
  must(target.port > 0 && target.port <= 65_535, 'an answer to no port')
  must(target.address === SOURCE.address, 'an answer to somebody else')
  const { status, reason, headers } = defect ?? { status: 200, reason: 'OK' }
  must(status >= 200 && status < 700, `no final status: ${status}`)
  const text = respond(request, status, { source: SOURCE, reason, ...(headers && { headers }) })
  if (text === undefined) {
    must(request.requestMethod === 'ACK' || !request.has(H.via), 'no answer')
    return
  }
  const response = parseMessage(text)
  must(response?.text === text, 'an answer that is no message')
  must(response.status === status && response.terminated && !response.hasMalformedLine, 'a malformed answer')
  must(response.callId === request.callId, 'an answer to another Call-ID')
  must(response.values(H.via).length === request.values(H.via).length, 'an answer with other Vias')
  if (request.topVia) must(response.topVia?.branch === request.topVia.branch, 'an answer to another branch')
  const isFit = checkRequest(request) === undefined && request.values(H.via).length === 1
  if (isFit)
    must(checkResponse(response) === undefined, `an answer that we would not accept ourselves:\n${text}`)
}

/** What we accept we send on so that it is acceptable, with our edits and no others, and its answer is known. */
function checkForwarded(request: Message): void {
  const sender = request.topVia
  must(sender !== undefined, 'accepted without a Via')
  const branch = BRANCHES.make(request, sender, 'outside')
  const stamped = viaFor(sender, SOURCE)
  const out = new Rewrite(request)
    .setRequestUri('sip:bob@192.0.2.4')
    .set(H.maxForwards, '69')
    .dropFirst(H.route)
    .prepend(H.via, `SIP/2.0/UDP 192.0.2.1:5060;branch=${branch}`)
    .prepend(H.recordRoute, '<sip:192.0.2.1;lr>')
  if (stamped !== undefined) out.replaceFirst(H.via, stamped)
  const copy = parseMessage(out.toString())
  must(copy?.text === out.toString(), 'a copy that is no message')
  must(copy.body === request.body, 'a copy with another body')
  must(copy.maxForwards === 69, 'a copy with another Max-Forwards')
  must(copy.topVia?.branch === branch, 'a copy with another branch')
  const [first = '', ...others] = request.values(H.via)
  must(same(copy.values(H.via).slice(1), [stamped ?? first, ...others]), 'Via')
  must(same(copy.values(H.route), request.values(H.route).slice(1)), 'Route')
  must(
    same(copy.values(H.recordRoute), ['<sip:192.0.2.1;lr>', ...request.values(H.recordRoute)]),
    'Record-Route',
  )
  for (const id of [H.from, H.to, H.callId, H.cseq, H.contact, H.path, H.authorization])
    must(same(copy.values(id), request.values(id)), `header ${id} has changed`)
  const isAtALimit =
    copy.text.length > limits.messageBytes ||
    copy.lineCount > limits.headerCount ||
    copy.values(H.via).length > limits.viaCount
  const defect = checkRequest(copy)
  must(defect === undefined || isAtALimit, `accepted, and its copy gets ${defect?.status} ${defect?.reason}`)
  if (!defect) checkWayBack(copy, branch)
}

function checkWayBack(copy: Message, branch: string): void {
  const response = parseMessage(respond(copy, 200) ?? '')
  if (response === undefined) return
  const sender = parseVia(response.values(H.via)[1] ?? '')
  must(sender !== undefined, 'an answer without the Via of who asked')
  must(BRANCHES.faceOf(response, branch, sender) === 'outside', 'our own branch is not known in the answer')
}

function checkAsResponse(response: Message): Outcome {
  const defect = checkResponse(response)
  must(respond(response, 500) === undefined, 'a response was answered')
  if (defect) return 'dropped'
  const copy = parseMessage(new Rewrite(response).dropFirst(H.via).toString())
  must(copy !== undefined, 'a copy that is no message')
  must(same(copy.values(H.via), response.values(H.via).slice(1)), 'not one Via less')
  return 'response'
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

/** A stream has the same frames however it is cut, and its messages are what datagrams of them would be. */
export function checkStream(text: string, random: Random): Outcome {
  const whole = frames(text, () => text.length)
  const cut = frames(text, () => random.length(60))
  must(JSON.stringify(whole) === JSON.stringify(cut), 'frames depend on how the stream is cut')
  let outcome: Outcome = 'none'
  for (const frame of whole) {
    if (frame.kind === 'message') {
      const message = parseMessage(frame.text)
      if (message)
        must(message.text === frame.text, 'framing and parsing disagree about where a message ends')
      if (message) must(message.contentLength === message.body.length, 'a body of another length')
      outcome = checkDatagram(frame.text)
    } else if (frame.kind === 'defect' && frame.head !== '') checkDatagram(frame.head)
  }
  must(whole.filter(({ kind }) => kind === 'defect').length <= 1, 'more than one defect')
  return outcome
}

/** Messages and defects; keep-alives depend on the cuts, since several in one piece are answered once. */
function frames(text: string, pieceLength: () => number): Frame[] {
  const framer = new StreamFramer()
  const all: Frame[] = []
  const data = Buffer.from(text, 'latin1')
  for (let at = 0; at < data.length; ) {
    const end = Math.min(data.length, at + pieceLength())
    all.push(...framer.push(data.subarray(at, end)))
    must(framer.pendingBytes <= limits.messageBytes, 'more is kept than a message may have')
    at = end
  }
  return all.filter(({ kind }) => kind === 'message' || kind === 'defect')
}
