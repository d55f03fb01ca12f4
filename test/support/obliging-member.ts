import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { parseMessage } from '../../src/sip/message.ts'
import { answerTarget, respond } from '../../src/sip/response.ts'

/** In the place of a stage-2 member: answers every request with 200. */
export class ObligingMember {
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (data, from) => {
      const request = parseMessage(data.toString('latin1'))
      const answer = request?.isRequest ? respond(request, 200) : undefined
      if (!request || answer === undefined) return
      const { address, port } = answerTarget(request, { transport: 'udp', ...from })
      socket.send(answer, port, address)
    })
  }

  static async open(place: { readonly address: string; readonly port: number }): Promise<ObligingMember> {
    const socket = createSocket('udp4')
    socket.bind(place)
    await once(socket, 'listening')
    return new ObligingMember(socket)
  }

  close(): void {
    this.#socket.close()
  }
}
