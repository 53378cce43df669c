// What other people's programs make of our archives, and archives that they made:
//   node peer.mjs read FILE                     what @ipld/car finds in an archive, as JSON
//   node peer.mjs write FILE                    an archive that @ipld/car writes; its contents as JSON
//   node peer.mjs add FILE CHUNK LINKS ARCHIVE  a file as js-ipfs adds it; its root
//   node peer.mjs cat ARCHIVE ROOT              a UnixFS file out of an archive, to stdout
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'

import { CarBlockIterator, CarIndexer, CarReader, CarWriter } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagPb from '@ipld/dag-pb'
import { exporter } from 'ipfs-unixfs-exporter'
import { importBytes } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { identity } from 'multiformats/hashes/identity'
import { sha256, sha512 } from 'multiformats/hashes/sha2'

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')

async function read (file) {
  const iterator = await CarBlockIterator.fromIterable(createReadStream(file, { highWaterMark: 1000 }))
  const blocks = []
  for await (const { cid, bytes } of iterator) {
    blocks.push({ cid: cid.toString(), size: bytes.length, digest: digest(bytes) })
  }
  const index = []
  const indexer = await CarIndexer.fromIterable(createReadStream(file))
  for await (const { cid, length, blockLength, offset, blockOffset } of indexer) {
    index.push({ cid: cid.toString(), length, blockLength, offset, blockOffset })
  }
  const roots = (await iterator.getRoots()).map(String)
  return { version: iterator.version, roots, blocks, index }
}

async function save (roots, blocks, file) {
  const { writer, out } = CarWriter.create(roots)
  const stream = Readable.from(out).pipe(createWriteStream(file))
  for (const block of blocks) await writer.put(block)
  await writer.close()
  await finished(stream)
}

async function write (file) {
  const make = async (codec, bytes, hasher, version = 1) => ({
    cid: CID.create(version, codec, await hasher.digest(bytes)), bytes
  })
  const leaf = await make(raw.code, new TextEncoder().encode('leaf'), sha256)
  const pb = dagPb.encode({ Data: new Uint8Array([8, 1]), Links: [{ Name: 'leaf', Tsize: 4, Hash: leaf.cid }] })
  const value = { links: [leaf.cid], pi: 3.5, big: 2n ** 64n - 1n, negative: -(2n ** 64n), bytes: leaf.cid.bytes, 'é': [null, true] }
  const blocks = [
    leaf,
    await make(dagCbor.code, dagCbor.encode(value), sha256),
    await make(dagPb.code, pb, sha256, 0),
    await make(dagPb.code, pb, sha512),
    await make(raw.code, new Uint8Array(0), sha256),
    await make(raw.code, new TextEncoder().encode('me'), identity),
    await make(0x0129, new TextEncoder().encode('{"a":1}'), sha256),
    ...await Promise.all([127, 128, 16384, 100000, 2000000].map(size => make(raw.code, new Uint8Array(size).fill(size), sha256))),
    leaf
  ]
  const roots = [blocks[1].cid, blocks[2].cid]
  await save(roots, blocks, file)
  return {
    roots: roots.map(String),
    blocks: blocks.map(({ cid, bytes }) => ({ cid: cid.toString(), size: bytes.length, digest: digest(bytes) }))
  }
}

async function add (file, chunkSize, maxChildrenPerNode, archive) {
  const blocks = []
  const store = { put: async (cid, bytes) => { blocks.push({ cid, bytes }); return cid } }
  const { cid } = await importBytes(await readFile(file), store, {
    cidVersion: 1,
    rawLeaves: true,
    reduceSingleLeafToSelf: true,
    chunker: fixedSize({ chunkSize: Number(chunkSize) }),
    layout: balanced({ maxChildrenPerNode: Number(maxChildrenPerNode) })
  })
  await save([cid], blocks, archive)
  return { root: cid.toString() }
}

async function cat (archive, root) {
  const reader = await CarReader.fromIterable(createReadStream(archive))
  const store = { get: async function * (cid) { yield (await reader.get(cid)).bytes } }
  const entry = await exporter(CID.parse(root), store)
  for await (const bytes of entry.content()) process.stdout.write(bytes)
}

const [verb, ...rest] = process.argv.slice(2)
const answer = await { read, write, add, cat }[verb](...rest)
if (answer) process.stdout.write(JSON.stringify(answer))
