// Opens a data directory with etcd's own wal and snap packages and prints what
// they find, in the lines that `raftexample-dump --json` has for the same: the
// kinds hard_state, log, entry, marker, snapshot, pair and start.
//
//	godump WAL-DIRECTORY SNAPSHOT-DIRECTORY
//
// What etcd does not keep is missing: records, sizes, and the members of a
// snapshot. Nothing is written, but a snapshot file that etcd cannot read is
// renamed by etcd: give it a copy.
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"unicode/utf8"

	"go.etcd.io/etcd/etcdserver/api/snap"
	"go.etcd.io/etcd/raft/raftpb"
	"go.etcd.io/etcd/wal"
	"go.etcd.io/etcd/wal/walpb"
	"go.uber.org/zap"
)

type object = map[string]interface{}

var out = bufio.NewWriter(os.Stdout)

func print(o object) {
	line, err := json.Marshal(o)
	if err != nil {
		log.Fatal(err)
	}
	out.Write(line)
	out.WriteByte('\n')
}

func putBytes(o object, name string, v []byte) {
	if utf8.Valid(v) {
		o[name] = string(v)
	} else {
		o[name+"_hex"] = hex.EncodeToString(v)
	}
}

func putID(o object, id uint64) {
	if id != 0 {
		o["id"] = fmt.Sprintf("%016x", id)
	}
}

// The payload as our nodes write it; a Go node's has no ID.
type command struct {
	Key string
	Val string
	ID  uint64
}

func changeName(t raftpb.ConfChangeType) string {
	switch t {
	case raftpb.ConfChangeAddNode:
		return "add_node"
	case raftpb.ConfChangeRemoveNode:
		return "remove_node"
	case raftpb.ConfChangeUpdateNode:
		return "update_node"
	case raftpb.ConfChangeAddLearnerNode:
		return "add_learner_node"
	}
	return "unknown"
}

func unknown(o object, e raftpb.Entry) {
	o["type"] = "unknown"
	o["entry_type"] = int(e.Type)
	o["data_hex"] = hex.EncodeToString(e.Data)
}

func entry(e raftpb.Entry) object {
	o := object{"kind": "entry", "index": e.Index, "term": e.Term}
	switch {
	case len(e.Data) == 0:
		o["type"] = "empty"
	case e.Type == raftpb.EntryNormal:
		var c command
		if gob.NewDecoder(bytes.NewReader(e.Data)).Decode(&c) != nil {
			unknown(o, e)
			break
		}
		o["type"] = "put"
		putID(o, c.ID)
		putBytes(o, "key", []byte(c.Key))
		putBytes(o, "value", []byte(c.Val))
	case e.Type == raftpb.EntryConfChange:
		var cc raftpb.ConfChange
		if cc.Unmarshal(e.Data) != nil {
			unknown(o, e)
			break
		}
		o["type"] = "conf_change"
		putID(o, cc.ID)
		o["change"] = changeName(cc.Type)
		o["node"] = cc.NodeID
		putBytes(o, "context", cc.Context)
	default:
		unknown(o, e)
	}
	return o
}

// The whole log: from the first position at which it can be read to the end and
// its commit index is covered. That is the beginning, unless a snapshot of the
// leader has replaced the log, or its beginning was deleted.
func readLog(dir string, markers []walpb.Snapshot) {
	for _, m := range append([]walpb.Snapshot{{}}, markers...) {
		w, err := wal.OpenForRead(zap.NewNop(), dir, m)
		if err != nil {
			continue
		}
		_, hs, ents, err := w.ReadAll()
		w.Close()
		last := m.Index + uint64(len(ents))
		if err != nil || hs.Commit > last {
			continue
		}
		print(object{"kind": "hard_state", "term": hs.Term, "vote": hs.Vote,
			"commit": hs.Commit})
		print(object{"kind": "log", "base_index": m.Index, "base_term": m.Term,
			"last_index": last})
		for _, e := range ents {
			print(entry(e))
		}
		return
	}
	log.Fatal("etcd cannot read the log ", dir)
}

func ids(l []uint64) []uint64 {
	if l == nil {
		return []uint64{}
	}
	return l
}

func printSnapshot(path string) {
	s, err := snap.Read(zap.NewNop(), path)
	if err != nil {
		log.Fatal(path, ": ", err)
	}
	var pairs map[string]string
	if err := json.Unmarshal(s.Data, &pairs); err != nil {
		log.Fatal(path, ": ", err)
	}
	cs := s.Metadata.ConfState
	print(object{"kind": "snapshot", "file": filepath.Base(path), "state": "ok",
		"index": s.Metadata.Index, "term": s.Metadata.Term,
		"voters": ids(cs.Voters), "learners": ids(cs.Learners),
		"voters_outgoing": ids(cs.VotersOutgoing),
		"learners_next":   ids(cs.LearnersNext),
		"auto_leave":      cs.AutoLeave, "keys": len(pairs)})
	keys := make([]string, 0, len(pairs))
	for k := range pairs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		o := object{"kind": "pair"}
		putBytes(o, "key", []byte(k))
		putBytes(o, "value", []byte(pairs[k]))
		print(o)
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: godump WAL-DIRECTORY SNAPSHOT-DIRECTORY")
	}
	markers, err := wal.ValidSnapshotEntries(zap.NewNop(), os.Args[1])
	if err != nil {
		log.Fatal("the snapshots of ", os.Args[1], ": ", err)
	}
	// Every log begins with the marker of the empty snapshot.
	var found []walpb.Snapshot
	for _, m := range markers {
		if m.Index > 0 {
			found = append(found, m)
		}
	}
	readLog(os.Args[1], found)
	for _, m := range found {
		print(object{"kind": "marker", "index": m.Index, "term": m.Term})
	}
	paths, err := filepath.Glob(filepath.Join(os.Args[2], "*.snap"))
	if err != nil {
		log.Fatal(err)
	}
	sort.Strings(paths)
	for _, p := range paths {
		printSnapshot(p)
	}
	start := object{"kind": "start", "index": 0, "term": 0}
	s, err := snap.New(zap.NewNop(), os.Args[2]).LoadNewestAvailable(found)
	if err == nil && s != nil {
		start["index"] = s.Metadata.Index
		start["term"] = s.Metadata.Term
	} else if err != nil && err != snap.ErrNoSnapshot {
		log.Fatal(err)
	}
	print(start)
	out.Flush()
}
