const HIDDEN = '***'

/** Text that may be shown or logged: passwords inside URLs and in their query are replaced by `***`. */
export function hideSecrets(text: string): string {
  return text
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/?#@]*:)[^\s/?#]*@/gi, `$1${HIDDEN}@`)
    .replace(/([?&](?:[a-z]*password|passwd|secret|token)=)[^&\s#]*/gi, `$1${HIDDEN}`)
}
