/** A number with the words that go with it: `1 stream is`, `5 streams are`. */
export function counted(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}
