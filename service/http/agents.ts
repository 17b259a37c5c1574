import { LRUCache } from 'lru-cache'
import { LIMITS } from '../limits.ts'
import { type Agent, type ReadAgent, readAgent } from '../openrtb/user-agent.ts'

/** A reader of user agents that keeps what it has read: reading one costs some 3 µs, and the same ones come again. */
export function keepingAgents(): ReadAgent {
  const kept = new LRUCache<string, Agent>({ max: LIMITS.agentsKeptMax })
  return userAgent => {
    const known = kept.get(userAgent)
    if (known !== undefined) return known
    // As it came, it may hold on to the whole body that it is part of, see parseRequest; so may parts of it.
    const own = Buffer.from(userAgent).toString()
    const agent = readAgent(own)
    if (own.length <= LIMITS.idCharsMax) kept.set(own, agent)
    return agent
  }
}
