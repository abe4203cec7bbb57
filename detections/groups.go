package detections

import (
	"iter"

	"github.com/cespare/xxhash/v2"
)

// groupShards is the number of parts that a rule's groups are kept in, by their
// keys: a sweep takes one at a time, so that events never wait for all. Which
// part a group is in must not depend on the process, since what a sweep lets go
// decides when a rule is full.
const groupShards = 64

// groups are the groups of a rule by key. The zero value holds none.
type groups struct {
	shards []map[string]*group // nil until the first
	n      int
}

func shardOf(key string) int { return int(xxhash.Sum64String(key) % groupShards) }

func (gs *groups) len() int { return gs.n }

// get returns the group of a key, nil if there is none.
func (gs *groups) get(key string) *group {
	if gs.n == 0 {
		return nil
	}
	return gs.shards[shardOf(key)][key]
}

// put adds a group whose key has none.
func (gs *groups) put(g *group) {
	if gs.shards == nil {
		gs.shards = make([]map[string]*group, groupShards)
	}
	s := &gs.shards[shardOf(g.key)]
	if *s == nil {
		*s = map[string]*group{}
	}
	(*s)[g.key] = g
	gs.n++
}

// drop takes a group out that is in.
func (gs *groups) drop(g *group) {
	delete(gs.shards[shardOf(g.key)], g.key)
	gs.n--
}

// all visits every group, in no order. Groups may be added and dropped meanwhile.
func (gs *groups) all() iter.Seq[*group] {
	return func(yield func(*group) bool) {
		for i := range gs.shards {
			for _, g := range gs.shards[i] {
				if !yield(g) {
					return
				}
			}
		}
	}
}
