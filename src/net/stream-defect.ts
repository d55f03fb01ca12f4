import type { Endpoint } from '../sip/endpoint.ts'
import type { FramingDefect } from '../sip/framing.ts'
import { parseMessage } from '../sip/message.ts'
import { respond } from '../sip/response.ts'

/** The last answer on a stream that has lost its frames (RFC 3261 §18.3); `undefined` where the head allows none. */
export function answerDefect(defect: FramingDefect, head: string, source: Endpoint): string | undefined {
  const request = head === '' ? undefined : parseMessage(head)
  return request && respond(request, statusOf(defect), { source })
}

function statusOf(defect: FramingDefect): number {
  switch (defect) {
    case 'no-content-length':
    case 'bad-content-length':
      return 400
    case 'body-too-long':
      return 413
    case 'headers-too-long':
    case 'message-too-long':
      return 513
  }
}
