/** The CPU time of a Redis server. */
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'

/** CPU time that the server has used so far, in ms. */
export async function serverCpuMs({ client }: PrivateRedis): Promise<number> {
  const text = await client.info('cpu')
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(text)?.[1])
  return (field('used_cpu_user') + field('used_cpu_sys')) * 1000
}
