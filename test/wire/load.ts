import { setTimeout as sleep } from 'node:timers/promises'
import { RawConnection, rawPost } from './raw-connection.ts'

/** What a load has seen so far. */
export interface LoadSeen {
  readonly statuses: Map<number, number>
  /** Requests without an answer. */
  failed: number
  /** Answers that asked for the connection to be closed. */
  closes: number
}

/** Connections that send one request after another, as a load balancer with keep-alive does. */
export interface Load {
  readonly seen: LoadSeen
  /** Lets open requests end and sends no more. */
  stop(): Promise<LoadSeen>
}

const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'

/** Starts sending bid requests, each connection with a short pause between two, so that the machine is not full. */
export function startLoad(port: number, path: string, { connections = 8, pauseMs = 2 } = {}): Load {
  const seen: LoadSeen = { statuses: new Map(), failed: 0, closes: 0 }
  const bytes = rawPost({ path, body: BODY })
  let stopping = false
  const one = async () => {
    let connection: RawConnection | undefined
    while (!stopping) {
      try {
        connection ??= await RawConnection.open(port)
        connection.write(bytes)
        const answer = await connection.answer()
        if (answer === undefined) seen.failed++
        else seen.statuses.set(answer.status, (seen.statuses.get(answer.status) ?? 0) + 1)
        const closes = answer?.headers.connection === 'close'
        if (closes) seen.closes++
        if (closes || answer === undefined) connection = undefined
      } catch {
        seen.failed++
        connection = undefined
      }
      await sleep(pauseMs)
    }
    connection?.close()
  }
  const all = Promise.all(Array.from({ length: connections }, one))
  return {
    seen,
    stop: async () => {
      stopping = true
      await all
      return seen
    },
  }
}
