/** Makes consumers look idle for days, without waiting for days. */

import * as stage from '../../scripts/stage/idle_consumers.ts'
import type { OneServer } from './cluster_as_one.ts'

export const { IDLE_CONFIG } = stage

/** Makes consumers of a stream's groups this much more idle than they are. Their names must be unique. */
export function makeIdle(redis: OneServer, key: string, idleMs: Readonly<Record<string, number>>): Promise<void> {
  return stage.makeIdle(redis.client, key, new Map(Object.entries(idleMs)))
}
