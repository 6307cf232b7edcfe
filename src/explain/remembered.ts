/** Asks Redis only once for what it has already told of a stream's groups: XINFO CONSUMERS cannot be paged. */
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'

/** Answers XINFO from memory where the same was asked before. */
export function rememberingGroups(ask: Ask): Ask {
  const known = new Map<string, Reply>()
  return async (commands, costs) => {
    const names = commands.map(nameOfQuestion)
    const isNew = names.map((name) => name === null || !known.has(name))
    const asked = commands.filter((_, i) => isNew[i])
    const replies = asked.length === 0 ? [] : await ask(asked, costsOf(costs, isNew))
    return names.map((name, i) => {
      const reply = isNew[i] ? (replies.shift() ?? null) : (known.get(name ?? '') ?? null)
      if (name !== null) known.set(name, reply)
      return reply
    })
  }
}

function nameOfQuestion(command: Command): string | null {
  if (command[0] !== 'XINFO') return null
  return command.map((word) => Buffer.from(word).toString('base64')).join(' ')
}

function costsOf(costs: Parameters<Ask>[1], isNew: readonly boolean[]): Parameters<Ask>[1] {
  return typeof costs === 'object' ? costs.filter((_, i) => isNew[i]) : costs
}
