// Fetch URLs with @helia/verified-fetch, and print what came as a JSON object a line.
// node peer.mjs ROUTER URL...: ROUTER is the URL of a delegated router, which names who has the blocks.

import { createHash } from 'node:crypto'

// Helia wants Node 22, and uses nothing else of it than this.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((...both) => { [resolve, reject] = both })
  return { promise, resolve, reject }
}
const { createVerifiedFetchWithHelia } = await import('@helia/verified-fetch')
const { withHTTP } = await import('@helia/http')
const { createHeliaLight } = await import('helia')
const dagCbor = await import('@ipld/dag-cbor')

const [router, ...urls] = process.argv.slice(2)
const light = createHeliaLight({ codecs: [dagCbor] })
const helia = await withHTTP(light, {
  delegatedRouters: [router],
  recursiveGateways: [],
  allowInsecure: true,
  allowLocal: true
}).start()
const fetch = await createVerifiedFetchWithHelia(helia)
for (const url of urls) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) })
    const body = Buffer.from(await response.arrayBuffer())
    const sha256 = createHash('sha256').update(body).digest('hex')
    console.log(JSON.stringify({ url, status: response.status, sha256 }))
  } catch (error) {
    console.log(JSON.stringify({ url, error: `${error.name}: ${error.message}` }))
  }
}
process.exit(0)
