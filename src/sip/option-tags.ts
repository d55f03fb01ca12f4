/** Option tags of Supported, Require, Proxy-Require, Unsupported (RFC 3261 §19.2): lower case, for they compare so. */
export function optionTags(values: readonly string[]): ReadonlySet<string> {
  return new Set(values.map((tag) => tag.toLowerCase()))
}
