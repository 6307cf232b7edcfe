/** The configuration in effect, for logs and reports: every value and where it came from, without secrets. */

import { type FlagName, flags } from '../flags/flags.ts'
import type { Reader, Source } from '../flags/reader.ts'
import { formatRedisUrl } from '../redis/address.ts'
import type { RedisSettings } from './redis_settings.ts'

export interface Setting {
  readonly flag: string
  readonly value: string
  readonly from: Source | 'URL' | '--dry-run'
}

/** Values that can differ from what their flags say. */
interface Effective {
  readonly redis: RedisSettings | undefined
  readonly pageSize: number
  readonly pacePercent: number
  readonly logFormat: string
  readonly lease: object | null | undefined
}

/** The value or values of every flag that has one. A value that may be a secret is only said to be `given`. */
export function settingsInEffect(
  reader: Reader,
  { redis, pageSize, pacePercent, logFormat, lease }: Effective,
): Setting[] {
  const byDefault: Partial<Record<FlagName, string>> = {
    'page-size': String(pageSize),
    pace: String(pacePercent),
    'log-format': logFormat,
  }
  return (Object.keys(flags) as FlagName[]).flatMap((flag): Setting[] => {
    if (flag === 'redis-url' && redis !== undefined) return redisSettings(redis)
    if (flag === 'lease' && lease === null && reader.value(flag)) return [{ flag, value: 'false', from: '--dry-run' }]
    const given = givenFor(reader, flag)
    const value = byDefault[flag]
    return given.length > 0 || value === undefined ? given : [{ flag, value, from: 'default' }]
  })
}

function givenFor(reader: Reader, flag: FlagName): Setting[] {
  const { isRepeatable, isSecret } = flags[flag]
  const given = isRepeatable ? reader.given(flag) : [reader.text(flag)]
  return given.flatMap((one) =>
    one === undefined ? [] : [{ flag, value: isSecret ? 'given' : one.text, from: one.source }],
  )
}

/** The URLs without user and password; and whether there is a password, not which. */
function redisSettings({ topology, reach, from }: RedisSettings): Setting[] {
  const urls = topology.addresses.map((address) => formatRedisUrl(address, reach.tls !== null, reach.database))
  const url: Setting = { flag: 'redis-url', value: urls.join(','), from: from.url }
  return from.password === null ? [url] : [url, { flag: 'redis-password', value: 'given', from: from.password }]
}
