// What go-car makes of our archives, and archives that it made:
//
//	peer inspect FILE              what go-car finds in an archive, every hash verified, as JSON
//	peer get FILE                  every CID of stdin, one a line, read through the archive's own index; as JSON
//	peer index FILE                the index that go-car makes for an archive, to stdout
//	peer write FILE ROOT           an indexed CARv2 that go-car writes, or continues if it is there, of the blocks of
//	                               stdin: CID and hex, one a line
//	peer unfinished FILE ROOT      the same, but stopped before it is finished
//	peer wrap FROM TO              a CARv1 as an indexed CARv2
//	peer select FILE ROOT          for each selector of stdin, one a line in DAG-JSON, the CIDs of the blocks that
//	                               go-ipld-prime loads with it, or null if it cannot read it; as JSON
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/blockstore"
	"github.com/ipld/go-car/v2/index"
	dagpb "github.com/ipld/go-codec-dagpb"
	_ "github.com/ipld/go-ipld-prime/codec/dagcbor"
	_ "github.com/ipld/go-ipld-prime/codec/raw"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/linking"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"
	"github.com/ipld/go-ipld-prime/traversal/selector"
	selectorparse "github.com/ipld/go-ipld-prime/traversal/selector/parse"
	"github.com/multiformats/go-multihash"
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func lines() []string {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 64<<20)
	var found []string
	for scanner.Scan() {
		found = append(found, scanner.Text())
	}
	check(scanner.Err())
	return found
}

type block struct {
	CID  string `json:"cid"`
	Size int    `json:"size"`
}

func inspect(file string) any {
	reader := must(car.OpenReader(file))
	defer reader.Close()
	stats := must(reader.Inspect(true))
	answer := map[string]any{
		"version": stats.Version, "roots": strs(stats.Roots), "blocks": stats.BlockCount, "index": stats.IndexCodec,
		"rootsPresent": stats.RootsPresent, "fullyIndexed": stats.Header.Characteristics.IsFullyIndexed(),
	}
	stream := must(os.Open(file))
	defer stream.Close()
	each := must(car.NewBlockReader(stream))
	found := []block{}
	for {
		next, err := each.Next()
		if err == io.EOF {
			break
		}
		check(err)
		found = append(found, block{next.Cid().String(), len(next.RawData())})
	}
	answer["found"] = found
	if stats.Version == 2 && stats.Header.HasIndex() {
		entries := 0
		read := must(index.ReadFrom(must(reader.IndexReader())))
		check(read.(index.IterableIndex).ForEach(func(_ multihash.Multihash, _ uint64) error {
			entries++
			return nil
		}))
		answer["entries"] = entries
	}
	return answer
}

func get(file string) any {
	reader := must(car.OpenReader(file))
	defer reader.Close()
	// With the index of the file, and no other: OpenReadOnly would make one where there is none.
	own := must(index.ReadFrom(must(reader.IndexReader())))
	store := must(blockstore.NewReadOnly(must(reader.DataReader()), own, blockstore.UseWholeCIDs(true)))
	found := map[string]any{}
	for _, text := range lines() {
		name := must(cid.Decode(text))
		got, err := store.Get(context.Background(), name)
		if err != nil {
			found[text] = nil
			continue
		}
		checked := must(name.Prefix().Sum(got.RawData()))
		if !checked.Equals(name) {
			check(fmt.Errorf("other bytes for %s", text))
		}
		found[text] = len(got.RawData())
	}
	return found
}

func put(file string, finish bool) any {
	store := must(blockstore.OpenReadWrite(file, []cid.Cid{must(cid.Decode(os.Args[3]))}))
	count := 0
	for _, line := range lines() {
		text, data, _ := strings.Cut(line, " ")
		made := must(blocks.NewBlockWithCid(must(hex.DecodeString(data)), must(cid.Decode(text))))
		check(store.Put(context.Background(), made))
		count++
	}
	if finish {
		check(store.Finalize())
	}
	return count
}

func choose(link datamodel.Link, _ linking.LinkContext) (datamodel.NodePrototype, error) {
	if link.(cidlink.Link).Cid.Prefix().Codec == cid.DagProtobuf {
		return dagpb.Type.PBNode, nil
	}
	return basicnode.Prototype.Any, nil
}

func explored(store *blockstore.ReadOnly, root cid.Cid, text string) []string {
	node, err := selectorparse.ParseJSONSelector(text)
	if err != nil {
		return nil
	}
	chosen, err := selector.CompileSelector(node)
	if err != nil {
		return nil
	}
	seen, found := map[cid.Cid]bool{}, []string{}
	system := cidlink.DefaultLinkSystem()
	system.StorageReadOpener = func(_ linking.LinkContext, link datamodel.Link) (io.Reader, error) {
		name := link.(cidlink.Link).Cid
		got, err := store.Get(context.Background(), name)
		if err != nil {
			return nil, traversal.SkipMe{}
		}
		if !seen[name] {
			seen[name] = true
			found = append(found, name.String())
		}
		return bytes.NewReader(got.RawData()), nil
	}
	start := cidlink.Link{Cid: root}
	kind := must(choose(start, linking.LinkContext{}))
	top := must(system.Load(linking.LinkContext{}, start, kind))
	walk := traversal.Progress{Cfg: &traversal.Config{LinkSystem: system, LinkTargetNodePrototypeChooser: choose}}
	check(walk.WalkMatching(top, chosen, func(traversal.Progress, datamodel.Node) error { return nil }))
	return found
}

func selected(file string) any {
	store := must(blockstore.OpenReadOnly(file))
	defer store.Close()
	found := [][]string{}
	for _, text := range lines() {
		found = append(found, explored(store, must(cid.Decode(os.Args[3])), text))
	}
	return found
}

func strs(of []cid.Cid) []string {
	found := []string{}
	for _, each := range of {
		found = append(found, each.String())
	}
	return found
}

func main() {
	var answer any
	switch file := os.Args[2]; os.Args[1] {
	case "inspect":
		answer = inspect(file)
	case "get":
		answer = get(file)
	case "index":
		made := must(car.GenerateIndexFromFile(file))
		var buffer bytes.Buffer
		must(index.WriteTo(made, &buffer))
		must(os.Stdout.Write(buffer.Bytes()))
		return
	case "write":
		answer = put(file, true)
	case "unfinished":
		answer = put(file, false)
	case "select":
		answer = selected(file)
	case "wrap":
		check(car.WrapV1File(file, os.Args[3]))
	default:
		check(fmt.Errorf("no verb %s", os.Args[1]))
	}
	check(json.NewEncoder(os.Stdout).Encode(answer))
}
