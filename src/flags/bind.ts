import { BrokenRule } from '../text/quantities.ts'

/** Where to listen. Port 0 means any free port. */
export interface Bind {
  readonly host: string
  readonly port: number
}

/** Parses `host:port`, with an IPv6 host in brackets. @throws BrokenRule */
export function parseBind(text: string): Bind {
  const parts = /^(?:\[([0-9a-f:.%]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/i.exec(text)
  const port = Number(parts?.[3])
  if (parts === null || port > 65_535) throw new BrokenRule('must be host:port such as 0.0.0.0:9464 or [::]:9464')
  return { host: parts[1] ?? parts[2] ?? '', port }
}
